"""The pieces of a whole volume and their contacts, found block by block: a graph, small beside the volume.

Whatever is asked of connected components later (sizes, neighbours, holes) is asked of the graph, without the voxels.
The graph is the same whatever the blocks: pieces are numbered by their first voxel.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.segmentation.components.runs import Contacts, LabelledBlock, Pieces, groups_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from genenet.core.geometry import Box, Triple
    from genenet.segmentation.components.runs import Ints


@dataclass(frozen=True)
class PieceGraph:
    """All pieces of a volume, and which touch.

    Attributes:
        pieces: n of them, in the order of their first voxels.
        contacts: between them; those without faces only if they were asked for (connectivity 26).
        piece_of: (m,), the piece of each part of a piece, the parts of all blocks one after the other.
        offsets: (blocks + 1,), where each block's parts begin.
    """

    pieces: Pieces
    contacts: Contacts
    piece_of: NDArray[np.int32]
    offsets: Ints

    @cached_property
    def through_faces(self) -> Contacts:
        """Contacts that aren't only at edges or corners."""
        c = self.contacts
        rows = c.faces > 0
        return Contacts(c.low[rows], c.high[rows], c.faces[rows])

    def components(self, classes: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Return the connected component (n,) of each piece, if the pieces had these ``classes`` (n,)."""
        low, high = self.contacts.low, self.contacts.high
        same = classes[low] == classes[high]
        return groups_of(len(self.pieces), low[same], high[same])

    def of_block(self, index: int, values: NDArray[Any]) -> NDArray[Any]:
        """Return what of ``values`` (n,) each part of a block has."""
        return values[self.piece_of[self.offsets[index] : self.offsets[index + 1]]]


def find_pieces(
    shape: Triple,
    boxes: Iterable[Box],
    read: Callable[[Box], NDArray[np.uint8]],
    connectivity: int,
    scratch: Path,
) -> PieceGraph:
    """Find the pieces of a volume.

    Args:
        shape: voxels along z, y, x.
        boxes: the blocks, a regular grid in C order.
        read: returns the labels of a block.
        connectivity: 6 or 26, which contacts are wanted.
        scratch: a folder for two slices of eight bytes a voxel; nothing is left there.
    """
    seams = _Seams(shape, connectivity, scratch)
    tables, contacts, offsets = [], [], [0]
    for box in boxes:
        block = LabelledBlock(read(box))
        tables.append(block.table(box, shape))
        inner = block.contacts(connectivity)
        offset = offsets[-1]
        contacts += [Contacts(inner.low + offset, inner.high + offset, inner.faces)]
        contacts += seams.add(box, block, offset)
        offsets.append(offset + block.n_pieces)
    return _join(Pieces.concatenate(tables), Contacts.concatenate(contacts), np.array(offsets))


def _join(parts: Pieces, contacts: Contacts, offsets: Ints) -> PieceGraph:
    """Join parts of one class that touch through faces: they are one piece, which blocks have cut."""
    one = (parts.classes[contacts.low] == parts.classes[contacts.high]) & (contacts.faces > 0)
    groups = groups_of(len(parts), contacts.low[one], contacts.high[one])
    pieces = parts.merge(groups)
    order = np.argsort(pieces.first)
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    piece_of = place[groups]
    joined = Contacts.of(piece_of[contacts.low], piece_of[contacts.high], contacts.faces)
    return PieceGraph(pieces.take(order), joined, piece_of, offsets)


class _Seams:
    """The last planes of the blocks that came before, and where the next block touches them.

    Slices are as large as the volume is wide, so those between two layers of blocks are mapped files. In all planes
    stands the number of the part plus one; 0 is beyond the volume. Planes are one voxel wider on all sides.
    """

    def __init__(self, shape: Triple, connectivity: int, scratch: Path) -> None:
        self._connectivity = connectivity
        self._shape = shape
        self._scratch = scratch
        self._slices = [self._plane(), self._plane()]  # of the layer before, and of this one
        self._rows: list[NDArray[np.int64]] = []
        self._left = np.zeros((0, 0), np.int64)

    def _plane(self) -> NDArray[np.int64]:
        shape = (self._shape[1] + 2, self._shape[2] + 2)
        with tempfile.TemporaryFile(dir=self._scratch) as file:  # it has no name: also a kill leaves nothing
            os.posix_fallocate(
                file.fileno(), 0, 8 * shape[0] * shape[1]
            )  # a full disk is an error here, not a SIGBUS
            return np.memmap(file, np.int64, "r+", shape=shape)

    def add(self, box: Box, block: LabelledBlock, offset: int) -> list[Contacts]:
        """Return the contacts with earlier blocks of a block whose parts are numbered from ``offset`` on."""
        z, y, x = box.start
        depth, height, width = box.shape
        if y == x == 0:
            self._slices.reverse()
            self._rows = [np.zeros((depth, self._shape[2] + 2), np.int64) for _ in range(2)]
        if x == 0:
            self._rows.reverse()
        found = []
        around_y, around_x = slice(y, y + height + 2), slice(x, x + width + 2)
        if z:
            found.append(self._touch(block.plane(0, 0) + offset, self._slices[0][around_y, around_x]))
        if y:
            found.append(
                self._touch(block.plane(1, 0) + offset, np.pad(self._rows[0][:, around_x], ((1, 1), (0, 0))))
            )
        if x:
            found.append(self._touch(block.plane(2, 0) + offset, np.pad(self._left, 1)))
        self._slices[1][y + 1 : y + 1 + height, x + 1 : x + 1 + width] = block.plane(0, -1) + offset + 1
        self._rows[1][:, x + 1 : x + 1 + width] = block.plane(1, -1) + offset + 1
        self._left = block.plane(2, -1) + offset + 1
        return found

    def _touch(self, own: NDArray[np.int64], other: NDArray[np.int64]) -> Contacts:
        """Return the contacts of two planes, (h, w) and (h + 2, w + 2) with what is around it."""
        h, w = own.shape
        parts = []
        for dy, dx in product(range(3), range(3)) if self._connectivity == 26 else [(1, 1)]:
            a, b = own.reshape(-1), other[dy : dy + h, dx : dx + w].reshape(-1)
            begins = np.flatnonzero(np.diff(a, prepend=-1) | np.diff(b, prepend=-1))
            n = np.diff(begins, append=a.size) * (dy == dx == 1)
            there = b[begins] > 0
            parts.append(Contacts.of(a[begins][there], b[begins][there] - 1, n[there]))
        return Contacts.concatenate(parts)
