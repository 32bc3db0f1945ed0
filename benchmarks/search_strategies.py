"""The searches that are compared: each yields (genome, validation up to which it is trained next).

Random search trains all genomes in full. Successive halving is that of Jamieson and Talwalkar (2016, AISTATS,
Algorithm 1), Hyperband that of Li et al. (2018, JMLR 18(185), Algorithm 1), with the rungs and brackets that genenet
computes for a config. Optuna's pruners see one training after another through ask, report, should_prune and tell; a
training that they stopped doesn't continue. They are asked at each validation but the last, since a network with the
full budget counts.
"""

import math
from functools import partial
from itertools import zip_longest

import numpy as np

from genenet.config.rounds import rounds
from genenet.config.search import Search
from search_surrogate import features_of, surrogate

SIZE = 4  # of the ensemble
NORMAL_MEDIAN = 0.6745  # of the absolute value of a standard normal variable
TIES = 2  # standard errors


def brackets(n_genomes, n_validations, eta, n_rungs, n_brackets=1):
    """Return genenet's own rungs of each bracket of a search; their iterations are validations here."""
    halving = {"eta": eta, "rungs": n_rungs, "brackets": n_brackets}
    search = Search(strategy="halving", n_genomes=n_genomes, halving=halving)
    return [bracket.rungs for bracket in rounds(search, n_validations, 1)]


def best_so_far(pool, genome, validation):
    """Return the highest ARI up to a validation; minus infinity if the training diverged before."""
    curve = pool.curves[genome]
    return float(curve[:validation].max()) if len(curve) >= validation else -math.inf


def random(pool, order, _seed):
    """Train all in full."""
    for genome in order:
        yield genome, pool.n_validations


def halving(pool, order, _seed, eta, n_rungs, n_rounds=1, ties=None):
    """Train all genomes a little, the best 1/eta of them further, and so on; in rounds of equal size."""
    for part in range(n_rounds):
        genomes = order[part * len(order) // n_rounds : (part + 1) * len(order) // n_rounds]
        (rungs,) = brackets(len(genomes), pool.n_validations, eta, n_rungs)
        yield from climb(pool, genomes, rungs, ties)


def climb(pool, genomes, rungs, ties=None):
    """Train all genomes to the end of the first rung, the best of them to that of the second, and so on.

    With ``ties``, those within so many standard errors of the last one that continues do so too, at most as many again.
    """
    for rung, following in zip_longest(rungs, rungs[1:]):
        for genome in genomes:
            yield genome, rung.iterations
        if following:
            score = {g: best_so_far(pool, g, rung.iterations) for g in genomes}
            ranked = sorted(genomes, key=lambda g: -score[g])
            genomes = ranked[: following.n_slots]
            if ties is not None:
                least = score[genomes[-1]] - ties * math.sqrt(2) * noise(pool, ranked, rung.iterations)
                more = ranked[following.n_slots : 2 * following.n_slots]
                genomes = genomes + [g for g in more if score[g] >= max(least, 0)]


def noise(pool, genomes, validation):
    """Return the standard error of a validation's ARI, as second differences of the last five show it.

    These are 0 for scores that rise evenly. The median of all genomes is taken, since some trainings are rough.
    """
    curves = [pool.curves[g][max(0, validation - 5) : validation] for g in genomes]
    differences = np.concatenate([np.diff(curve, 2) for curve in curves if len(curve) >= 3] or [[]])
    if not len(differences):
        return 0.0
    return float(np.median(np.abs(differences))) / NORMAL_MEDIAN / math.sqrt(6)


def hyperband(pool, order, _seed, eta, n_rungs):
    """Halving with all numbers of rungs from ``n_rungs`` to one, each of about the same cost.

    The first bracket has as many genomes as possible; one or two of the last genomes stay unused.
    """
    shares = [n_rungs / (n_rungs - b) / eta**b for b in range(n_rungs)]
    first = next(n for n in range(len(order), 0, -1) if sum(math.ceil(n * s) for s in shares) <= len(order))
    start = 0
    for rungs in brackets(first, pool.n_validations, eta, n_rungs, n_rungs):
        yield from climb(pool, order[start : start + rungs[0].n_slots], rungs)
        start += rungs[0].n_slots


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


def _pruner(name, **settings):
    """Return a function that makes one of Optuna's pruners, given its module of pruners."""
    return lambda pruners: getattr(pruners, name)(**settings)


def strategies(pool, n_genomes):
    """Return all strategies by name, for searches in ``n_genomes`` genomes; random comes first."""
    found = {"random": random}
    for eta in (2, 3, 4):
        # The last rung has at least three networks: an ensemble of three is worth a try
        all_rungs = [k for k in range(2, 9) if n_genomes // eta ** (k - 1) >= SIZE - 1]
        for n_rungs in all_rungs:
            found[f"halving η={eta}, {n_rungs} rungs"] = partial(halving, eta=eta, n_rungs=n_rungs)
        for n_rungs in [k for k in all_rungs if k <= 3]:
            name = f"halving η={eta}, {n_rungs} rungs, ties"
            found[name] = partial(halving, eta=eta, n_rungs=n_rungs, ties=TIES)
        for n_rungs in [k for k in all_rungs if n_genomes // eta ** (k - 1) >= SIZE][-1:]:
            name = f"η={eta}, {n_rungs} rungs"
            found[f"halving {name}, 2 rounds"] = partial(halving, eta=eta, n_rungs=n_rungs, n_rounds=2)
            found[f"hyperband {name}"] = partial(hyperband, eta=eta, n_rungs=n_rungs)
    if pool.genomes:
        rows = features_of(pool)
        for n_first, n_round in ((12, 6), (12, 1)):
            name = f"surrogate, {n_first} at first, then {n_round} a round"
            found[name] = partial(surrogate, n_first=n_first, n_round=n_round, rows=rows)
    return found | _of_optuna(pool.n_validations)


def _of_optuna(n_validations):
    """Return Optuna's pruners, at their defaults and in other settings."""
    makers = {}
    for startup, warmup in ((5, 0), (1, 0), (10, 0), (5, 3), (5, 9)):
        settings = {"n_startup_trials": startup, "n_warmup_steps": warmup}
        makers[f"median, {startup} at first, {warmup} to warm up"] = _pruner("MedianPruner", **settings)
    for eta, least in ((2, 1), (2, 4), (3, 1), (3, 3), (4, 1), (4, 2)):
        name, settings = f"η={eta}, from {least}", {"reduction_factor": eta, "min_resource": least}
        makers[f"successive halving {name}"] = _pruner("SuccessiveHalvingPruner", **settings)
        makers[f"hyperband {name}"] = _pruner("HyperbandPruner", max_resource=n_validations, **settings)
    settings = {"reduction_factor": 3, "min_resource": 1, "bootstrap_count": 3}
    name = "successive halving η=3, from 1, after 3 genomes"
    makers[name] = _pruner("SuccessiveHalvingPruner", **settings)
    return {f"optuna {name}": partial(optuna_search, make_pruner=maker) for name, maker in makers.items()}
