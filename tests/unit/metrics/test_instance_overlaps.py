import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.metrics import contingency_table

from genenet.metrics import instance_overlaps
from genenet.metrics.instance_overlaps import InstanceOverlaps

INTEGERS = (np.uint8, np.int16, np.uint32, np.int64, np.uint64)


def overlaps_of(truth, predicted, ignored=None):
    overlaps = InstanceOverlaps()
    overlaps.add(np.asarray(truth), np.asarray(predicted), None if ignored is None else np.asarray(ignored))
    return overlaps


def entries(overlaps):
    table = overlaps.table()
    return list(zip(table.true.tolist(), table.predicted.tolist(), table.voxels.tolist(), strict=True))


def counted(truth, predicted):
    """The same table by counting voxel by voxel."""
    pairs = list(zip(np.ravel(truth).tolist(), np.ravel(predicted).tolist(), strict=True))
    return [(*pair, pairs.count(pair)) for pair in sorted(set(pairs))]


@st.composite
def volumes(draw):
    """Truth, prediction and ignored voxels of a small volume, each of its own integer type."""
    shape = draw(st.tuples(*3 * [st.integers(1, 4)]))
    truth, predicted = (
        draw(hnp.arrays(draw(st.sampled_from(INTEGERS)), shape, elements=st.integers(0, 4))) for _ in range(2)
    )
    return truth, predicted, draw(hnp.arrays(bool, shape))


@given(volumes())
def test_the_table_is_that_of_scikit_image(volume):
    truth, predicted = (labels.astype(np.int64) for labels in volume[:2])
    expected = contingency_table(truth, predicted).toarray()
    assert entries(overlaps_of(*volume[:2])) == counted(truth, predicted)
    assert {(i, j): n for i, j, n in entries(overlaps_of(truth, predicted))} == {
        (i, j): expected[i, j] for i, j in zip(*expected.nonzero(), strict=True)
    }


@given(volumes(), st.data())
def test_the_table_does_not_depend_on_how_the_volume_was_cut(volume, data):
    truth, predicted, ignored = volume
    cuts = [
        sorted({0, n, *data.draw(st.lists(st.integers(0, n), max_size=3))}) for n in truth.shape
    ]  # the volume's boxes between these planes
    boxes = [
        tuple(slice(*ends) for ends in box)
        for z in zip(cuts[0][:-1], cuts[0][1:], strict=True)
        for y in zip(cuts[1][:-1], cuts[1][1:], strict=True)
        for x in zip(cuts[2][:-1], cuts[2][1:], strict=True)
        for box in [(z, y, x)]
    ]
    first, second = InstanceOverlaps(), InstanceOverlaps()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instance_overlaps, "CHUNK_VOXELS", data.draw(st.integers(1, 9)))
        patch.setattr(instance_overlaps, "MERGED_ROWS", data.draw(st.integers(0, 5)))
        for box in data.draw(st.permutations(boxes)):
            not_counted = ignored[box] if ignored[box].any() else None
            data.draw(st.sampled_from([first, second])).add(truth[box], predicted[box], not_counted)
        cut = first + second
    assert entries(cut) == counted(truth[~ignored], predicted[~ignored])


def test_boxes_are_counted_in_chunks(monkeypatch):
    monkeypatch.setattr(instance_overlaps, "CHUNK_VOXELS", 2)
    assert entries(overlaps_of([1, 1, 1, 2, 2], [3] * 5)) == [(1, 3, 3), (2, 3, 2)]


def test_ids_beyond_32_bits_stay_apart():
    truth = np.array([1, 1 + 2**32, 2**63 - 1, 2**63], np.uint64)
    predicted = np.array([1, 1, 2**63 - 2, 2**63 - 1], np.int64)
    assert entries(overlaps_of(truth, predicted)) == [
        (1, 1, 1),
        (1 + 2**32, 1, 1),
        (2**63 - 1, 2**63 - 2, 1),
        (2**63, 2**63 - 1, 1),
    ]


def test_memory_is_that_of_the_table(monkeypatch):
    """Equal entries of many boxes are summed on the way."""
    monkeypatch.setattr(instance_overlaps, "MERGED_ROWS", 8)
    overlaps = InstanceOverlaps()
    for _ in range(100):
        overlaps.add(np.array([0, 1, 2]), np.array([0, 7, 7]))
        assert sum(len(voxels) for *_, voxels in overlaps._parts) <= 3 + 8
    assert entries(overlaps) == [(0, 0, 100), (1, 7, 100), (2, 7, 100)]


def test_each_entry_is_summed_rarely(monkeypatch):
    """Twice as many new entries cost twice the time, not four times."""
    monkeypatch.setattr(instance_overlaps, "MERGED_ROWS", 2)
    summed, merged = [], InstanceOverlaps._merged
    monkeypatch.setattr(
        InstanceOverlaps, "_merged", lambda self: (summed.append(self._parts), merged(self))[1]
    )
    overlaps = InstanceOverlaps()
    for index in range(1000):
        overlaps.add(np.array([index]), np.array([index]))
    assert 5 < len(summed) < 12
    assert sum(len(voxels) for parts in summed for *_, voxels in parts) < 3 * 1000


def test_no_voxels():
    for empty in (InstanceOverlaps(), overlaps_of(np.zeros((0, 3), int), np.zeros((0, 3), int))):
        assert entries(empty) == []
    assert entries(InstanceOverlaps() + overlaps_of([1], [2])) == [(1, 2, 1)]
    assert entries(overlaps_of([1, 2], [1, 2], [True, True])) == []


def test_adding_tables_leaves_them_as_they_were():
    one, other = overlaps_of([1], [2]), overlaps_of([1], [3])
    assert entries(one + other) == [(1, 2, 1), (1, 3, 1)]
    assert (entries(one), entries(other)) == ([(1, 2, 1)], [(1, 3, 1)])


@pytest.mark.parametrize(
    ("truth", "predicted", "ignored", "message"),
    [
        ([0, 1], [0, 1, 2], None, r"truth has shape \(2,\), predicted \(3,\); they must be equal"),
        ([0, 1], [0, 1], [False], r"truth has shape \(2,\), ignored \(1,\); they must be equal"),
        ([0, -1], [0, 0], None, "truth has the number -1; numbers of objects are not negative"),
        ([0, 1], [0, -3], None, "predicted has the number -3"),
        ([0, 1], [0, 1.5], None, "predicted is of type float64; numbers of objects are integers"),
    ],
)
def test_bad_arrays_leave_the_table_as_it_was(truth, predicted, ignored, message):
    overlaps = overlaps_of([1], [1])
    with pytest.raises(ValueError, match=message):
        overlaps.add(np.array(truth), np.array(predicted), None if ignored is None else np.array(ignored))
    assert entries(overlaps) == [(1, 1, 1)]
