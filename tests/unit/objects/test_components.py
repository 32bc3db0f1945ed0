"""Pieces, specks, holes and objects, found block by block, against scikit-image and scipy on the whole volume."""

from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import binary_fill_holes
from skimage.measure import label, regionprops

from genenet.core.geometry import Box, tiles
from genenet.objects.block import LabelledBlock
from genenet.objects.cleaning import fill_holes, find_objects, remove_specks
from genenet.objects.graph import find_pieces
from tests.support.examples import examples

NEIGHBOURS = [offset for offset in product((-1, 0, 1), repeat=3) if any(offset)]
FACES = [offset for offset in NEIGHBOURS if sum(map(abs, offset)) == 1]


@st.composite
def volumes(draw):
    """Labels of up to four classes, noise or smooth, of any small shape, also slices, rows and single voxels."""
    shape = draw(st.tuples(*[st.integers(1, 6)] * 3))
    labels = draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, draw(st.integers(0, 3)))))
    for axis in draw(st.lists(st.sampled_from([0, 1, 2]), max_size=2, unique=True)):
        labels = np.repeat(labels, 2, axis=axis)
    return labels


blocks = st.tuples(*[st.integers(1, 7)] * 3)
connectivities = st.sampled_from([6, 26])


def graph_of(labels, block, connectivity):
    boxes = list(tiles(Box.of_shape(labels.shape), block))
    graph = find_pieces(labels.shape, boxes, lambda box: labels[box.slices], connectivity, Path("/tmp"))
    return boxes, graph


def painted(labels, boxes, graph, values):
    """The array of a value for each piece, written block by block."""
    out = np.empty(labels.shape, values.dtype)
    for index, box in enumerate(boxes):
        out[box.slices] = LabelledBlock(labels[box.slices]).fill(graph.of_block(index, values))
    return out


def by_first_voxel(ids):
    """Number from 0 on in the order of first voxels."""
    _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].reshape(ids.shape)


def components(labels, connectivity):
    """Those of all classes together, by scikit-image, numbered from 0 on."""
    return by_first_voxel(label(labels, background=-1, connectivity={6: 1, 26: 3}[connectivity]))


def neighbours(shape, offsets):
    """All pairs of voxels of a volume that lie at such offsets."""
    for at in np.ndindex(shape):
        for offset in offsets:
            other = tuple(np.add(at, offset))
            if all(0 <= i < n for i, n in zip(other, shape, strict=True)):
                yield at, other


@given(volumes(), blocks, connectivities)
@examples(200)
def test_pieces_and_contacts_are_those_of_the_whole_volume(labels, block, connectivity):
    boxes, graph = graph_of(labels, block, connectivity)
    ids = components(labels, 6)
    assert np.array_equal(painted(labels, boxes, graph, np.arange(len(graph.pieces))), ids)
    expected = Counter()
    for a, b in neighbours(labels.shape, NEIGHBOURS if connectivity == 26 else FACES):
        if ids[a] < ids[b]:
            expected[int(ids[a]), int(ids[b])] += np.abs(np.subtract(a, b)).sum() == 1
    contacts = graph.contacts
    found = zip(contacts.low.tolist(), contacts.high.tolist(), contacts.faces.tolist(), strict=True)
    assert {(a, b): n for a, b, n in found} == expected


@given(volumes(), blocks, connectivities)
@examples(200)
def test_objects_are_those_of_scikit_image(labels, block, connectivity):
    boxes, graph = graph_of(labels, block, connectivity)
    of_pieces, objects = find_objects(graph, graph.pieces.classes, [1, 3])
    found = painted(labels, boxes, graph, of_pieces)
    kept = np.isin(labels, [1, 3])
    expected = label(np.where(kept, labels, 0), connectivity={6: 1, 26: 3}[connectivity])
    expected[kept] = by_first_voxel(expected[kept]) + 1
    assert found.dtype == np.uint32
    assert np.array_equal(found, expected)
    assert len(objects) == expected.max()
    for region in regionprops(expected):
        i = region.label - 1
        assert objects.n_voxels[i] == region.area
        assert objects.sums[:, i] / region.area == pytest.approx(region.centroid)
        assert (*objects.start[:, i], *objects.stop[:, i]) == region.bbox
        assert objects.classes[i] == labels[tuple(region.coords[0])]
        ends = [([0, n - 1] if n > 1 else []) for n in labels.shape]
        outer = [np.isin(at, end).any() for at, end in zip(region.coords.T, ends, strict=True)]
        assert objects.on_border[i] == any(outer)


