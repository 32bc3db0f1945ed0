"""What is measured about numbered objects, block by block: sizes, places, surfaces and what they touch.

A face is where two voxels meet along an axis. Faces at the end of the volume aren't counted, since nothing is known
about what lies beyond. A block is read with the voxels before it, so that each face is seen once::

    before │ block            the face between voxel i - 1 and voxel i belongs to the block of i
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cc3d
import numpy as np

from genenet.core.geometry import Box, each
from genenet.objects.table import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from genenet.core.geometry import Triple

    Numbers = NDArray[np.uint32]
    Values = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """A block of a segmented volume, with one more voxel before it along each axis, where there is one.

    Attributes:
        box: of the block, in the volume.
        objects: numbers (Z, Y, X), of what was read.
        classes: class ids (Z, Y, X).
        uncertainty: (Z, Y, X), 0 to 1.
        border: probability (Z, Y, X).
        disagreement: of the members (Z, Y, X); None if it wasn't stored.
    """

    box: Box
    objects: Numbers
    classes: NDArray[np.uint8]
    uncertainty: Values
    border: Values
    disagreement: Values | None

    @staticmethod
    def read_box(box: Box) -> Box:
        """Return what is read for a block."""
        return Box(each(lambda start: max(0, start - 1), box.start), box.stop)

    @property
    def start(self) -> Triple:
        """The first voxel that was read."""
        return self.read_box(self.box).start

    def faces(self, axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Return the slices of the voxels before and after the block's faces along an axis."""
        inner = list(self.box.relative_to(self.start).slices)
        before, after = list(inner), list(inner)
        size = self.objects.shape[axis]
        before[axis], after[axis] = slice(0, size - 1), slice(1, size)
        return tuple(before), tuple(after)

    def at(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the part of an array of what was read that is the block."""
        inner: NDArray[Any] = values[self.box.relative_to(self.start).slices]
        return inner


@dataclass
class ObjectMeasures:
    """Sums over the voxels and faces of each object; index 0 of every array is no object.

    Attributes:
        n_objects: numbered from 1.
        n_classes: of the segmentation.
        shape: of the volume.
    """

    n_objects: int
    n_classes: int
    shape: Triple
    voxels: Values = field(init=False)
    sums: Values = field(init=False)  # (3, n), of z, y, x
    start: NDArray[np.int64] = field(init=False)  # (3, n)
    stop: NDArray[np.int64] = field(init=False)
    uncertainty: Values = field(init=False)
    surface: Values = field(init=False)  # (3, n), faces along each axis
    touching: Values = field(
        init=False
    )  # (3, classes, n), faces to voxels of each class outside of the object
    _slices: list[NDArray[np.int64]] = field(
        default_factory=list
    )  # number * depth + z, each once for a block

    def __post_init__(self) -> None:
        n = self.n_objects + 1
        self.voxels, self.uncertainty = np.zeros(n), np.zeros(n)
        self.sums, self.surface = np.zeros((3, n)), np.zeros((3, n))
        self.start, self.stop = np.full((3, n), 2**62), np.zeros((3, n), np.int64)
        self.touching = np.zeros((3, self.n_classes, n))

    def add(self, seen: Seen) -> None:
        """Add a block."""
        objects = np.ascontiguousarray(seen.at(seen.objects))
        if objects.any():
            self._add_voxels(objects, seen)
        for axis in range(3):
            self._add_faces(seen, axis)

    def _add_voxels(self, objects: Numbers, seen: Seen) -> None:
        found = cc3d.statistics(objects, no_slice_conversion=True)
        counts = found["voxel_counts"].astype(np.float64)
        here = np.flatnonzero(counts[1:]) + 1
        corner = np.array(seen.box.start, np.int64)[:, None]
        bounds = found["bounding_boxes"][here].astype(np.int64)  # first and last of z, of y, of x
        self.voxels[here] += counts[here]
        self.sums[:, here] += np.rint(found["centroids"][here].T * counts[here]) + corner * counts[here]
        self.start[:, here] = np.minimum(self.start[:, here], bounds[:, 0::2].T + corner)
        self.stop[:, here] = np.maximum(self.stop[:, here], bounds[:, 1::2].T + 1 + corner)
        inside = objects != 0
        self.uncertainty += np.bincount(
            objects[inside], seen.at(seen.uncertainty)[inside], self.n_objects + 1
        )
        for z, plane in enumerate(objects, seen.box.start[0]):
            numbers = np.flatnonzero(np.bincount(plane[plane != 0], minlength=1))
            self._slices.append(numbers * self.shape[0] + z)

    def _add_faces(self, seen: Seen, axis: int) -> None:
        before, after = seen.faces(axis)
        a, b = seen.objects[before], seen.objects[after]
        apart = a != b
        for one, other_class in ((a, seen.classes[after]), (b, seen.classes[before])):
            at = apart & (one != 0)
            numbers, classes = one[at], other_class[at]
            self.surface[axis] += np.bincount(numbers, minlength=self.n_objects + 1)
            keys = classes.astype(np.int64) * (self.n_objects + 1) + numbers
            found = np.bincount(keys, minlength=self.n_classes * (self.n_objects + 1))
            self.touching[axis] += found[: self.touching[axis].size].reshape(self.touching[axis].shape)

    def n_slices(self) -> NDArray[np.int64]:
        """Return the number of slices (n,) that each object has voxels in."""
        keys = np.unique(np.concatenate([np.zeros(0, np.int64), *self._slices]))
        return np.bincount(keys // self.shape[0], minlength=self.n_objects + 1)

    def on_border(self) -> NDArray[np.bool_]:
        """Return whether each object (n,) touches the end of the volume; an axis of one voxel has no end."""
        shape = np.array(self.shape)[:, None]
        found: NDArray[np.bool_] = (((self.start == 0) | (self.stop == shape)) & (shape > 1)).any(axis=0)
        return found


@dataclass
class ContactMeasures:
    """Sums over the faces between each pair of objects that touch."""

    n_objects: int
    _parts: list[tuple[NDArray[np.int64], Values]] = field(default_factory=list)

    # columns of the sums of a pair: faces along z, y, x; border and disagreement; z, y, x, all times 2 but the faces
    N_SUMS = 8

    def add(self, seen: Seen) -> None:
        """Add the faces of a block."""
        for axis in range(3):
            before, after = seen.faces(axis)
            a, b = seen.objects[before], seen.objects[after]
            at = (a != b) & (a != 0) & (b != 0)
            if not at.any():
                continue
            low, high = np.minimum(a[at], b[at]).astype(np.int64), np.maximum(a[at], b[at]).astype(np.int64)
            self._parts.append(_grouped(low * (self.n_objects + 1) + high, self._sums_of(seen, axis, at)))

    def _sums_of(self, seen: Seen, axis: int, at: NDArray[np.bool_]) -> Values:
        before, after = seen.faces(axis)
        sums = np.zeros((self.N_SUMS, int(at.sum())))
        sums[axis] = 1
        sums[3] = seen.border[before][at] + seen.border[after][at]
        if seen.disagreement is not None:
            sums[4] = seen.disagreement[before][at] + seen.disagreement[after][at]
        origin = [part.start + first for part, first in zip(after, seen.start, strict=True)]
        places = np.argwhere(at) + origin
        sums[5:] = 2 * places.T
        sums[5 + axis] -= 1  # the face lies between two voxels
        return sums

    def table(self) -> tuple[NDArray[np.int64], Values]:
        """Return the pairs (2, n), the lower number first, and their sums (N_SUMS, n)."""
        keys, sums = np.zeros(0, np.int64), np.zeros((self.N_SUMS, 0))
        if self._parts:
            keys, sums = _grouped(
                np.concatenate([part[0] for part in self._parts]),
                np.concatenate([part[1] for part in self._parts], axis=1),
            )
        return np.stack([keys // (self.n_objects + 1), keys % (self.n_objects + 1)]), sums


def _grouped(keys: NDArray[np.int64], sums: Values) -> tuple[NDArray[np.int64], Values]:
    """Add up the columns of equal keys."""
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    begins = np.flatnonzero(np.diff(keys, prepend=-1))
    return keys[begins], np.add.reduceat(sums[:, order], begins, axis=1)


def object_rows(
    measures: ObjectMeasures,
    class_id: int,
    names: Sequence[str],
    voxel_size_nm: Sequence[float],
    translation_nm: Sequence[float],
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the table of objects, see ``object_columns``.

    The surface is that of the voxels' faces, which for a smooth body of any size is up to half as large again as the
    body's; the sphericity, from the same faces, is 0.81 for a cube and about 0.67 for a large ball.
    """
    size, place = np.array(voxel_size_nm), np.array(translation_nm)
    area = size.prod() / size  # of a face along each axis
    n_slices, on_border = measures.n_slices(), measures.on_border()
    for i in range(1, measures.n_objects + 1):
        n = measures.voxels[i]
        centroid = measures.sums[:, i] / n
        volume, surface = n * size.prod(), float((measures.surface[:, i] * area).sum())
        corners = np.stack([measures.start[:, i], measures.stop[:, i]], axis=1)
        touching = measures.touching[:, :, i]
        yield (
            *(i, class_id, names[class_id], int(n), round(float(volume), 3)),
            *(round(float(c), 3) for c in (*centroid, *(place + centroid * size))),
            *corners.reshape(-1).tolist(),
            bool(on_border[i]),
            round(surface, 3),
            round(math.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / surface, 4) if surface else "",
            int(n_slices[i]),
            round(float(measures.uncertainty[i] / n), 4),
            *(int(x) for x in touching.sum(axis=0)),
            *(round(float(x), 3) for x in area @ touching),
        )


def object_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of the table of objects; ``names`` are those of the classes."""
    return (
        *COLUMNS,
        *("surface_nm2", "sphericity", "n_slices", "uncertainty"),
        *(f"contact_{name}_faces" for name in names),
        *(f"contact_{name}_nm2" for name in names),
    )
