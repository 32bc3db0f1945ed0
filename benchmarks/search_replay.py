"""Searches replayed on recorded learning curves: the cost of each until its ensemble is as good as random search's.

A search gets the genomes in an order shuffled by its seed, and decides which one to train next, up to which
validation. The rules:

- An iteration counts when it is trained. A genome continues from where it stopped, so nothing is trained twice. A
  training that diverges costs its iterations up to then, and is never a member. Validations cost nothing.
- A network can be a member of the ensemble once it has the full budget. The ensemble is the best four of these by
  the validation ARI of their best weights (fewer while there are fewer). Its ARI is that of the mean of their
  probabilities on all validation voxels. Before the first network has the full budget there is no ensemble, but the
  iterations count.
- The goal is the ARI of the best four when all genomes have the full budget. A search has matched when it first
  comes within 0.002 of the goal, or above it; later losses don't count.
- Trainings run one after another, those of a rung in the order of their rank.
- The final ARI stands beside that of random search after as many iterations as the strategy spent in all.
- A search that ends without a match has needed infinitely many iterations. Quantiles are over all seeds, so a median
  is finite only if more than half of the seeds have matched.
- All rungs and pruners judge a genome by its best validation ARI so far.

In all recorded genomes, halving finds the same networks for every seed, in another order. So there is a second table,
in which each seed draws two thirds of the genomes, and the goal is the best four of these.
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
    """The result of a search; iterations and seconds are infinite if it never matched.

    Attributes:
        iterations: number of iterations until the match.
        seconds: processor time until the match.
        spent: iterations of the whole search.
        difference: ARI of the final ensemble minus the goal.
        course: iterations spent, and the difference at that time, each time the ensemble changed.
    """

    iterations: float
    seconds: float
    spent: int
    difference: float
    course: list[tuple[int, float]]

    def after(self, iterations):
        """Return the difference after some iterations; that of the first ensemble if there was none yet."""
        by_then = [difference for spent, difference in self.course if spent <= iterations]
        return by_then[-1] if by_then else self.course[0][1]


class Search:
    """The state of a search: how far each genome is trained, the cost, the best genomes."""

    def __init__(self, pool):
        """Begin with nothing trained."""
        self.pool = pool
        self.reached = {}  # validations by genome
        self.spent, self.seconds = 0, 0.0
        self.full = []  # (-ARI, genome), best first
        self.ari = -math.inf

    def train(self, genome, validation):
        """Continue the training of a genome up to a validation, or until it diverges."""
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
    """Search in the genomes in this order."""
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
    """Return the outcome of the search of each seed, which draws ``n_genomes`` of all in its own order."""

    def order(seed):
        return np.random.default_rng(seed).permutation(len(pool.curves))[:n_genomes].tolist()

    return [replay(pool, order(seed), strategy, seed) for seed in seeds]


def quantiles(values):
    """Return the median and the 10 % and 90 % quantiles; each is one of the values."""
    return np.quantile(values, QUANTILES, method="inverted_cdf").tolist()


def line(pool, outcomes, of_random):
    """Return the cells of a strategy, in the order of ``HEADINGS``."""
    budget = pool.interval * pool.n_validations
    iterations, random = (np.array([o.iterations for o in some]) for some in (outcomes, of_random))
    seconds = [quantiles([o.seconds for o in some])[0] for some in (outcomes, of_random)]
    spent = np.mean([o.spent for o in outcomes]) / np.mean([o.spent for o in of_random])
    differences = np.array([o.difference for o in outcomes])
    final = f"{differences.mean():+.4f} ({quantiles(differences)[1]:+.4f})"
    of_random_then = np.mean([r.after(o.spent) for r, o in zip(of_random, outcomes, strict=True)])
    medians = [quantiles(values)[0] for values in (iterations, random)]
    return [
        _three(quantiles(iterations / budget), "5.1f"),
        _number(medians[0] / medians[1], "4.2f"),
        _three(quantiles(iterations / random), "4.2f"),
        _number(seconds[0] / seconds[1], "4.2f"),
        f"{100 * np.isfinite(iterations).mean():5.1f} %",
        f"{spent:4.2f}",
        final if np.isfinite(differences).all() else "some without a full network",
        f"{of_random_then:+.4f}",
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
    """Print a Markdown table of searches in all genomes, and one of searches in two thirds of them."""
    n_trained = sum(len(curve) == pool.n_validations for curve in pool.curves)
    print(f"{data}: {len(pool.curves)} genomes, {n_trained} trained without divergence;")
    print(f"{pool.interval * pool.n_validations} iterations each; {n_seeds} seeds")
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
