"""The searches that are compared: each yields (genome, validation up to which it is trained next).

Random search trains all genomes in full. Successive halving is that of Jamieson and Talwalkar (2016, AISTATS,
Algorithm 1), Hyperband that of Li et al. (2018, JMLR 18(185), Algorithm 1): its brackets follow one another until
the genomes are used up. Optuna's pruners see one training after another through ask, report, should_prune and tell;
what they stopped doesn't go on. They are asked at each validation but the last: a network that has the full budget
counts.
"""

import itertools
import math
from functools import partial

SIZE = 4  # of the ensemble


def rungs(n_genomes, n_validations, eta, n_rungs):
    """Return the rungs of successive halving as (genomes, validations that they have afterwards).

    Budgets are the full one divided by powers of eta, rounded up to whole validations.
    """
    return [
        (max(1, n_genomes // eta**j), math.ceil(n_validations / eta ** (n_rungs - 1 - j)))
        for j in range(n_rungs)
    ]


def best_so_far(pool, genome, validation):
    """Return the highest ARI up to a validation; minus infinity if the training diverged before."""
    curve = pool.curves[genome]
    return float(curve[:validation].max()) if len(curve) >= validation else -math.inf


def random(pool, order, _seed):
    """Train all in full."""
    for genome in order:
        yield genome, pool.n_validations


def halving(pool, order, _seed, eta, n_rungs, n_rounds=1):
    """Train all a little, the best 1/eta of them more, and so on; in rounds of equally many genomes."""
    for part in range(n_rounds):
        some = order[part * len(order) // n_rounds : (part + 1) * len(order) // n_rounds]
        for count, validation in rungs(len(some), pool.n_validations, eta, n_rungs):
            some = some[:count]
            for genome in some:
                yield genome, validation
            some = sorted(some, key=lambda g: -best_so_far(pool, g, validation))


def hyperband(pool, order, seed, eta, n_rungs):
    """Halving with all numbers of rungs in turn, from ``n_rungs`` to one."""
    genomes = list(order)
    for k in itertools.cycle(range(n_rungs, 0, -1)):
        if not genomes:
            return
        count = math.ceil(n_rungs / k * eta ** (k - 1))
        yield from halving(pool, genomes[:count], seed, eta, k)
        genomes = genomes[count:]


def optuna_search(pool, order, seed, make_pruner):
    """Train one after another, each until Optuna's pruner stops it."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=str(seed),  # Hyperband's brackets depend on it
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed),
        pruner=make_pruner(optuna.pruners),
    )
    for genome in order:
        trial = study.ask()
        for validation in range(1, pool.n_validations + 1):
            yield genome, validation
            ari = best_so_far(pool, genome, validation)
            if ari == -math.inf:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                break
            trial.report(ari, validation)
            if validation == pool.n_validations:
                study.tell(trial, ari)
            elif trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break


def _median(pruners, **settings):
    return pruners.MedianPruner(**settings)


def _successive_halving(pruners, **settings):
    return pruners.SuccessiveHalvingPruner(**settings)


def _hyperband(pruners, **settings):
    return pruners.HyperbandPruner(**settings)


def strategies(pool, n_genomes):
    """Return all strategies by name, for searches in so many genomes; random comes first."""
    found = {"random": random}
    for eta in (2, 3, 4):
        most = 1 + math.floor(math.log(n_genomes / SIZE, eta) + 1e-9)  # that leave four genomes
        for n_rungs in range(2, most + 1):
            found[f"halving η={eta}, {n_rungs} rungs"] = partial(halving, eta=eta, n_rungs=n_rungs)
        found[f"halving η={eta}, {most} rungs, 2 rounds"] = partial(
            halving, eta=eta, n_rungs=most, n_rounds=2
        )
        found[f"hyperband η={eta}, {most} rungs"] = partial(hyperband, eta=eta, n_rungs=most)
    return found | _of_optuna(pool.n_validations)


def _of_optuna(n_validations):
    """Return Optuna's pruners, at their defaults and in other settings."""
    makers = {}
    for startup, warmup in ((5, 0), (1, 0), (10, 0), (5, 3), (5, 9)):
        name = f"optuna median, {startup} at first, {warmup} to warm up"
        makers[name] = partial(_median, n_startup_trials=startup, n_warmup_steps=warmup)
    for eta, least in ((2, 1), (2, 4), (3, 1), (3, 3), (4, 1), (4, 2)):
        name = f"optuna successive halving η={eta}, from {least}"
        makers[name] = partial(_successive_halving, reduction_factor=eta, min_resource=least)
    name = "optuna successive halving η=3, from 1, after 3 genomes"
    makers[name] = partial(_successive_halving, reduction_factor=3, min_resource=1, bootstrap_count=3)
    for eta, least in ((2, 1), (2, 4), (3, 1), (3, 3), (4, 1), (4, 2)):
        makers[f"optuna hyperband η={eta}, from {least}"] = partial(
            _hyperband, reduction_factor=eta, min_resource=least, max_resource=n_validations
        )
    return {name: partial(optuna_search, make_pruner=maker) for name, maker in makers.items()}
