"""Intervals of differences, on segmentations whose difference is known."""

from itertools import pairwise

import numpy as np
import pytest

from genenet.core.geometry import Box
from genenet.core.ignore import IGNORE
from genenet.metrics import intervals
from genenet.metrics.contingency import Contingency
from genenet.metrics.intervals import (
    ENOUGH,
    BlockTables,
    ConfidenceInterval,
    ImagePart,
    block_shape,
    interval,
)


def whole(shape, index=0):
    return ImagePart(index, Box.of_shape(shape))


def tables(n_blocks, rate, rng, n=200):
    """Tables (B, 2, 2) of blocks of two equal classes, of which a share of voxels has the wrong class."""
    wrong = rng.binomial(n, rate, (n_blocks, 2))
    return np.stack([[[n - a, a], [b, n - b]] for a, b in wrong]).astype(np.int64)


def test_a_clear_difference_is_shown_and_the_same_quality_is_not():
    rng = np.random.default_rng(0)
    ours, worse, alike = (tables(60, rate, rng) for rate in (0.05, 0.15, 0.05))
    clear = interval(ours, [worse], "ari", rng)
    assert not clear.may_be_chance
    total = [Contingency(t.sum(axis=0)).adjusted_rand_index for t in (ours, worse)]
    assert clear.low < total[0] - total[1] < clear.high
    assert interval(ours, [alike], "ari", rng).may_be_chance


@pytest.mark.parametrize("metric", ["ari", "mean_iou", "both"])
def test_it_covers_the_truth_as_often_as_it_says(metric):
    """Pairs of segmentations of the same quality: in about 19 of 20, the interval holds 0."""
    rng = np.random.default_rng(1)
    holds = [
        interval(tables(40, 0.1, rng), [tables(40, 0.1, rng)], metric, rng).may_be_chance for _ in range(30)
    ]
    assert sum(holds) >= 25


def test_the_same_segmentation_differs_by_exactly_nothing():
    rng = np.random.default_rng(4)
    ours = tables(40, 0.1, rng)
    assert interval(ours, [ours, ours], "both", rng, [ours, ours]) == ConfidenceInterval(0, 0, 40)


def test_what_is_better_in_every_block_is_better():
    rng = np.random.default_rng(5)
    theirs = tables(40, 0.1, rng)
    ours = theirs + np.array([[5, -5], [-5, 5]])
    found = interval(ours, [theirs], "ari", rng)
    assert 0 < found.low < found.high
    back = interval(theirs, [ours], "ari", np.random.default_rng(6))
    assert back.low < back.high < 0


def varied(rng, n_blocks, spread):
    """Blocks some of which are harder than others, as those of images are."""
    rates = np.clip(rng.normal(0.1, spread, n_blocks), 0.01, 0.5)
    wrong = rng.binomial(200, rates[:, None], (n_blocks, 2))
    return np.stack([[[200 - a, a], [b, 200 - b]] for a, b in wrong]).astype(np.int64)


@pytest.mark.slow
@pytest.mark.parametrize(("n_blocks", "low", "high"), [(4, 0.12, 0.3), (ENOUGH, 0.02, 0.1)])
def test_few_blocks_give_intervals_that_are_too_narrow(n_blocks, low, high, monkeypatch):
    """In how many of 300 pairs of the same quality a difference is shown; the figures are in docs/method.md."""
    monkeypatch.setattr(intervals, "DRAWS", 300)
    rng = np.random.default_rng(0)
    pairs = [(varied(rng, n_blocks, 0.04), varied(rng, n_blocks, 0.04)) for _ in range(300)]
    shown = [not interval(ours, [theirs], "ari", rng).may_be_chance for ours, theirs in pairs]
    assert low <= np.mean(shown) <= high


