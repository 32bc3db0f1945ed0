"""Tables of pieces and of the contacts between them.

A *piece* is a set of voxels of one class that connect through faces. Pieces don't depend on the connectivity
that a user chooses: a component of connectivity 26 consists of one or more pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Connectivity = Literal[6, 26]  # through faces; also at edges and corners

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
class PieceTable:
    """The properties of n pieces, or of n parts of pieces.

    Attributes:
        classes: (n,), the class id.
        n_voxels: (n,).
        first: (n,), the index of the first voxel in the volume's C order.
        sums: (3, n), the sums of the voxels' z, y and x.
        start: (3, n), the start of the bounding box.
        stop: (3, n), the end of the bounding box, exclusive.
        on_border: (n,), whether the piece touches the volume's border. An axis of one voxel has no border, so that
            a single slice is treated as an image in the plane.
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

    def merge(self, groups: NDArray[Any]) -> PieceTable:
        """Return a table with one row for each group.

        Args:
            groups: (n,), the group of each row. The groups are numbered 0, 1, 2 … without gaps.
        """
        n = int(groups.max(initial=0)) + 1
        small = groups.astype(np.uint16) if n <= 2**16 else groups  # numpy sorts uint16 in linear time
        order = np.argsort(small, kind="stable")
        begins = np.flatnonzero(np.diff(groups[order], prepend=-1))
        if not len(begins):
            return self
        columns = vars(self.take(order))
        return PieceTable(**{name: _MERGE[name].reduceat(c, begins, axis=-1) for name, c in columns.items()})

    def take(self, rows: NDArray[Any]) -> PieceTable:
        """Return the table of these rows, in this order."""
        return PieceTable(**{name: np.take(column, rows, axis=-1) for name, column in vars(self).items()})

    @staticmethod
    def concatenate(tables: Sequence[PieceTable]) -> PieceTable:
        """Return one table with the rows of all."""
        return PieceTable(
            **{name: np.concatenate([getattr(t, name) for t in tables], axis=-1) for name in _MERGE}
        )


@dataclass(frozen=True)
class Contacts:
    """Pairs of pieces that touch. Each pair occurs once.

    Attributes:
        low: (n,), the lower number of the two pieces.
        high: (n,), the higher number.
        faces: (n,), the number of voxel faces between the two; 0 if they touch only at edges or corners.
    """

    low: Ints
    high: Ints
    faces: Ints

    @classmethod
    def of(cls, a: NDArray[Any], b: NDArray[Any], faces: NDArray[Any]) -> Contacts:
        """Add up the faces of pairs that come in any order, repeatedly. A piece doesn't touch itself."""
        apart = np.flatnonzero(a != b)
        a, b, faces = (values[apart].astype(np.int64, copy=False) for values in (a, b, faces))
        size = int(max(a.max(initial=0), b.max(initial=0))) + 1
        keys = np.minimum(a, b) * size + np.maximum(a, b)  # one number sorts fast; it fits up to 3e9 pieces
        order = np.argsort(keys)
        keys = keys[order]
        begins = np.flatnonzero(np.diff(keys, prepend=-1))
        sums = np.add.reduceat(faces[order], begins) if len(begins) else faces
        return cls(keys[begins] // size, keys[begins] % size, sums)

    @staticmethod
    def concatenate(parts: Sequence[Contacts]) -> Contacts:
        """Return the contacts of all parts, of which there is at least one, added up."""
        return Contacts.of(
            *(np.concatenate([vars(p)[name] for p in parts]) for name in ("low", "high", "faces"))
        )

    def shift(self, by: int) -> Contacts:
        """Return the same contacts between pieces whose numbers are higher by ``by``."""
        return Contacts(self.low + by, self.high + by, self.faces)


def groups_of(n: int, a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.int32]:
    """Return the connected groups of ``n`` nodes, (n,), numbered from 0; ``a[i]`` and ``b[i]`` are connected."""
    matrix = coo_array((np.ones(len(a), bool), (a, b)), shape=(n, n))
    groups: NDArray[np.int32] = connected_components(matrix, directed=False)[1]
    return groups
