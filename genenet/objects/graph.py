"""The pieces of a whole volume and their contacts, found block by block: a graph, small compared with the volume.

Questions about connected components (sizes, neighbours, holes) are answered from the graph, without the voxels.
The graph doesn't depend on the blocks: pieces are numbered by their first voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.objects.block import LabelledBlock
from genenet.objects.pieces import Contacts, PieceTable, groups_of
from genenet.objects.seams import Seams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from genenet.core.geometry import Box, Triple
    from genenet.objects.pieces import Connectivity, Ints


@dataclass(frozen=True)
class PieceGraph:
    """All n pieces of a volume, and which of them touch.

    Blocks cut pieces into parts; m is the number of the parts of all blocks. Seen along one axis, with two blocks::

        labels      a a b b │ b b c
        parts       0 0 1 1 │ 2 2 3      numbered block after block: offsets = 0, 2, 4
        pieces      0 0 1 1 │ 1 1 2      1 and 2 touch and are of one class: piece_of = 0, 1, 1, 2

    Attributes:
        pieces: the table of pieces, in the order of their first voxels.
        contacts: between pieces; those without faces only if connectivity 26 was asked for.
        piece_of: (m,), the piece of each part; the parts of all blocks one after the other.
        offsets: (blocks + 1,), the number of the first part of each block.
    """

    pieces: PieceTable
    contacts: Contacts
    piece_of: NDArray[np.int32]
    offsets: Ints

    @cached_property
    def through_faces(self) -> Contacts:
        """The contacts through at least one face."""
        c = self.contacts
        rows = c.faces > 0
        return Contacts(c.low[rows], c.high[rows], c.faces[rows])

    def components(self, classes: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Return the connected component (n,) of each piece, if the pieces had these ``classes`` (n,)."""
        low, high = self.contacts.low, self.contacts.high
        same = classes[low] == classes[high]
        return groups_of(len(self.pieces), low[same], high[same])

    def of_block(self, index: int, values: NDArray[Any]) -> NDArray[Any]:
        """Return for each part of a block the value of its piece; ``values`` is (n,)."""
        return values[self.piece_of[self.offsets[index] : self.offsets[index + 1]]]


def find_pieces(
    shape: Triple,
    boxes: Iterable[Box],
    read: Callable[[Box], NDArray[np.uint8]],
    connectivity: Connectivity,
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
    seams = Seams(shape, connectivity, scratch)
    tables, contacts, offsets = [], [], [0]
    for box in boxes:
        block = LabelledBlock(read(box))
        offset = offsets[-1]
        tables.append(block.table(box, shape))
        contacts += [block.contacts(connectivity).shift(offset), *seams.add(box, block, offset)]
        offsets.append(offset + block.n_pieces)
    return _join(PieceTable.concatenate(tables), Contacts.concatenate(contacts), np.array(offsets))


def _join(parts: PieceTable, contacts: Contacts, offsets: Ints) -> PieceGraph:
    """Join the parts of pieces that blocks have cut: parts of one class that touch through faces."""
    cut = (parts.classes[contacts.low] == parts.classes[contacts.high]) & (contacts.faces > 0)
    groups = groups_of(len(parts), contacts.low[cut], contacts.high[cut])
    pieces = parts.merge(groups)
    order = np.argsort(pieces.first)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    piece_of = rank[groups]
    joined = Contacts.of(piece_of[contacts.low], piece_of[contacts.high], contacts.faces)
    return PieceGraph(pieces.take(order), joined, piece_of, offsets)
