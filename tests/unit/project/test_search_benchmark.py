"""What benchmarks/search.py counts: on tables of real probabilities, and on curves written by hand."""

import math
from dataclasses import dataclass
from functools import partial
from itertools import combinations, permutations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from search_replay import Search, goal, quantiles, replay, show
from search_strategies import halving, hyperband, random, strategies
from search_tables import SIZES, Pool, all_ensembles, rank, read, write

N_CLASSES = 7
rng = np.random.default_rng(0)


@dataclass(frozen=True)
class BetterTogether:
    """Ensembles that are better than their members on average, by 0.1 for each but the first."""

    finals: list[float]

    def ari(self, genomes):
        return sum(self.finals[g] for g in genomes) / len(genomes) + 0.1 * (len(genomes) - 1)


def pool_of(*curves):
    """Three validations of 10 iterations each; a second of the processor for each iteration."""
    seconds = [10.0 * np.arange(1, len(curve) + 1) for curve in curves]
    return Pool([np.array(c) for c in curves], seconds, 10, 3, BetterTogether([max(c) for c in curves]))


# The last overtakes all but the first; the fourth is good at once and no better later; the sixth diverges.
POOL = pool_of(
    [0.3, 0.6, 0.9],
    [0.1, 0.2, 0.3],
    [0.2, 0.4, 0.6],
    [0.5, 0.4, 0.3],
    [0.1, 0.1, 0.1],
    [0.4, 0.5],
    [0.0, 0.5, 0.8],
)


@pytest.fixture(scope="module")
def labelled():
    """Probabilities of six networks, in few levels so that many are equal, and the truth."""
    truth = rng.integers(0, N_CLASSES, 400)
    levels = [rng.integers(0, 4, (N_CLASSES, 400)) * 85 for _ in range(6)]
    for p in levels:
        p[truth, np.arange(400)] += rng.integers(0, 2, 400) * 85
    return [np.minimum(p, 255).astype(np.uint8) for p in levels], truth


def test_tables_hold_the_score_of_every_mean(labelled):
    probabilities, truth = labelled
    tables = all_ensembles(probabilities, truth, N_CLASSES)
    for size in range(1, 5):
        assert len(tables[size]) == math.comb(6, size)
        for places in combinations(range(6), size):
            labels = sum(probabilities[p].astype(int) for p in places).argmax(axis=0)
            expected = adjusted_rand_score(truth, labels)
            assert tables[size][rank(places)] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("size", SIZES.values())
def test_ranks_number_all_combinations(size):
    assert sorted(rank(places) for places in combinations(range(9), size)) == list(range(math.comb(9, size)))


def test_files_give_the_pool_back(labelled, tmp_path):
    tables = all_ensembles(*labelled, N_CLASSES)
    members = [0, 1, 3, 4, 5, 6]  # genome 2 diverged
    genomes = [
        {
            "description": {"genome": g},
            "iteration": [10, 20, 30][: 1 if g == 2 else 3],
            "ari": [0.1, 0.2, 0.123456789],
            "seconds": [1, 2, 3.456],
        }
        for g in range(7)
    ]
    for g in genomes:
        g["ari"], g["seconds"] = g["ari"][: len(g["iteration"])], g["seconds"][: len(g["iteration"])]
    write("some", {"recording": {"iterations": 30}, "n_validations": 3}, genomes, members, tables, tmp_path)
    pool = read("some", tmp_path)
    assert (pool.interval, pool.n_validations) == (10, 3)
    assert pool.curves[0].tolist() == pytest.approx([0.1, 0.2, 0.123457])
    assert pool.seconds[6].tolist() == [1, 2, 3.46]
    assert pool.final(2) is None
    assert pool.ensemble([1]) == 0.2
    for genomes in permutations([0, 3, 6], 3):  # places 0, 2, 5
        assert pool.ensemble(genomes) == pytest.approx(tables[3][rank([0, 2, 5])], abs=2.6e-5)
    assert pool.ensemble([6, 5, 4, 3]) == pytest.approx(tables[4][rank([2, 3, 4, 5])], abs=2.6e-5)


def test_the_goal_is_the_best_four_that_did_not_diverge():
    assert goal(POOL, range(7)) == pytest.approx((0.9 + 0.8 + 0.6 + 0.5) / 4 + 0.3)


def test_random_search_counts_until_the_best_four_are_there():
    """Genomes 0, 2, 3 and 6 are the goal; 5 costs two of three validations."""
    outcome = replay(POOL, [0, 5, 2, 3, 1, 6, 4], random, 0)
    assert outcome.iterations == 30 + 20 + 3 * 30 + 30
    assert outcome.seconds == outcome.iterations
    assert outcome.spent == 6 * 30 + 20
    assert outcome.difference == 0


