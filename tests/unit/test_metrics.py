import math
from fractions import Fraction

import numpy as np
import pytest
from genenet.metrics import IGNORE, Contingency, adjusted_rand_index, scores
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.metrics import adapted_rand_error, variation_of_information
from sklearn.metrics import adjusted_rand_score

N = 5
labels = hnp.arrays(np.uint8, st.integers(2, 60), elements=st.integers(0, N - 1))
pairs = labels.flatmap(
    lambda a: st.tuples(st.just(a), hnp.arrays(np.uint8, a.shape, elements=st.integers(0, N - 1)))
)


def table_of(truth, prediction):
    table = Contingency.empty(N)
    table.add(truth, prediction)
    return table


@given(pairs)
def test_ari_is_that_of_scikit_learn(pair):
    expected = adjusted_rand_score(*pair)
    assert table_of(*pair).adjusted_rand_index == pytest.approx(expected, abs=1e-12)
    assert adjusted_rand_index(*pair) == expected


@pytest.mark.parametrize(
    "pair",
    [
        ([0, 0, 0], [1, 1, 1]),
        ([0, 1, 2], [2, 0, 1]),
        ([0, 0, 0], [0, 1, 2]),
        ([0, 0, 1, 1], [0, 1, 0, 1]),
        ([3], [3]),
    ],
)
def test_ari_of_degenerate_labels_is_that_of_scikit_learn(pair):
    assert table_of(*pair).adjusted_rand_index == pytest.approx(adjusted_rand_score(*pair), abs=1e-12)


@given(pairs, st.permutations(range(N)))
def test_ari_does_not_depend_on_the_names_of_classes(pair, names):
    truth, prediction = pair
    renamed = np.array(names, np.uint8)[prediction]
    assert table_of(truth, renamed).adjusted_rand_index == table_of(truth, prediction).adjusted_rand_index


@given(pairs)
def test_adapted_rand_error_is_that_of_scikit_image(pair):
    table = table_of(*pair)
    _, true, predicted = table._pairs
    if true and predicted:  # scikit-image divides by zero otherwise
        expected, *_ = adapted_rand_error(*pair, ignore_labels=())
        assert table.adapted_rand_error == pytest.approx(expected, abs=1e-12)


@given(pairs)
def test_variation_of_information_is_that_of_scikit_image(pair):
    # scikit-image returns H(prediction | truth), H(truth | prediction)
    assert table_of(*pair).variation_of_information == pytest.approx(
        variation_of_information(*pair), abs=1e-12
    )


@given(pairs, st.integers(0, 60))
def test_slabs_add_up_to_the_whole(pair, cut):
    truth, prediction = pair
    slabs = table_of(truth[:cut], prediction[:cut]) + table_of(truth[cut:], prediction[cut:])
    assert np.array_equal(slabs.table, table_of(truth, prediction).table)


def test_iou_accuracy_by_hand():
    table = table_of([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0])
    assert table.accuracy == 4 / 6
    assert table.iou[:3] == pytest.approx([2 / 4, 2 / 3, 0])
    assert np.isnan(table.iou[3:]).all()
    assert table.mean_iou == pytest.approx((2 / 4 + 2 / 3 + 0) / 3)


def test_ignored_voxels_do_not_count():
    table = table_of([0, IGNORE, 1], [0, 0, 1])
    assert table.n_voxels == 2
    assert table.accuracy == 1


@pytest.mark.parametrize("scale", [10**6, 10**9, 10**12])
def test_no_overflow_at_many_voxels(scale):
    table = Contingency(np.array([[5, 1, 0], [2, 7, 1], [0, 3, 9]], np.int64) * scale)
    count = lambda n: Fraction(int(n)) * (int(n) - 1) / 2  # noqa: E731
    both = sum(count(n) for n in table.table.ravel())
    true, predicted = (sum(count(n) for n in table.table.sum(axis=a)) for a in (1, 0))
    expected = true * predicted / count(table.n_voxels)
    exact = (both - expected) / ((true + predicted) / 2 - expected)
    assert table.adjusted_rand_index == pytest.approx(float(exact), rel=1e-14)
    assert table.n_voxels == 28 * scale


def test_what_is_not_defined_is_none_in_json():
    said = scores(Contingency.empty(2))
    assert said["ari"] is None
    assert said["iou"] == [None, None]
    assert math.isnan(Contingency.empty(2).mean_iou)


def test_bad_arrays():
    with pytest.raises(ValueError, match=r"truth has shape \(2,\), prediction \(3,\)"):
        table_of([0, 1], [0, 1, 2])
    with pytest.raises(ValueError, match="prediction has ids 0 to 7; those of 5 classes are 0 to 4"):
        table_of([0, 1], [0, 7])
