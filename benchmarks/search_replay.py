"""Searches replayed on recorded learning curves: what each spends until its ensemble is as good as random search's.

A search is given genomes in the order that its seed shuffles them in, and says which one to train up to which
validation. What is counted:

- An iteration, when it is trained; a genome goes on from where it was, so nothing is trained twice. A training that
  diverges costs what it took until then, and is never a member. Validations cost nothing.
- A network may be a member of the ensemble once it has the full budget. The ensemble are the best four of these by
  the validation ARI of their best weights (fewer, while there are fewer), its ARI is that of the mean of their
  probabilities on all validation voxels. Until the first network has the full budget there is nothing to compare, but
  all that is spent until then counts.
- The goal is the ARI of the best four when all genomes had the full budget. A search has matched it when it first
  comes within 0.002 of it, or above; nothing is asked of it afterwards.
- Trainings run one after another, those of a rung by rank.
- Beside the final ARI stands that of random search after as many iterations as the strategy spent in all.
- A search that ends without having matched has needed infinitely many iterations. The quantiles are of all seeds, these
  included: a median is given only where more than half of the seeds have matched.
- What rungs and pruners judge a genome by is its best validation ARI so far, the same for all of them.

If all recorded genomes are searched in, halving finds the same networks for every seed, in another order. So there is
a second table, where each seed draws two thirds of the genomes, and the goal is the best four of these.
"""

import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from search_strategies import SIZE, strategies

TOLERANCE = 0.002
QUANTILES = (0.5, 0.1, 0.9)


@dataclass(frozen=True)
class Outcome:
    """What a search came to; iterations and seconds are infinite if it never matched.

    Attributes:
        iterations: until it matched.
        seconds: of the processor, until then.
        spent: iterations of the whole search.
        difference: of the final ensemble's ARI from the goal's.
        course: iterations spent, and that difference by then, each time the ensemble had changed.
    """

    iterations: float
    seconds: float
    spent: int
    difference: float
    course: list[tuple[int, float]]

    def after(self, iterations):
        """Return the difference after so many iterations; that of the first ensemble, if there was none by then."""
        by_then = [difference for spent, difference in self.course if spent <= iterations]
        return by_then[-1] if by_then else self.course[0][1]


class Search:
    """The state of a search: how far each genome is trained, what it cost, which are the best."""

    def __init__(self, pool):
        """Begin with nothing trained."""
        self.pool = pool
        self.reached = {}  # validations by genome
        self.spent, self.seconds = 0, 0.0
        self.full = []  # (-ARI, genome), best first
        self.ari = -math.inf

    def train(self, genome, validation):
        """Train a genome on up to a validation, or as far as it comes."""
        curve, seconds = self.pool.curves[genome], self.pool.seconds[genome]
        before = self.reached.get(genome, 0)
        after = min(validation, len(curve))
        if after <= before:
            return
        self.reached[genome] = after
        self.spent += (after - before) * self.pool.interval
        self.seconds += seconds[after - 1] - (seconds[before - 1] if before else 0.0)
        if after == self.pool.n_validations:
            self._add(genome)

    def _add(self, genome):
        best = self.full[:SIZE]
        self.full = sorted([*self.full, (-self.pool.final(genome), genome)])
        if self.full[:SIZE] != best:
            self.ari = self.pool.ensemble([g for _, g in self.full[:SIZE]])


def goal(pool, genomes):
    """Return the ARI of the best four of the genomes."""
    search = Search(pool)
    for genome in genomes:
        search.train(genome, pool.n_validations)
    return search.ari


def replay(pool, order, strategy, seed):
    """Do a search over the genomes in this order."""
    search, target = Search(pool), goal(pool, order)
    iterations = seconds = math.inf
    course = []
    for genome, validation in strategy(pool, order, seed):
        search.train(genome, validation)
        if search.full and (not course or search.ari - target != course[-1][1]):
            course.append((search.spent, search.ari - target))
        if search.ari >= target - TOLERANCE and iterations == math.inf:
            iterations, seconds = search.spent, search.seconds
    return Outcome(iterations, seconds, search.spent, search.ari - target, course)


def replays(pool, strategy, n_genomes, seeds):
    """Return the outcomes of each seed's search: it draws ``n_genomes`` of all, in its own order."""
    orders = [
        np.random.default_rng(seed).permutation(len(pool.curves))[:n_genomes].tolist() for seed in seeds
    ]
    return [replay(pool, order, strategy, seed) for seed, order in zip(seeds, orders, strict=True)]


def quantiles(values):
    """Return the median, and what 10 % and 90 % of the values don't exceed; each is one of the values."""
    return np.quantile(values, QUANTILES, method="inverted_cdf").tolist()


def line(pool, outcomes, of_random):
    """Return the figures of a strategy as texts."""
    budget = pool.interval * pool.n_validations
    iterations, random = (np.array([o.iterations for o in some]) for some in (outcomes, of_random))
    seconds = [quantiles([o.seconds for o in some])[0] for some in (outcomes, of_random)]
    spent = np.mean([o.spent for o in outcomes]) / np.mean([o.spent for o in of_random])
    differences = np.array([o.difference for o in outcomes])
    medians = [quantiles(values)[0] for values in (iterations, random)]
    return [
        _three(quantiles(iterations / budget), "5.1f"),
        _number(medians[0] / medians[1], "4.2f"),
        _three(quantiles(iterations / random), "4.2f"),
        _number(seconds[0] / seconds[1], "4.2f"),
        f"{100 * np.isfinite(iterations).mean():5.1f} %",
        f"{spent:4.2f}",
        f"{differences.mean():+.4f} ({quantiles(differences)[1]:+.4f})"
        if np.isfinite(differences).all()
        else "some without a full network",
        f"{np.mean([r.after(o.spent) for r, o in zip(of_random, outcomes, strict=True)]):+.4f}",
    ]


HEADINGS = [
    "full trainings: median (10 %, 90 %)",
    "of random's median",
    "of random's, same seed: median (10 %, 90 %)",
    "processor time",
    "matched",
    "spent in all",
    "final ARI: mean (10 %)",
    "random's after as much",
]


def _number(value, form):
    return format(value, form) if math.isfinite(value) else "never".rjust(int(form[0]))


def _three(values, form):
    median, low, high = (_number(value, form).strip() for value in values)
    return f"{median} ({low}, {high})"


def show(pool, data, n_seeds, only, processes):
    """Print a Markdown table for searches in all genomes, and one for two thirds of them."""
    print(
        f"{data}: {len(pool.curves)} genomes, {sum(len(c) == pool.n_validations for c in pool.curves)} trained"
    )
    print(f"without divergence; {pool.interval * pool.n_validations} iterations each; {n_seeds} seeds")
    for n_genomes in (len(pool.curves), 2 * len(pool.curves) // 3):
        names = [n for n in strategies(pool, n_genomes) if n.startswith(only) or n == "random"]
        print(f"\n{n_genomes} genomes\n\n| strategy | {' | '.join(HEADINGS)} |")
        print("|---" * (len(HEADINGS) + 1) + "|")
        with ProcessPoolExecutor(processes) as workers:
            jobs = [workers.submit(_named, pool, name, n_genomes, range(n_seeds)) for name in names]
            for name, job in zip(names, jobs, strict=True):
                print(f"| {name} | {' | '.join(line(pool, job.result(), jobs[0].result()))} |", flush=True)
    print()


def _named(pool, name, n_genomes, seeds):
    return replays(pool, strategies(pool, n_genomes)[name], n_genomes, seeds)
