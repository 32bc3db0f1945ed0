"""What networks learn about objects: the class of each voxel, but a border along the edges of objects.

Seen along x, two cells that touch, with a border of one voxel::

    classes     bg bg c  c  c  c  c  c  bg        c: cell
    objects     0  0  1  1  1  2  2  2  0
    targets     bg bg b  c  b  b  c  b  bg        b: cell border

The edge of the image is no border, since an object goes on there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError
from genenet.core.geometry import Box, each
from genenet.core.ignore import IGNORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genenet.config.objects import ObjectTarget
    from genenet.volumes.base import Volume


@dataclass(frozen=True)
class Borders:
    """The objects of one class in an image, and the width of their borders.

    Attributes:
        target: the class.
        volume: the numbers of the objects.
        of: ids of the classes that an object may consist of.
        own: the id of its own class.
        output: of the border.
        ids: of the objects, in order, (n,).
        widths_nm: of their borders, (n,).
        voxel_size_nm: along z, y, x.
        sees_depth: whether the edges along z have borders too: networks of 2D layers can't see them.
    """

    target: ObjectTarget
    volume: Volume
    of: Sequence[int]
    own: int
    output: int
    ids: NDArray[np.uint64]
    widths_nm: NDArray[np.float64]
    voxel_size_nm: Sequence[float]
    sees_depth: bool

    @property
    def along_z(self) -> bool:
        """Whether a border is as wide as the step to the next slice, so that edges between slices have one too."""
        return self.sees_depth and self._widest >= self.voxel_size_nm[0]

    @property
    def _widest(self) -> float:
        return float(self.widths_nm.max(initial=0))

    def paint(self, box: Box, labels: NDArray[np.uint8], targets: NDArray[np.uint8]) -> None:
        """Write the borders of a box into its targets.

        Args:
            box: as wide as the volume.
            labels: class ids (Z, Y, X) of the box.
            targets: (Z, Y, X), the classes so far.

        Raises:
            InputError: If an object contains a voxel of a class that it can't.
        """
        seen = self._with_halo(box)
        ids = self.volume.read(seen)
        inner = box.relative_to(seen.start).slices
        self._check(ids[inner], labels, box)
        place = np.searchsorted(self.ids, ids[inner]) + 1
        place[ids[inner] == 0] = 0
        widths = np.concatenate([[-1.0], self.widths_nm])[place]
        near = edge_distances(ids, self.voxel_size_nm, self.along_z)[inner] <= widths + 1e-6
        targets[near & (labels == self.own)] = self.output

    def _with_halo(self, box: Box) -> Box:
        """Return the box with as many voxels around it as decide on its borders, inside the volume."""
        reach = [int(self._widest / size) + 1 for size in self.voxel_size_nm]
        halo = (reach[0] if self.along_z else 0, reach[1], 0)
        start = each(lambda a, h: max(0, a - h), box.start, halo)
        return Box(start, each(lambda b, h, n: min(n, b + h), box.stop, halo, self.volume.shape))

    def _check(self, ids: NDArray[np.uint64], labels: NDArray[np.uint8], box: Box) -> None:
        wrong = (ids != 0) & ~np.isin(labels, [*self.of, IGNORE])
        if wrong.any():
            first = np.argwhere(wrong)[0]
            raise InputError(
                f"{self.volume.name}: object {ids[tuple(first)]} contains a voxel of class {labels[tuple(first)]} (at "
                f"z, y, x = {tuple((first + box.start).tolist())}), but objects of {self.target.name} consist of "
                f"{', '.join(self.target.of)}; correct the labels or the objects, or name that class in of:"
            )


def edge_distances(
    ids: NDArray[np.uint64], voxel_size_nm: Sequence[float], along_z: bool
) -> NDArray[np.float32]:
    """Return the distance (Z, Y, X) in nm from each voxel to the nearest voxel of another object or of none.

    It is measured to the last voxel before the edge, and one voxel is added: exact across straight edges.

    Args:
        ids: numbers of objects (Z, Y, X).
        voxel_size_nm: along z, y, x.
        along_z: whether edges between slices count.
    """
    from scipy.ndimage import distance_transform_edt

    size = [float(n) for n in voxel_size_nm]
    in_plane = _at_edge(ids, 1) | _at_edge(ids, 2)
    found = np.full(ids.shape, np.inf, np.float32)
    if not along_z:
        for plane, edges in zip(found, in_plane, strict=True):
            if edges.any():
                plane[...] = distance_transform_edt(~edges, sampling=size[1:]) + min(size[1:])
        return found
    for edges, step in ((in_plane, min(size[1:])), (_at_edge(ids, 0), size[0])):
        if edges.any():
            np.minimum(
                found, distance_transform_edt(~edges, sampling=size) + step, out=found, casting="same_kind"
            )
    return found


def _at_edge(ids: NDArray[Any], axis: int) -> NDArray[np.bool_]:
    """Return whether a neighbour along an axis is another object."""
    found = np.zeros(ids.shape, bool)
    moved, here = np.moveaxis(found, axis, 0), np.moveaxis(ids, axis, 0)
    differs = here[1:] != here[:-1]
    moved[1:] |= differs
    moved[:-1] |= differs
    return found