def specks_by_hand(labels, smallest, connectivity):
    """Voxel by voxel: specks become what they touch most, in rounds."""
    ids, out = components(labels, connectivity), labels.copy()
    left = {i for i in range(ids.max() + 1) if (ids == i).sum() < smallest[labels[ids == i][0]]}
    n_specks = len(left)
    while True:
        votes = {i: Counter() for i in left}
        for a, b in neighbours(labels.shape, FACES):
            if ids[a] in left and ids[b] not in left:
                votes[ids[a]][int(out[b])] += 1
        for i, classes in votes.items():
            if classes:
                out[ids == i] = min(classes, key=lambda c: (-classes[c], c))
        settled = {i for i, classes in votes.items() if classes}
        if not settled:
            return out, n_specks - len(left)
        left -= settled


@given(volumes(), blocks, connectivities, st.lists(st.integers(1, 9), min_size=4, max_size=4))
@examples(200)
def test_specks_become_what_they_touch_most(labels, block, connectivity, smallest):
    boxes, graph = graph_of(labels, block, connectivity)
    classes, removed = remove_specks(graph, graph.pieces.classes, smallest)
    expected, n_removed = specks_by_hand(labels, smallest, connectivity)
    assert np.array_equal(painted(labels, boxes, graph, classes), expected)
    assert removed.sum() == n_removed


@given(volumes(), blocks, st.lists(st.integers(1, 9), min_size=4, max_size=4))
def test_what_is_clean_stays(labels, block, smallest):
    """With faces alone: a piece that hangs together by edges or corners can be cut by a hole that is filled."""
    options = {"smallest": smallest, "holes": [(0, None), (2, 4)], "connectivity": 6}
    once = cleaned(labels, block, **options)
    assert np.array_equal(cleaned(once, **options), once)


def test_by_corners_what_a_filled_hole_leaves_of_a_component_is_kept():
    """Specks come first, holes second, each once: see docs/segmentation.md."""
    labels = np.array(
        [[[0, 0, 0, 0, 0],
          [0, 0, 1, 0, 0],
          [0, 1, 2, 1, 0],
          [0, 0, 1, 2, 0],
          [0, 0, 0, 0, 0]]], np.uint8,
    )  # fmt: skip
    options = {"smallest": [1, 1, 2], "holes": [(1, None)]}
    once = cleaned(labels, (1, 5, 5), connectivity=26, **options)
    assert (once[0, 2, 2], once[0, 3, 3]) == (1, 2)
    assert cleaned(once, (1, 5, 5), connectivity=26, **options)[0, 3, 3] != 2
    assert cleaned(labels, (1, 5, 5), connectivity=6, **options)[0, 3, 3] != 2  # a speck from the start


def holes_by_scipy(labels, class_id, largest):
    """Of an array without its axes of one voxel."""
    inside = (labels == class_id).squeeze()
    if not inside.ndim:
        return labels, 0
    holes = label(binary_fill_holes(inside) & ~inside, connectivity=1)
    sizes = np.bincount(holes.reshape(-1))
    kept = [i for i in range(1, len(sizes)) if largest is None or sizes[i] <= largest]
    return np.where(np.isin(holes, kept).reshape(labels.shape), np.uint8(class_id), labels), len(kept)


@given(volumes(), blocks, st.sampled_from([None, 1, 3]), connectivities)
@examples(200)
def test_holes_are_those_of_scipy(labels, block, largest, connectivity):
    boxes, graph = graph_of(labels, block, connectivity)
    classes, expected = graph.pieces.classes, labels
    for class_id in (0, 2):
        classes, n = fill_holes(graph, classes, class_id, largest)
        expected, n_expected = holes_by_scipy(expected, class_id, largest)
        assert n == n_expected
    assert np.array_equal(painted(labels, boxes, graph, classes), expected)


