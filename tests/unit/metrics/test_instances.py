"""Scores of numbered objects, against independent implementations."""

import json
import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment
from skimage.metrics import adapted_rand_error, variation_of_information
from torchmetrics.detection import PanopticQuality

from genenet.config.instance_metrics import INSTANCE_METRICS
from genenet.metrics.instance_overlaps import InstanceOverlaps, together
from genenet.metrics.instance_scores import InstanceScores


def blobs(seed, shape=(3, 24, 30), n=7):
    """A truth of nearest-neighbour cells with gaps, and a prediction that merges, splits, misses and invents some."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 1, (n, 3)) * shape
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)[..., None, :]
    distance = np.sqrt(((places - centres) ** 2).sum(axis=-1))
    truth = np.where(distance.min(axis=-1) < 8, distance.argmin(axis=-1) + 1, 0).astype(np.uint32)
    predicted = np.roll(truth, rng.integers(0, 3), axis=2)
    predicted[predicted == 2] = 1
    predicted[(predicted == 3) & (np.arange(shape[2]) % 7 < 3)] = 90
    predicted[predicted == 4] = 0
    predicted[:, :2, :3] = 91
    return truth, predicted


def table_of(truth, predicted, ignored=None):
    found = InstanceOverlaps()
    found.add(truth, predicted, ignored)
    return found.table()


def values(table):
    return {name: INSTANCE_METRICS[name].function()(table) for name in INSTANCE_METRICS}


def matches(truth, predicted, threshold):
    """True positives by an optimal assignment, and the numbers of true and predicted objects."""
    a, b = (np.unique(x[x > 0]) for x in (truth, predicted))
    iou = np.zeros((len(a), len(b)))
    for (i, x), (j, y) in product(enumerate(a), enumerate(b)):
        iou[i, j] = ((truth == x) & (predicted == y)).sum() / ((truth == x) | (predicted == y)).sum()
    rows, columns = linear_sum_assignment(-(iou * (iou > threshold)))
    return int((iou[rows, columns] > threshold).sum()), len(a), len(b)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_scores_are_those_of_other_programs(seed):
    truth, predicted = blobs(seed)
    found = values(table_of(truth, predicted))
    error = adapted_rand_error(truth, predicted, ignore_labels=(0,))[0]
    split, merge = variation_of_information(truth, predicted, ignore_labels=(0,))
    assert found["adapted_rand_error"] == pytest.approx(error, abs=1e-12)
    assert (found["vi_split"], found["vi_merge"]) == pytest.approx((split, merge), abs=1e-12)
    for name, threshold in (("average_precision_50", 0.5), ("average_precision_75", 0.75)):
        n, n_true, n_predicted = matches(truth, predicted, threshold)
        assert found[name] == pytest.approx(n / (n_true + n_predicted - n))
        if threshold == 0.5:
            assert found["f1"] == pytest.approx(2 * n / (n_true + n_predicted))
    quality = PanopticQuality(things={1}, stuffs={0}, return_per_class=True)
    pairs = [torch.from_numpy(np.stack([x > 0, x], axis=-1).astype(np.int64)) for x in (predicted, truth)]
    for pair in pairs:
        pair[..., 1][pair[..., 0] == 0] = 0
    assert found["panoptic_quality"] == pytest.approx(
        float(quality(*(p[None] for p in pairs))[0, 0]), abs=1e-6
    )


@st.composite
def small_labels(draw):
    """Truth and prediction of few voxels: single voxels, objects in several places, no objects."""
    truth, predicted = (draw(hnp.arrays(np.int64, (3, 8), elements=st.integers(0, 4))) for _ in range(2))
    is_same = draw(hnp.arrays(bool, truth.shape))
    return truth, np.where(is_same, truth, predicted)


@given(small_labels())
def test_scores_of_few_voxels_are_those_of_scikit_image(pair):
    assume(
        any(n > 1 for n in np.bincount(pair[0].ravel())[1:])
    )  # scikit-image divides by the number of pairs
    found = values(table_of(*pair))
    error = adapted_rand_error(*pair)[0]
    split, merge = variation_of_information(*pair, ignore_labels=(0,))
    expected = (error, split, merge)
    assert (found["adapted_rand_error"], found["vi_split"], found["vi_merge"]) == pytest.approx(
        expected, abs=1e-12
    )
    for name, threshold in (("average_precision_50", 0.5), ("average_precision_75", 0.75)):
        n, n_true, n_predicted = matches(*pair, threshold)
        assert found[name] == n / (n_true + n_predicted - n)


@pytest.mark.parametrize("labels", [[1, 1, 2, 2, 0], [1, 2, 0]])
def test_perfect_scores_are_written_as_0_or_1(labels):
    found = InstanceScores.of(table_of(np.array(labels), np.array(labels) * 3))
    for name, metric in INSTANCE_METRICS.items():
        assert json.dumps(found.metrics[name]) == ("1.0" if metric.is_better_high else "0.0"), name


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_how_a_volume_is_cut_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    truth, predicted = blobs(seed)
    ignored = rng.random(truth.shape) < 0.1
    whole = table_of(truth, predicted, ignored)
    cut = InstanceOverlaps()
    for y in np.split(np.arange(24), np.sort(rng.integers(1, 23, 3))):
        for z in range(3):
            cut.add(truth[z, y], predicted[z, y], ignored[z, y])
    found = cut.table()
    for name in ("true", "predicted", "voxels"):
        assert np.array_equal(getattr(found, name), getattr(whole, name))


def test_splits_and_merges_are_each_other_s_mirror_image():
    truth, predicted = blobs(3)
    there, back = (values(table_of(*pair)) for pair in ((truth, predicted), (predicted, truth)))
    assert there["n_split"] > 0
    assert there["n_merged"] > 0
    assert (there["n_split"], there["n_merged"]) == (back["n_merged"], back["n_split"])
    assert (there["n_missed"], there["n_false"]) == (back["n_false"], back["n_missed"])


def test_a_small_scene_by_hand():
    truth = np.array([[1, 1, 1, 1, 0, 2, 2, 3, 3, 0, 0, 4, 4, 4]])
    guess = np.array([[7, 7, 8, 8, 0, 9, 9, 9, 9, 6, 6, 0, 0, 5]])
    found = InstanceScores.of(table_of(truth, guess))
    assert (found.n_true, found.n_predicted) == (4, 5)
    expected = {"n_split": 1, "n_merged": 1, "n_false": 1, "n_missed": 1, "average_precision_50": 0}
    assert {name: found.metrics[name] for name in expected} == expected
    (size,) = found.by_size
    assert size.model_dump() == {
        "from_voxels": 1,
        "to_voxels": 9,
        "found": 0,
        "merged": 2,
        "split": 1,
        "missed": 1,
    }


def test_sizes_are_in_powers_of_ten():
    truth = np.repeat([1, 2, 3, 0], [5, 10, 1000, 7])
    found = InstanceScores.of(table_of(truth, truth * 3))
    assert [(s.from_voxels, s.found) for s in found.by_size] == [(1, 1), (10, 1), (1000, 1)]
    assert found.metrics["panoptic_quality"] == 1
    assert found.metrics["adapted_rand_error"] == 0


def test_numbers_may_be_large_and_objects_single():
    truth = np.array([[2**62, 2**62, 0]], np.uint64)
    found = values(table_of(truth, np.array([[2**62 + 1, 2**62 + 1, 0]], np.int64)))
    assert found["f1"] == 1
    assert found["panoptic_quality"] == 1


@pytest.mark.parametrize("ignored", [False, True])
def test_without_objects_scores_are_undefined(ignored):
    nothing = np.zeros((2, 3), np.uint8)
    table = table_of(nothing + ignored, nothing, np.full(nothing.shape, ignored))
    found = InstanceScores.of(table)
    assert (found.n_true, found.n_predicted, found.by_size) == (0, 0, [])
    assert found.metrics["f1"] is None
    assert found.metrics["n_split"] == 0


def test_empty_predictions_and_truths_are_bad_and_not_undefined():
    cells, nothing = blobs(0)[0], np.zeros((3, 24, 30), np.uint8)
    assert values(table_of(cells, nothing))["f1"] == 0
    assert values(table_of(nothing, cells))["f1"] == 0
    assert math.isnan(values(table_of(nothing, cells))["adapted_rand_error"])
    assert values(table_of(cells, nothing))["n_missed"] == len(np.unique(cells)) - 1


def test_objects_of_several_images_have_nothing_to_do_with_each_other():
    pairs = [blobs(0), blobs(1)]
    found = values(together([table_of(*pair) for pair in pairs]))
    alone = [values(table_of(*pair)) for pair in pairs]
    for name in ("n_split", "n_merged", "n_missed", "n_false"):
        assert found[name] == sum(each[name] for each in alone)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="they must be equal"):
        table_of(np.zeros((2, 3), int), np.zeros((3, 2), int))
