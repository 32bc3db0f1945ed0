import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.metrics import adapted_rand_error, variation_of_information
from sklearn.metrics import adjusted_rand_score

from genenet.core.ignore import IGNORE
from genenet.metrics import contingency
from genenet.metrics.contingency import Contingency, scores
from tests.support.ari import adjusted_rand_index

N = 5
BIG = np.array([[5, 1, 0], [2, 7, 1], [0, 3, 9]], np.int64)  # sums to 28


@st.composite
def pairs(draw):
    """Truth and prediction of up to N classes each; few classes are likely, so are degenerate cases."""
    n_voxels = draw(st.integers(2, 60))
    ids = (st.integers(0, draw(st.integers(0, N - 1))) for _ in range(2))
    return tuple(draw(hnp.arrays(np.uint8, n_voxels, elements=i)) for i in ids)


def table_of(truth, prediction, n_classes=N):
    table = Contingency.empty(n_classes)
    table.add(truth, prediction)
    return table


def scaled(total):
    """BIG, scaled to about ``total`` voxels, with odd remainders so that nothing is round."""
    return Contingency(BIG * (total // 28) + np.arange(9).reshape(3, 3))


@given(pairs())
def test_ari_is_that_of_scikit_learn(pair):
    expected = adjusted_rand_score(*pair)
    assert table_of(*pair).adjusted_rand_index == pytest.approx(expected, abs=1e-12)
    assert adjusted_rand_index(*pair) == expected


def test_ari_of_a_whole_volume_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 7, (20, 80, 100)).astype(np.uint8)
    prediction = np.where(rng.random(truth.shape) < 0.8, truth, rng.integers(0, 7, truth.shape))
    table = table_of(truth, prediction, 7)
    assert 0.3 < table.adjusted_rand_index < 0.9
    assert table.adjusted_rand_index == pytest.approx(
        adjusted_rand_score(truth.ravel(), prediction.ravel()), abs=1e-12
    )
    assert adjusted_rand_index(truth, prediction) == pytest.approx(table.adjusted_rand_index, abs=1e-12)


@pytest.mark.parametrize(
    ("truth", "prediction", "ari"),
    [
        ([0, 0, 0], [1, 1, 1], 1.0),  # one class on both sides
        ([0, 1, 2], [2, 0, 1], 1.0),  # every voxel alone on both sides
        ([0, 0, 0], [0, 1, 2], 0.0),
        ([0, 1, 2], [0, 0, 0], 0.0),
        ([0, 0, 0, 0], [0, 0, 1, 1], 0.0),
        ([0, 0, 1, 1], [0, 1, 0, 1], -0.5),
        ([3], [4], 1.0),
    ],
)
def test_ari_of_degenerate_labels_is_that_of_scikit_learn(truth, prediction, ari):
    assert adjusted_rand_score(truth, prediction) == ari
    assert table_of(truth, prediction).adjusted_rand_index == ari


@given(pairs(), st.permutations(range(N)))
def test_ari_does_not_depend_on_the_names_of_classes(pair, names):
    truth, prediction = pair
    renamed = np.array(names, np.uint8)[prediction]
    assert table_of(truth, renamed).adjusted_rand_index == table_of(truth, prediction).adjusted_rand_index


@given(pairs())
def test_adapted_rand_error_is_that_of_scikit_image(pair):
    found = table_of(*pair).adapted_rand
    assume(not math.isnan(found.precision) and not math.isnan(found.recall))  # scikit-image divides by zero
    # scikit-image 0.26 returns recall where it documents precision: scikit-image issue 6485
    error, recall, precision = adapted_rand_error(*(a.astype(int) for a in pair), ignore_labels=())
    assert found == pytest.approx((error, precision, recall), abs=1e-12)


def test_splitting_lowers_recall_and_merging_precision():
    one, two = [0, 0, 0, 0], [0, 0, 1, 1]
    split, merge = table_of(one, two), table_of(two, one)
    assert split.adapted_rand == pytest.approx((0.5, 1, 2 / 6))  # 2 of the 6 true pairs
    assert merge.adapted_rand == pytest.approx((0.5, 2 / 6, 1))
    assert split.variation_of_information == (1, 0)
    assert merge.variation_of_information == (0, 1)
    assert merge.variation_of_information.merge == 1


def test_adapted_rand_without_pairs():
    alone, together = [0, 1, 2], [0, 0, 0]
    assert table_of(alone, alone).adapted_rand == pytest.approx((0, math.nan, math.nan), nan_ok=True)
    assert table_of(alone, together).adapted_rand == pytest.approx((1, 0, math.nan), nan_ok=True)
    assert table_of(together, alone).adapted_rand == pytest.approx((1, math.nan, 0), nan_ok=True)


@given(pairs())
def test_variation_of_information_is_that_of_scikit_image(pair):
    expected = variation_of_information(*pair)  # H(prediction | truth), H(truth | prediction)
    assert table_of(*pair).variation_of_information == pytest.approx(tuple(expected), abs=1e-12)


def test_tiny_variation_of_information_does_not_cancel():
    n = 10**12  # one wrong voxel in n: n / (n + 1) * log2((n + 1) / n) + 1 / (n + 1) * log2(n + 1)
    expected = (1 / math.log(2) + math.log2(n + 1)) / (n + 1)
    table = Contingency(np.array([[n, 1], [0, 0]], np.int64))
    assert table.variation_of_information.split == pytest.approx(expected, rel=1e-11, abs=0)
    assert table.variation_of_information.merge == 0


def test_iou_accuracy_by_hand():
    table = table_of([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0])
    assert table.table[:3, :3].tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert table.accuracy == 4 / 6
    assert table.iou == pytest.approx([2 / 4, 2 / 3, 0, math.nan, math.nan], nan_ok=True)
    assert table.mean_iou == pytest.approx((2 / 4 + 2 / 3 + 0) / 3)


def test_a_class_that_is_only_predicted_counts_as_missed():
    assert table_of([0, 0], [0, 3]).mean_iou == pytest.approx((1 / 2 + 0) / 2)


@given(pairs(), st.integers(0, 60), st.integers(1, 9))
def test_slabs_add_up_to_the_whole(pair, cut, chunk):
    truth, prediction = pair
    whole = table_of(truth, prediction)
    merged = table_of(truth[:cut], prediction[:cut]) + table_of(truth[cut:], prediction[cut:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contingency, "CHUNK_VOXELS", chunk)
        in_place = table_of(truth[:cut], prediction[:cut])
        in_place.add(truth[cut:], prediction[cut:])
    assert np.array_equal(merged.table, whole.table)
    assert np.array_equal(in_place.table, whole.table)
    assert whole.n_voxels == truth.size


def test_entries_are_true_class_then_predicted():
    assert table_of([1, 1, 0], [0, 0, 1], 2).table.tolist() == [[0, 1], [2, 0]]


def test_slabs_of_any_memory_order_and_type():
    truth = np.arange(24).reshape(2, 3, 4) % N
    expected = table_of(truth, truth // 2).table
    for dtype in (np.uint8, np.uint16, np.uint64, np.int32):
        assert np.array_equal(table_of(np.asfortranarray(truth, dtype), truth // 2).table, expected)


@given(pairs(), st.data())
def test_ignored_voxels_do_not_count(pair, data):
    truth, prediction = pair
    kept = data.draw(hnp.arrays(bool, truth.shape))
    table = table_of(np.where(kept, truth, IGNORE), np.where(kept, prediction, 200))
    assert np.array_equal(table.table, table_of(truth[kept], prediction[kept]).table)
    reference = adjusted_rand_index(np.where(kept, truth, IGNORE), prediction)
    assert reference == pytest.approx(table.adjusted_rand_index, abs=1e-12, nan_ok=True)


def test_merging_leaves_the_parts_as_they_were():
    one, other = table_of([0], [0]), table_of([1], [2])
    assert (one + other).n_voxels == 2
    assert (one.n_voxels, other.n_voxels) == (1, 1)


@pytest.mark.parametrize("total", [10**6, 10**9, 10**12, 10**17])
def test_scores_of_many_voxels_are_exact(total):
    table = scaled(total)
    counts = [[Fraction(n) for n in row] for row in table.table.tolist()]
    rows, columns = [sum(row) for row in counts], [sum(column) for column in zip(*counts, strict=True)]
    both = sum(n * (n - 1) / 2 for row in counts for n in row)
    true, predicted = (sum(n * (n - 1) / 2 for n in sums) for sums in (rows, columns))
    n = sum(rows)
    chance = true * predicted / (n * (n - 1) / 2)
    assert table.n_voxels == n
    assert table.adjusted_rand_index == float((both - chance) / ((true + predicted) / 2 - chance))
    assert table.adapted_rand == (
        float(1 - 2 * both / (true + predicted)),
        float(both / predicted),
        float(both / true),
    )
    assert table.accuracy == float(sum(counts[i][i] for i in range(3)) / n)
    assert table.iou.tolist() == [
        float(counts[i][i] / (rows[i] + columns[i] - counts[i][i])) for i in range(3)
    ]


@pytest.mark.parametrize("total", [10**9, 10**12])
def test_variation_of_information_of_many_voxels_is_that_of_few(total):
    many = Contingency(BIG * (total // 28)).variation_of_information
    assert many == pytest.approx(Contingency(BIG).variation_of_information, abs=1e-12)


def test_scores_as_json():
    said = scores(table_of([0, 0, 1, 1], [0, 0, 1, 2], 3), ["background", "cell", "nucleus"])
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert said == {
        "n_voxels": 4,
        "ari": pytest.approx(adjusted_rand_score([0, 0, 1, 1], [0, 0, 1, 2])),
        "accuracy": 0.75,
        "mean_iou": 0.5,
        "adapted_rand_error": pytest.approx(1 / 3),
        "variation_of_information_split": pytest.approx(0.5),
        "variation_of_information_merge": 0,
        "iou": [1, 0.5, 0],
        "confusion": [[2, 0, 0], [0, 1, 1], [0, 0, 0]],
        "class_names": ["background", "cell", "nucleus"],
    }


def test_without_voxels_nothing_is_defined():
    said = scores(Contingency.empty(2))
    assert said.pop("n_voxels") == 0
    assert said.pop("iou") == [None, None]
    assert said.pop("confusion") == [[0, 0], [0, 0]]
    assert set(said.values()) == {None}
    assert math.isnan(adjusted_rand_index([IGNORE, IGNORE], [0, 1]))


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        ([0, 1], [0, 1, 2], r"truth has shape \(2,\), prediction \(3,\); they must agree"),
        ([0, 1], [0, 7], "prediction has ids 0 to 7; those of 5 classes are 0 to 4"),
        ([0, 5], [0, 0], "truth has ids 0 to 5"),
        ([0, -1], [0, 0], "truth has ids -1 to 0"),
        ([0, 1], [0, IGNORE], "prediction has ids 0 to 255"),  # only the truth ignores
        ([0.0, 1.5], [0, 1], "truth is of type float64; class ids are integers"),
    ],
)
def test_bad_arrays_leave_the_table_as_it_was(truth, prediction, message):
    table = table_of([0], [0])
    with pytest.raises(ValueError, match=message):
        table.add(truth, prediction)
    assert table.n_voxels == 1


def test_bad_tables():
    with pytest.raises(ValueError, match=r"table has shape \(2, 3\) of int64; it must be \(C, C\)"):
        Contingency(np.zeros((2, 3), np.int64))
    with pytest.raises(ValueError, match=r"\(2, 2\) of float64"):
        Contingency(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="C <= 255"):
        Contingency.empty(256)  # class 255 would be IGNORE
    with pytest.raises(ValueError, match="tables of 1 and 5 classes can't be merged"):
        Contingency.empty(1) + Contingency.empty(N)
    with pytest.raises(ValueError, match="1 class names for 5 classes"):
        scores(Contingency.empty(N), ["cell"])
