"""The places that a box may have in a volume, and sums over the voxels of every such box, in one pass of the volume.

Along each axis boxes begin at multiples of half their size, and one ends at the border. Their ends cut the axis into
intervals, and the volume into cells. A voxel is added to the sum of its cell. The sum of a box is that of its cells::

    boxes       |-------0-------|
                        |-------1-------|
                             |-------2-------|
    cells       |   0   |  1 |2 |   3   | 4  |
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.geometry import Box, Triple, each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MOST_PLACES = 2**21  # beyond, boxes begin at multiples of their size, so that sums of terabytes fit in memory


@dataclass(frozen=True)
class BoxLattice:
    """The places of boxes of one size.

    Attributes:
        shape: voxels of the volume.
        size: of a box, at most the volume's.
    """

    shape: Triple
    size: Triple

    @cached_property
    def starts(self) -> list[NDArray[np.int64]]:
        """Where boxes begin, along each axis."""
        half = [self._starts(max(1, n // 2), axis) for axis, n in enumerate(self.size)]
        if math.prod(map(len, half)) <= MOST_PLACES:
            return half
        return [self._starts(n, axis) for axis, n in enumerate(self.size)]

    def _starts(self, step: int, axis: int) -> NDArray[np.int64]:
        last = self.shape[axis] - self.size[axis]
        return np.unique([*range(0, last + 1, step), last]).astype(np.int64)

    @cached_property
    def edges(self) -> list[NDArray[np.int64]]:
        """The borders of cells along each axis, the first 0, the last the volume's."""
        return [
            np.unique([0, *starts, *(starts + size), n]).astype(np.int64)
            for starts, size, n in zip(self.starts, self.size, self.shape, strict=True)
        ]

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """The first voxels of all boxes (N, 3), in C order."""
        grid = np.meshgrid(*self.starts, indexing="ij")
        return np.stack([axis.ravel() for axis in grid], axis=1)

    @property
    def cells(self) -> Triple:
        """The number of cells along each axis."""
        return each(lambda edges: len(edges) - 1, self.edges)

    def box(self, index: int) -> Box:
        """Return a box by its index in ``places``."""
        z, y, x = self.places[index].tolist()
        return Box.of_shape(self.size, (z, y, x))

    def of_boxes(self, cells: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of each box, (…, N) in the order of ``places``, of the sums of cells (…, Z, Y, X)."""
        sums = cells
        for axis, (starts, size, edges) in enumerate(zip(self.starts, self.size, self.edges, strict=True)):
            at = axis - 3
            before = np.zeros_like(sums.take([0], at))
            total = np.concatenate([before, sums.cumsum(at)], at)
            first, stop = np.searchsorted(edges, starts), np.searchsorted(edges, starts + size)
            sums = total.take(stop, at) - total.take(first, at)
        return sums.reshape(*cells.shape[:-3], -1)

    def meets(self, boxes: Sequence[Box]) -> NDArray[np.bool_]:
        """Return which boxes (N,) share voxels with one of some other boxes."""
        found = np.zeros(len(self.places), bool)
        for box in boxes:
            after_start = self.places + self.size > np.array(box.start)
            found |= (after_start & (self.places < np.array(box.stop))).all(axis=1)
        return found

    def apart(self, order: NDArray[np.int64], most: int) -> list[int]:
        """Return the first boxes of an order that don't share voxels with one another, at most so many."""
        chosen: list[int] = []
        free = np.zeros(len(self.places), bool)
        free[order] = True
        for index in order.tolist():
            if len(chosen) == most:
                break
            if free[index]:
                chosen.append(index)
                free &= ~self.meets([self.box(index)])
        return chosen


class CellSums:
    """Sums over the cells of a lattice, to which voxels are added block by block.

    Args:
        lattice: of the volume.
        n_classes: of the labels.

    Attributes:
        voxels: of each class that count, (C, Z, Y, X) of cells.
        doubt: of these voxels, summed, likewise.
    """

    def __init__(self, lattice: BoxLattice, n_classes: int) -> None:
        self._lattice = lattice
        self.voxels = np.zeros((n_classes, *lattice.cells))
        self.doubt = np.zeros((n_classes, *lattice.cells))

    def add(
        self,
        box: Box,
        labels: NDArray[np.uint8],
        doubt: NDArray[np.floating[Any]],
        counts: NDArray[np.bool_] | None = None,
    ) -> None:
        """Add the voxels of a block.

        Args:
            box: the block.
            labels: class ids (Z, Y, X).
            doubt: of these voxels.
            counts: which of them count; None is all.
        """
        cells = [
            np.searchsorted(edges, np.arange(start, stop), side="right") - 1
            for edges, start, stop in zip(self._lattice.edges, box.start, box.stop, strict=True)
        ]
        first = each(lambda of_axis: int(of_axis[0]), cells)
        shape = each(lambda of_axis: int(of_axis[-1] - of_axis[0]) + 1, cells)
        _, local_y, local_x = (of_axis - start for of_axis, start in zip(cells, first, strict=True))
        in_plane = (local_y[:, None] * shape[2] + local_x).astype(np.int64)
        n_classes, n_plane = len(self.voxels), shape[1] * shape[2]
        for z, of_slice in enumerate(labels):
            index = of_slice.astype(np.int64) * n_plane + in_plane
            inside = slice(None) if counts is None else counts[z]
            where, values = index[inside].ravel(), doubt[z][inside].ravel()
            plane = (n_classes, shape[1], shape[2])
            at = (slice(None), int(cells[0][z]), *each_slice(first, shape)[1:])
            self.voxels[at] += np.bincount(where, minlength=n_classes * n_plane).reshape(plane)
            self.doubt[at] += np.bincount(where, values, n_classes * n_plane).reshape(plane)


def each_slice(start: Triple, shape: Triple) -> tuple[slice, slice, slice]:
    """Return the slices of a box of cells."""
    return each(slice, start, each(operator.add, start, shape))
