"""Pieces of a labelled block: voxels of one class that connect through faces; what each is, and which touch.

A block is cut into runs, rows of equal voxels along x, which are far fewer than voxels. Two runs of
neighbouring rows meet along a segment in which neither row changes, so that all contacts, with their number of
faces, are found by comparing rows as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genenet.core.geometry import Box, Triple

    Ints = NDArray[np.int64]
    Pairs = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]

_MERGE: dict[str, np.ufunc] = {
    "classes": np.minimum,
    "n_voxels": np.add,
    "first": np.minimum,
    "sums": np.add,
    "start": np.minimum,
    "stop": np.maximum,
    "on_border": np.logical_or,
}


@dataclass(frozen=True)
class Pieces:
    """A table of pieces, or of parts of them: n of each.

    Attributes:
        classes: (n,), the class id of its voxels.
        n_voxels: (n,).
        first: (n,), where its first voxel is in the volume's C order.
        sums: (3, n), sums of its voxels' z, y and x.
        start: (3, n), the corner of the box around it.
        stop: (3, n), the opposite corner, not included.
        on_border: (n,), whether it touches the volume's border. An axis of one voxel has no border, so that a
            single slice is an image in the plane.
    """

    classes: NDArray[np.uint8]
    n_voxels: Ints
    first: Ints
    sums: Ints
    start: Ints
    stop: Ints
    on_border: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.classes)

    def merge(self, groups: NDArray[Any]) -> Pieces:
        """Return the table of groups; ``groups`` (n,) holds each of the numbers 0 … of the groups."""
        n = int(groups.max(initial=0)) + 1
        small = groups.astype(np.uint16) if n <= 2**16 else groups  # which numpy sorts in linear time
        order = np.argsort(small, kind="stable")
        begins = np.flatnonzero(np.diff(groups[order], prepend=-1))
        if not len(begins):
            return self
        columns = vars(self.take(order))
        return Pieces(**{name: _MERGE[name].reduceat(c, begins, axis=-1) for name, c in columns.items()})

    def take(self, rows: NDArray[Any]) -> Pieces:
        """Return those with these numbers."""
        return Pieces(**{name: np.take(column, rows, axis=-1) for name, column in vars(self).items()})

    @staticmethod
    def concatenate(tables: Sequence[Pieces]) -> Pieces:
        """Return one table of all."""
        return Pieces(
            **{name: np.concatenate([getattr(t, name) for t in tables], axis=-1) for name in _MERGE}
        )


@dataclass(frozen=True)
class Contacts:
    """Pairs of pieces that touch, each pair once.

    Attributes:
        low: (n,) number of one piece.
        high: (n,) number of the other, higher.
        faces: (n,) voxel faces between them; 0 if they only touch at edges or corners.
    """

    low: Ints
    high: Ints
    faces: Ints

    @classmethod
    def of(cls, a: NDArray[Any], b: NDArray[Any], faces: NDArray[Any]) -> Contacts:
        """Sum up pairs that come in any order and number; a piece doesn't touch itself."""
        apart = np.flatnonzero(a != b)
        a, b, faces = (values[apart].astype(np.int64, copy=False) for values in (a, b, faces))
        size = int(max(a.max(initial=0), b.max(initial=0))) + 1
        keys = np.minimum(a, b) * size + np.maximum(a, b)  # fits up to 3e9 pieces; one number sorts fast
        order = np.argsort(keys)
        keys = keys[order]
        begins = np.flatnonzero(np.diff(keys, prepend=-1))
        sums = np.add.reduceat(faces[order], begins) if len(begins) else faces
        return cls(keys[begins] // size, keys[begins] % size, sums)

    @staticmethod
    def concatenate(parts: Sequence[Contacts]) -> Contacts:
        """Return the contacts of all parts, of which there is at least one, summed up."""
        return Contacts.of(
            *(np.concatenate([vars(p)[name] for p in parts]) for name in ("low", "high", "faces"))
        )


def groups_of(n: int, a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.int32]:
    """Return the groups (n,) that pairs ``a``, ``b`` of ``n`` nodes connect them to, numbered from 0."""
    matrix = coo_array((np.ones(len(a), bool), (a, b)), shape=(n, n))
    groups: NDArray[np.int32] = connected_components(matrix, directed=False)[1]
    return groups


class LabelledBlock:
    """Runs and pieces of a block of labels (Z, Y, X); the same block always gives the same numbers."""

    def __init__(self, labels: NDArray[np.uint8]) -> None:
        self.shape: Triple = (labels.shape[0], labels.shape[1], labels.shape[2])
        flat = np.ascontiguousarray(labels).reshape(-1)
        self._begins = np.empty(flat.size, bool)
        np.not_equal(flat[1:], flat[:-1], out=self._begins[1:])
        self._begins[:: self.shape[2]] = True
        self._at = np.flatnonzero(self._begins)
        self._lengths = np.diff(self._at, append=flat.size)
        self._classes = flat[self._at]
        self._run_of = np.repeat(np.arange(len(self._at), dtype=np.int32), self._lengths)
        self._beside = [self._meetings(-1, 0), self._meetings(0, -1)]

    @cached_property
    def _piece_of(self) -> NDArray[np.int32]:
        """The piece of each run."""
        a, b, _ = (np.concatenate(columns) for columns in zip(*self._beside, strict=True))
        same = self._classes[a] == self._classes[b]
        return groups_of(len(self._at), a[same], b[same])

    @property
    def n_pieces(self) -> int:
        """Number of pieces."""
        return int(self._piece_of.max()) + 1

    def fill(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return an array (Z, Y, X) of the value of each voxel's piece."""
        return np.repeat(values[self._piece_of], self._lengths).reshape(self.shape)

    def plane(self, axis: int, index: int) -> Ints:
        """Return the pieces of the voxels of a plane across an axis."""
        pieces: Ints = self._piece_of[self._run_of.reshape(self.shape).take(index, axis)].astype(np.int64)
        return pieces

    def table(self, box: Box, shape: Triple) -> Pieces:
        """Return the table of the pieces, for a block that is ``box`` of a volume of ``shape``."""
        start = np.stack(np.unravel_index(self._at, self.shape)) + np.array(box.start)[:, None]
        stop = start + 1
        stop[2] += self._lengths - 1
        sums = start * self._lengths
        sums[2] = (start[2] + stop[2] - 1) * self._lengths // 2
        on_border = np.zeros(len(self._at), bool)
        for axis in (axis for axis, n in enumerate(shape) if n > 1):
            on_border |= (start[axis] == 0) | (stop[axis] == shape[axis])
        first = np.ravel_multi_index(tuple(start), shape)
        runs = Pieces(self._classes, self._lengths, first, sums, start, stop, on_border)
        return runs.merge(self._piece_of)

    def contacts(self, connectivity: int) -> Contacts:
        """Return which pieces touch, through faces (6) or also at edges and corners (26)."""
        before = np.flatnonzero(self._at[1:] % self.shape[2])  # runs that another follows in the same row
        found = [(before, before + 1, np.ones(len(before), np.int64)), *self._beside]
        if connectivity == 26:
            found += [(a, b, np.zeros_like(n)) for a, b, n in (self._meetings(-1, dy) for dy in (-1, 1))]
            found += [self._crossings(*rows) for rows in ((-1, -1), (-1, 0), (-1, 1), (0, -1))]
        pairs = [(self._piece_of[a], self._piece_of[b], n) for a, b, n in found]
        return Contacts.concatenate([Contacts.of(*columns) for columns in pairs])

    def _meetings(self, dz: int, dy: int) -> Pairs:
        """Return the runs that lie beside each other in a row and that ``dz``, ``dy`` from it, and their voxels."""
        n_x = self.shape[2]
        back = self._distance(dz, dy)
        at = np.flatnonzero(self._begins[back:] | self._begins[: self._begins.size - back]) + back
        lengths = np.minimum(np.diff(at, append=self._begins.size), n_x - at % n_x)
        inside = self._has_row(at, dz, dy)
        at = at[inside]
        return self._run_of[at], self._run_of[at - back], lengths[inside]

    def _crossings(self, dz: int, dy: int) -> Pairs:
        """Return the runs that meet askew only: where both rows change at the same place.

        Elsewhere, of two voxels that are also apart along x, one has a neighbour along x in the same run that
        is beside the other, and `_meetings` has found them.
        """
        back = self._distance(dz, dy)
        at = np.flatnonzero(self._begins[back:] & self._begins[: self._begins.size - back]) + back
        at = at[self._has_row(at, dz, dy) & (at % self.shape[2] > 0)]
        a, b = self._run_of[at], self._run_of[at - back]
        return np.concatenate([a, a - 1]), np.concatenate([b - 1, b]), np.zeros(2 * len(at), np.int64)

    def _distance(self, dz: int, dy: int) -> int:
        """How many voxels further back in C order that row is; all, if it can't be in the block."""
        _, n_y, n_x = self.shape
        return min(-(dz * n_y + dy) * n_x, self._begins.size)

    def _has_row(self, at: Ints, dz: int, dy: int) -> NDArray[np.bool_]:
        """Whether the rows of voxels have another one ``dz``, ``dy`` from them in the block."""
        _, n_y, n_x = self.shape
        row = at // n_x
        y = row % n_y + dy
        has: NDArray[np.bool_] = (row // n_y + dz >= 0) & (y >= 0) & (y < n_y)
        return has