def test_of_a_mean_of_seeds_the_variance_over_draws_is_that_of_the_jackknife(monkeypatch):
    """Without differences between blocks, only the seeds vary: errors of 8, 10 and 15 voxels without one of them."""
    monkeypatch.setattr(intervals, "LEVEL", 0.999)  # nearly all draws lie in it
    rng, n = np.random.default_rng(7), 3
    mean, *without = (np.array([[[200 - e, e], [e, 200 - e]]] * 40) for e in (9, 8, 10, 15))
    scores = [Contingency(each.sum(axis=0)).accuracy for each in without]
    deviations = np.array(scores) - np.mean(scores)
    monkeypatch.setattr(intervals, "score_of_counts", lambda table, _: table.accuracy)
    found = interval(mean, [mean], "ari", rng, without)
    assert found.low == pytest.approx(-np.sqrt(n - 1) * deviations.max())
    assert found.high == pytest.approx(-np.sqrt(n - 1) * deviations.min())
    # three values, each in a third of the draws, have the variance (n - 1) / n times the sum of squares
    values = np.sqrt(n - 1) * deviations
    assert np.mean(values**2) == pytest.approx((n - 1) / n * np.sum(deviations**2))


def test_one_good_block_among_many_equal_ones_shows_nothing():
    rng = np.random.default_rng(2)
    theirs = tables(40, 0.1, rng)
    ours = theirs.copy()
    ours[0] = [[200, 0], [0, 200]]
    assert interval(ours, [theirs], "ari", rng).low <= 0


def test_seeds_that_differ_widen_it():
    rng = np.random.default_rng(3)
    ours, good, bad = (tables(60, rate, rng) for rate in (0.1, 0.05, 0.2))
    one, both = interval(ours, [bad], "ari", rng), interval(ours, [good, bad], "ari", rng)
    assert one.low > 0
    assert both.low < 0 < both.high


def test_blocks_without_labels_are_left_out_and_one_block_gives_no_interval():
    labels = np.zeros((2, 64, 64), np.uint8)
    labels[:, :32] = IGNORE
    counted = BlockTables(2, (16, 32, 64), [whole((2, 64, 64))])
    for z, plane in enumerate(labels):
        counted.add(0, z, plane[None], np.ones_like(plane[None]))
    found = counted.stacked()
    assert found.tolist() == [[[0, 2 * 32 * 64], [0, 0]]]
    assert interval(found, [found], "ari", np.random.default_rng(0)) is None


def test_blocks_are_as_large_as_there_are_enough_of_them():
    assert block_shape([whole((40, 2000, 2000))]) == (16, 256, 256)
    assert block_shape([whole((1, 512, 512))]) == (16, 64, 64)  # 64 blocks
    assert block_shape([whole((1, 512, 512), index) for index in range(ENOUGH)]) == (16, 256, 256)
    assert block_shape([whole((1, 50, 50))]) == (16, 32, 32)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_blocks_of_slabs_are_those_of_the_uncut_image(axis):
    shape, cuts = (40, 150, 170), 10
    ends = np.linspace(0, shape[axis], cuts + 1).astype(int)
    parts = []
    for start, stop in pairwise(ends):
        low, high = [0, 0, 0], list(shape)
        low[axis], high[axis] = int(start), int(stop)
        parts.append(ImagePart(0, Box(tuple(low), tuple(high))))
    assert block_shape(parts) == block_shape([whole(shape)])
    rng = np.random.default_rng(8)
    truth, found = rng.integers(0, 2, (2, *shape)).astype(np.uint8)
    uncut, cut = (BlockTables(2, (16, 64, 64), of) for of in ([whole(shape)], parts))
    for z in range(shape[0]):
        uncut.add(0, z, truth[z : z + 1], found[z : z + 1])
    for index, part in enumerate(parts):
        labels, classes = truth[part.box.slices], found[part.box.slices]
        for z in range(len(labels)):
            cut.add(index, z, labels[z : z + 1], classes[z : z + 1])
    assert len(uncut.stacked()) == 3 * 3 * 3
    assert np.array_equal(cut.stacked(), uncut.stacked())


def test_chance_is_where_the_interval_holds_zero():
    assert ConfidenceInterval(-0.1, 0.2, 40).may_be_chance
    assert not ConfidenceInterval(0.01, 0.2, 40).may_be_chance
