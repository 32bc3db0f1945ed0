"""Contacts between the blocks of a volume, found from the planes at which blocks meet."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import numpy as np

from genenet.objects.block import contacts_of_planes

if TYPE_CHECKING:
    from pathlib import Path

    from genenet.core.geometry import Box, Triple
    from genenet.objects.block import LabelledBlock
    from genenet.objects.pieces import Connectivity, Contacts, Ints


class Seams:
    """The last planes of earlier blocks. A new block is compared with them.

    Blocks come in C order. Block B meets earlier blocks with the first of its planes along each axis. A picture
    of a layer of blocks, seen along z::

        +-------+-------+-------+
        |       |       |       |      ``_behind``: the last rows of the blocks that end where B begins along y
        +=======+=======+=======+
        |       |                      ``_left``: the last plane along x of the block before B
        |    _left  B   |
        |       |       |
        +-------+-------+              ``_below``: the last slices of the whole layer before, below B and around it

    An edge or a corner that B shares with a block diagonally before it lies in one of these planes, one voxel
    beyond B. Planes therefore have a margin of one voxel on each side. They hold the number of the part plus one;
    0 is beyond the volume.

    ``_below`` and the slices of the present layer are as wide as the volume: they are memory-mapped files.
    """

    def __init__(self, shape: Triple, connectivity: Connectivity, scratch: Path) -> None:
        self._shape = shape
        self._connectivity = connectivity
        self._below, self._slices = (_scratch_plane(shape[1] + 2, shape[2] + 2, scratch) for _ in range(2))
        self._behind, self._rows = (np.zeros((0, 0), np.int64) for _ in range(2))
        self._left = np.zeros((0, 0), np.int64)

    def add(self, box: Box, block: LabelledBlock, offset: int) -> list[Contacts]:
        """Return the contacts of a block with earlier ones, and keep its last planes.

        Args:
            box: the block's place in the volume.
            block: its pieces; here they are parts of pieces, numbered from ``offset``.
            offset: how many parts earlier blocks have.
        """
        z, y, x = box.start
        self._begin_layer_or_row(box)
        near_y, near_x = (slice(box.start[axis], box.stop[axis] + 2) for axis in (1, 2))  # margins included
        met = []  # axis and the plane before the block's first one
        if z:
            met.append((0, self._below[near_y, near_x]))
        if y:
            met.append((1, np.pad(self._behind[:, near_x], ((1, 1), (0, 0)))))
        if x:
            met.append((2, np.pad(self._left, 1)))
        self._keep(box, block, offset)
        return [
            contacts_of_planes(block.plane(axis, 0) + offset, plane, self._connectivity)
            for axis, plane in met
        ]

    def _begin_layer_or_row(self, box: Box) -> None:
        """Let the present slices and rows become those of earlier blocks."""
        _, y, x = box.start
        if x == 0 and y == 0:
            self._below, self._slices = self._slices, self._below
            self._behind, self._rows = (
                np.zeros((box.shape[0], self._shape[2] + 2), np.int64) for _ in range(2)
            )
        elif x == 0:
            self._behind, self._rows = self._rows, self._behind

    def _keep(self, box: Box, block: LabelledBlock, offset: int) -> None:
        # index i of the volume is i + 1 in a plane that has a margin
        rows, columns = (slice(box.start[axis] + 1, box.stop[axis] + 1) for axis in (1, 2))
        self._slices[rows, columns] = block.plane(0, -1) + offset + 1
        self._rows[:, columns] = block.plane(1, -1) + offset + 1
        self._left = block.plane(2, -1) + offset + 1


def _scratch_plane(height: int, width: int, scratch: Path) -> Ints:
    """Return zeros (height, width) in a file without a name, of which also a kill leaves nothing."""
    with tempfile.TemporaryFile(dir=scratch) as file:
        # space is reserved now: a full disk is an error here, and not a SIGBUS later
        os.posix_fallocate(file.fileno(), 0, 8 * height * width)
        return np.memmap(file, np.int64, "r+", shape=(height, width))
