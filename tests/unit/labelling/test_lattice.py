"""The places of boxes, and sums over each of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genenet.core.geometry import Box, blocks_of
from genenet.labelling import lattice as lattices
from genenet.labelling.lattice import BoxLattice, CellSums
from tests.support.examples import examples

SIZES = st.integers(1, 9)


@given(st.tuples(SIZES, SIZES, SIZES), st.tuples(SIZES, SIZES, SIZES), st.tuples(SIZES, SIZES, SIZES))
@examples(50)
def test_sums_are_those_of_the_boxes_voxels(shape, size, block):
    size = tuple(map(min, shape, size))
    lattice, rng = BoxLattice(shape, size), np.random.default_rng(0)
    labels, doubt = rng.integers(0, 3, shape, np.uint8), rng.random(shape)
    inside = rng.random(shape) < 0.7
    sums = CellSums(lattice, 3)
    for box in blocks_of(shape, block):
        sums.add(box, labels[box.slices], doubt[box.slices], inside[box.slices])
    voxels, of_doubt = lattice.of_boxes(sums.voxels), lattice.of_boxes(sums.doubt)
    for index in range(len(lattice.places)):
        box = lattice.box(index)
        assert box.intersect(Box.of_shape(shape)) == box
        for class_id in range(3):
            found = (labels[box.slices] == class_id) & inside[box.slices]
            assert voxels[class_id, index] == found.sum()
            assert of_doubt[class_id, index] == pytest.approx(doubt[box.slices][found].sum(), abs=1e-9)


def test_boxes_reach_every_voxel_and_overlap_by_half():
    lattice = BoxLattice((5, 70, 64), (2, 32, 32))
    covered = np.zeros(lattice.shape, bool)
    for index in range(len(lattice.places)):
        covered[lattice.box(index).slices] = True
    assert covered.all()
    assert lattice.starts[2].tolist() == [0, 16, 32]
    assert lattice.starts[1].tolist() == [0, 16, 32, 38]


def test_a_large_volume_has_fewer_places(monkeypatch):
    monkeypatch.setattr(lattices, "MOST_PLACES", 20)
    assert BoxLattice((4, 64, 64), (2, 16, 16)).starts[2].tolist() == [0, 16, 32, 48]


def test_boxes_of_an_order_do_not_share_voxels():
    lattice = BoxLattice((4, 40, 40), (2, 16, 16))
    order = np.random.default_rng(1).permutation(len(lattice.places))
    chosen = lattice.apart(order, 100)
    assert chosen[0] == order[0]
    covered = np.zeros(lattice.shape, int)
    for index in chosen:
        covered[lattice.box(index).slices] += 1
    assert covered.max() == 1
    rest = np.setdiff1d(order, chosen)
    assert lattice.meets([lattice.box(i) for i in chosen])[rest].all()