def comb(shape):
    """Two pieces, each a stack of every other slice with a spine: nearly every voxel has a face to the other piece."""
    labels = np.zeros(shape, np.uint8)
    labels[::2] = 1
    labels[:, 0], labels[:, -1] = 0, 1
    return labels


def faces_between_classes(labels):
    return sum(int((np.diff(labels.astype(np.int8), axis=axis) != 0).sum()) for axis in range(3))


@pytest.mark.slow
@pytest.mark.parametrize("connectivity", [6, 26])
def test_faces_are_counted_exactly_beyond_what_float32_holds(connectivity):
    """connected-components-3d counts in float32, which stops at 2^24."""
    labels = comb((19, 1000, 1000))
    contacts = LabelledBlock(labels).contacts(connectivity)
    assert contacts.faces.tolist() == [faces_between_classes(labels)]
    assert contacts.faces[0] > 2**24


def test_axes_may_be_longer_than_a_16_bit_number():
    labels = np.zeros((1, 2, 70_000), np.uint8)
    labels[0, 1, 69_000:] = 1
    table = LabelledBlock(labels).table(Box.of_shape(labels.shape, (5, 0, 0)), (9, 2, 70_000))
    assert table.stop.T.tolist() == [[6, 2, 70_000], [6, 2, 70_000]]
    assert table.start.T.tolist() == [[5, 0, 0], [5, 1, 69_000]]
    assert table.sums[2].tolist() == [69_000 * 34_499.5 + 70_000 * 34_999.5, 1000 * 69_499.5]
    assert table.first.tolist() == [5 * 140_000, 5 * 140_000 + 139_000]


def picture(*rows):
    return np.array([[[int(c) for c in row] for row in rows]], np.uint8)


def cleaned(labels, block=(1, 2, 3), smallest=(1, 1, 1, 1), holes=(), connectivity=6):
    boxes, graph = graph_of(labels, block, connectivity)
    classes, _ = remove_specks(graph, graph.pieces.classes, smallest)
    for class_id, largest in holes:
        classes, _ = fill_holes(graph, classes, class_id, largest)
    return painted(labels, boxes, graph, classes)


def test_a_speck_takes_the_class_with_most_faces_and_of_equals_the_smaller_id():
    assert np.array_equal(
        cleaned(picture("002", "032", "022"), smallest=[1, 1, 1, 2]), picture("002", "002", "022")
    )
    most = picture("202", "232", "222")
    assert np.array_equal(cleaned(most, smallest=[1, 1, 1, 2]), picture("202", "222", "222"))


def test_specks_among_specks_follow_in_rounds_and_nothing_but_specks_stays():
    row = picture("0000123")
    assert np.array_equal(cleaned(row, smallest=[2] * 4), picture("0000000"))
    assert np.array_equal(cleaned(row, smallest=[9] * 4), row)


def test_diagonals_make_one_component_of_26_and_two_of_6():
    labels = picture("1000", "0100", "0000")
    assert np.array_equal(cleaned(labels, smallest=[1, 2, 1, 1], connectivity=26), labels)
    assert not cleaned(labels, smallest=[1, 2, 1, 1], connectivity=6).any()


def test_a_hole_holds_whatever_is_in_it_and_has_a_largest_size():
    labels = picture("00000", "01110", "01210", "01310", "01110", "00000", "11011")
    filled = picture("00000", "01110", "01110", "01110", "01110", "00000", "11011")
    assert np.array_equal(cleaned(labels, holes=[(1, None)]), filled)
    assert np.array_equal(cleaned(labels, holes=[(1, 2)]), filled)
    assert np.array_equal(cleaned(labels, holes=[(1, 1)]), labels)


def test_in_a_stack_of_slices_a_ring_isnt_closed():
    ring = picture("000", "010", "000").repeat(3, axis=0)
    assert np.array_equal(cleaned(ring, holes=[(0, None)]), ring)
    ring[[0, 2]] = 0
    assert not cleaned(ring, holes=[(0, None)]).any()