def test_what_random_search_was_worth_after_as_many_iterations():
    """One network, two, three: each is worth more, until the goal; nothing is there before the first."""
    outcome = replay(POOL, [0, 5, 2, 3, 1, 6, 4], random, 0)
    whole = (0.9 + 0.8 + 0.6 + 0.5) / 4 + 0.3
    assert [outcome.after(n) for n in (10, 30, 79)] == pytest.approx([0.9 - whole] * 3)
    assert [outcome.after(n) for n in (80, 110)] == pytest.approx(
        [1.5 / 2 + 0.1 - whole, (0.9 + 0.6 + 0.5) / 3 + 0.2 - whole]
    )
    assert outcome.after(10_000) == 0


def test_halving_goes_on_where_it_was():
    """Rungs of 7, 3 and 1: 0, 3 and 5 are best after one validation; 0 and 5 after two, and 0 goes on."""
    steps = list(halving(POOL, [1, 2, 0, 3, 4, 5, 6], 0, eta=2, n_rungs=3))
    assert steps[:7] == [(g, 1) for g in (1, 2, 0, 3, 4, 5, 6)]
    assert steps[7:] == [(3, 2), (5, 2), (0, 2), (0, 3)]
    search = Search(POOL)
    for step in steps:
        search.train(*step)
    assert search.spent == 7 * 10 + 3 * 10 + 10
    assert search.ari == 0.9


def test_a_diverged_training_does_not_go_on():
    steps = list(halving(POOL, [5, 1, 4, 2], 0, eta=2, n_rungs=2))
    assert steps[4:] == [(5, 3), (2, 3)]  # two validations were fine
    outcome = replay(POOL, [5, 1, 4, 2], partial(halving, eta=2, n_rungs=2), 0)
    assert outcome.spent == 20 + 20 + 20 + 20 + 10  # the third of 5 costs nothing: it isn't there
    assert outcome.difference == pytest.approx(0.6 - ((0.6 + 0.3 + 0.1) / 3 + 0.2))


def test_a_search_that_never_matches_is_infinitely_long():
    pool = pool_of([0.9, 0.9, 0.9], [0.1, 0.2, 0.8], [0.3, 0.3, 0.3])
    worse = replay(pool, [0, 1, 2], lambda *_: [(2, 3), (1, 2)], 0)
    assert worse.iterations == worse.seconds == math.inf
    assert worse.spent == 50
    assert worse.difference == pytest.approx(0.3 - (2 / 3 + 0.2))
    assert quantiles([1.0, 2.0, math.inf, math.inf]) == [2.0, 1.0, math.inf]
    assert quantiles([1.0, math.inf, math.inf]) == [math.inf, 1.0, math.inf]


def test_hyperband_has_brackets_of_equal_cost():
    """Of four genomes one goes on; three are trained in full at once."""
    pool = pool_of(*[[i / 20, i / 10, i / 5] for i in range(7)])
    steps = list(hyperband(pool, range(7), 0, eta=3, n_rungs=2))
    assert steps == [*((g, 1) for g in range(4)), (3, 3), *((g, 3) for g in (4, 5, 6))]


def test_the_table_has_a_line_for_each_strategy(capsys):
    show(POOL, "hand-made", 3, "halving", 1)
    lines = capsys.readouterr().out.splitlines()
    assert (
        sum(line.startswith("| halving η=2, 2 rungs | ") for line in lines) == 1
    )  # four genomes are too few
    assert sum(line.startswith("| random | ") and "| 100.0 % | 1.00 |" in line for line in lines) == 2


def test_optunas_pruners_stop_trainings_but_no_full_one():
    order = [0, 1, 2, 3, 4, 5, 6]
    found = {n: s for n, s in strategies(POOL, 7).items() if n.startswith("optuna")}
    assert len(found) == 18
    for strategy in found.values():
        steps = list(strategy(POOL, order, 0))
        for genome in order:
            validations = [v for g, v in steps if g == genome]
            assert validations == list(range(1, len(validations) + 1))
    impatient = found["optuna median, 1 at first, 0 to warm up"]
    # 0 is the first; 3 and 5 are better at once, not later; the others not at once
    steps = list(impatient(POOL, order, 0))
    assert [max(v for g, v in steps if g == genome) for genome in order] == [3, 1, 1, 2, 1, 2, 1]
    assert list(impatient(POOL, [1, 5], 0))[3:] == [(5, 1), (5, 2), (5, 3)]  # it diverges, and is told so
