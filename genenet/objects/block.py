"""The pieces of one block of labels, found by connected-components-3d (https://github.com/seung-lab/connected-components-3d)."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import cc3d
import numpy as np

from genenet.objects.pieces import Contacts, PieceTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genenet.core.geometry import Box, Triple
    from genenet.objects.pieces import Connectivity, Ints

# cc3d counts faces in float32, which is exact up to 2^24. A voxel has three faces that no other voxel has counted.
EXACT_VOXELS = 2**24 // 3


class LabelledBlock:
    """The pieces of a block of labels (Z, Y, X), numbered from 0 by their first voxels in C order."""

    def __init__(self, labels: NDArray[np.uint8]) -> None:
        self.shape: Triple = (labels.shape[0], labels.shape[1], labels.shape[2])
        self._labels = np.ascontiguousarray(labels)
        # cc3d takes 0 for the background, which has no components; its own labels are 1 … n
        foreground = np.add(self._labels, 1, dtype=np.uint16)
        found = cc3d.connected_components(foreground, connectivity=6, return_N=True)
        self._pieces: NDArray[Any] = found[0]
        self.n_pieces = int(found[1])

    def fill(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return an array (Z, Y, X) that has at each voxel the value of its piece; ``values`` is (n_pieces,)."""
        filled: NDArray[Any] = np.concatenate([values[:1], values])[self._pieces]
        return filled

    def plane(self, axis: int, index: int) -> Ints:
        """Return the pieces of the voxels of a plane across an axis."""
        pieces: Ints = np.take(self._pieces, index, axis).astype(np.int64)
        return pieces - 1

    def table(self, box: Box, shape: Triple) -> PieceTable:
        """Return the table of the pieces; the block is ``box`` of a volume of ``shape``."""
        found = cc3d.statistics(self._pieces, no_slice_conversion=True)
        n_voxels = found["voxel_counts"][1:].astype(np.int64)
        corner, end = (np.array(values, np.int64)[:, None] for values in (box.start, shape))
        bounds = found["bounding_boxes"][1:].astype(np.int64)  # first and last of z, of y, of x
        start, stop = bounds[:, 0::2].T + corner, bounds[:, 1::2].T + 1 + corner
        # a centroid is a sum divided by a count, both below 2^53: the rounded product is the sum again
        sums = np.rint(found["centroids"][1:].T * n_voxels).astype(np.int64) + corner * n_voxels
        at = self._first_voxels()
        first: Ints = np.ravel_multi_index(tuple(np.stack(np.unravel_index(at, self.shape)) + corner), shape)
        on_border = (((start == 0) | (stop == end)) & (end > 1)).any(axis=0)
        return PieceTable(self._labels.reshape(-1)[at], n_voxels, first, sums, start, stop, on_border)

    def _first_voxels(self) -> NDArray[np.intp]:
        """Return the index of each piece's first voxel in C order, where the highest number so far rises."""
        highest = np.maximum.accumulate(self._pieces.reshape(-1))
        first = np.flatnonzero(np.diff(highest, prepend=highest.dtype.type(0)))
        if len(first) != self.n_pieces:
            raise RuntimeError("connected-components-3d doesn't number components by their first voxels")
        return first

    def contacts(self, connectivity: Connectivity) -> Contacts:
        """Return which pieces touch: through faces (6), or also at edges and corners (26).

        The block is cut into slabs along z, small enough that cc3d counts faces exactly, and the faces between two
        slabs are added::

            z ->  [  slab  ][  slab  ][ slab ]
                          ^^        ^^          planes that are compared
        """
        _, height, width = self.shape
        depth = max(1, EXACT_VOXELS // (height * width))
        found = [_no_contacts()]
        for z in range(0, self.shape[0], depth):
            found.append(_contacts_within(self._pieces[z : z + depth], connectivity))
            if z:
                before = np.pad(self.plane(0, z - 1) + 1, 1)
                found.append(contacts_of_planes(self.plane(0, z), before, connectivity))
        return Contacts.concatenate(found)


def _no_contacts() -> Contacts:
    none = np.zeros(0, np.int64)
    return Contacts(none, none, none)


def _contacts_within(pieces: NDArray[Any], connectivity: Connectivity) -> Contacts:
    """Return the contacts of pieces numbered from 1 in an array (Z, Y, X)."""
    found = cc3d.contacts(pieces, connectivity=connectivity)
    if not found:
        return _no_contacts()
    pairs = np.array(list(found)) - 1
    return Contacts.of(pairs[:, 0], pairs[:, 1], np.array(list(found.values())))


def contacts_of_planes(own: Ints, other: Ints, connectivity: Connectivity) -> Contacts:
    """Return the contacts between two planes of voxels that lie side by side.

    Args:
        own: (h, w), numbers of pieces from 0.
        other: (h + 2, w + 2), numbers of pieces from 1, 0 beyond the volume. It has a margin of one voxel::

            . . . . .         A voxel of ``own`` at (y, x) shares a face with that of ``other`` at (y + 1, x + 1),
            . o o o .         and an edge or a corner with the eight around that one.
            . o o o .
            . . . . .

        connectivity: 6, faces only, or 26.
    """
    h, w = own.shape
    found = []
    for dy, dx in product(range(3), range(3)) if connectivity == 26 else [(1, 1)]:
        a, b = own.reshape(-1), other[dy : dy + h, dx : dx + w].reshape(-1)
        # runs of equal pairs are counted as a whole: there are far fewer of them than voxels
        begins = np.flatnonzero(np.diff(a, prepend=-1) | np.diff(b, prepend=-1))
        n_faces = np.diff(begins, append=a.size) * (dy == dx == 1)
        inside = b[begins] > 0
        found.append(Contacts.of(a[begins][inside], b[begins][inside] - 1, n_faces[inside]))
    return Contacts.concatenate(found)
