"""How true and predicted objects overlap: a sparse table of counts, collected box by box.

Memory is that of the table: a row for each pair of objects that share a voxel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ids = NDArray[np.uint64]
    Counts = NDArray[np.int64]

CHUNK_VOXELS = 2**22  # counted at a time, since counting takes up to about 80 bytes for each voxel
MERGED_ROWS = 2**16  # rows that are collected before equal ones are added up, if the table isn't larger


@dataclass
class InstanceOverlaps:
    """Counts the voxels of each pair of a true and a predicted object; 0 stands for no object.

    The result doesn't depend on how a volume is cut into boxes, nor on their order.
    """

    _parts: list[tuple[Ids, Ids, Counts]] = field(default_factory=list)
    _n_new: int = 0  # rows that were collected since equal ones were last added up

    def add(
        self, truth: NDArray[Any], predicted: NDArray[Any], ignored: NDArray[np.bool_] | None = None
    ) -> None:
        """Count the voxels of a box.

        Args:
            truth: numbers of objects, of any shape and integer type, not negative.
            predicted: likewise, of the same shape.
            ignored: of the same shape; voxels that don't count.

        Raises:
            ValueError: If the shapes differ, or if numbers are negative or no integers. Nothing is then counted.
        """
        for what, array in (("predicted", predicted), ("ignored", ignored)):
            if array is not None and array.shape != truth.shape:
                raise ValueError(f"truth has shape {truth.shape}, {what} {array.shape}; they must be equal")
        _check_numbers("truth", truth)
        _check_numbers("predicted", predicted)
        a, b = truth.reshape(-1), predicted.reshape(-1)
        counts = None if ignored is None else ~ignored.reshape(-1)
        for start in range(0, a.size, CHUNK_VOXELS):
            chunk = slice(start, start + CHUNK_VOXELS)
            counted = chunk if counts is None else start + np.flatnonzero(counts[chunk])
            self._collect(*_counted(a[counted], b[counted]))

    def _collect(self, *rows: *tuple[Ids, Ids, Counts]) -> None:
        self._parts.append(rows)
        self._n_new += len(rows[0])
        # the table at least doubles in between, so each row is sorted again few times only
        if self._n_new > max(MERGED_ROWS, len(self._parts[0][0])):
            self._parts, self._n_new = [self._merged()], 0

    def __add__(self, other: InstanceOverlaps) -> InstanceOverlaps:
        """Return the sum of two tables, of volumes whose objects have the same numbers."""
        return InstanceOverlaps([self._merged(), other._merged()])

    def _merged(self) -> tuple[Ids, Ids, Counts]:
        empty = np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.int64)
        return added_up(*(np.concatenate(columns) for columns in zip(empty, *self._parts, strict=True)))

    def table(self) -> OverlapTable:
        """Return the table of what was counted so far."""
        return OverlapTable(*self._merged())


def _check_numbers(what: str, numbers: NDArray[Any]) -> None:
    if numbers.dtype.kind not in "biu":
        raise ValueError(f"{what} is of type {numbers.dtype}; numbers of objects are integers")
    if numbers.dtype.kind == "i" and numbers.min(initial=0) < 0:
        raise ValueError(f"{what} has the number {numbers.min()}; numbers of objects are not negative")


def _counted(a: NDArray[Any], b: NDArray[Any]) -> tuple[Ids, Ids, Counts]:
    """Count 1D arrays. Neighbours mostly belong to the same pair, so runs of equal pairs are sorted and not voxels."""
    begins = np.flatnonzero(np.concatenate([[a.size > 0], (a[1:] != a[:-1]) | (b[1:] != b[:-1])]))
    lengths = np.diff(begins, append=a.size)
    return added_up(a[begins].astype(np.uint64), b[begins].astype(np.uint64), lengths)


def together(tables: Sequence[OverlapTable]) -> OverlapTable:
    """Return one table of several images, whose objects have nothing to do with each other."""
    parts: list[tuple[Ids, Ids, Counts]] = []
    for index, table in enumerate(tables):
        true, predicted = (_renumbered(ids, index) for ids in (table.true, table.predicted))
        parts.append((true, predicted, table.voxels))
    return InstanceOverlaps(parts).table()


def _renumbered(ids: Ids, image: int) -> Ids:
    """Return numbers that objects of no other image have; 0 stays no object."""
    found, place = np.unique(ids, return_inverse=True)
    numbers = place.astype(np.uint64) + np.uint64((image << 40) + 1)
    return np.where(found[place] == 0, np.uint64(0), numbers)


def added_up(a: Ids, b: Ids, counts: Counts) -> tuple[Ids, Ids, Counts]:
    """Return each pair of numbers once, sorted, with the sum of its counts."""
    order = np.lexsort((b, a))
    a, b = a[order], b[order]
    begins = np.flatnonzero(np.concatenate([[a.size > 0], (a[1:] != a[:-1]) | (b[1:] != b[:-1])]))
    sums = np.add.reduceat(counts[order], begins) if len(begins) else np.zeros(0, np.int64)
    return a[begins], b[begins], sums.astype(np.int64)


@dataclass(frozen=True)
class OverlapTable:
    """All pairs of a true and a predicted object that share voxels, (n,) each; 0 stands for no object.

    Attributes:
        true: numbers of true objects.
        predicted: numbers of predicted objects.
        voxels: that they share.
    """

    true: Ids
    predicted: Ids
    voxels: Counts

    @cached_property
    def sizes(self) -> tuple[Counts, Counts]:
        """For each row, the voxels of its true and of its predicted object."""
        return _sums(self.true, self.voxels), _sums(self.predicted, self.voxels)

    @cached_property
    def are_objects(self) -> NDArray[np.bool_]:
        """Whether each row is of two objects."""
        both: NDArray[np.bool_] = (self.true != 0) & (self.predicted != 0)
        return both

    @cached_property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each row's objects, 0 where one of them is no object."""
        true, predicted = self.sizes
        found: NDArray[np.float64] = self.voxels / (true + predicted - self.voxels)
        return np.where(self.are_objects, found, 0.0)

    @cached_property
    def true_objects(self) -> tuple[Ids, Counts]:
        """The true objects, in order, and their voxels."""
        return _objects(self.true, self.voxels)

    @cached_property
    def predicted_objects(self) -> tuple[Ids, Counts]:
        """The predicted objects, in order, and their voxels."""
        return _objects(self.predicted, self.voxels)


def _sums(ids: Ids, voxels: Counts) -> Counts:
    _, place = np.unique(ids, return_inverse=True)
    sums: Counts = np.bincount(place, voxels).astype(np.int64)[place]
    return sums


def _objects(ids: Ids, voxels: Counts) -> tuple[Ids, Counts]:
    found, place = np.unique(ids, return_inverse=True)
    sums = np.bincount(place, voxels, len(found)).astype(np.int64)
    return found[found != 0], sums[found != 0]
