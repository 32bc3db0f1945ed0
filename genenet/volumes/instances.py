"""Images that number objects: voxels of one object have the same number, 0 is no object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError
from genenet.core.geometry import Box, each
from genenet.volumes.base import Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genenet.core.geometry import Triple


class ObjectIds(Volume):
    """The numbers of objects, uint64, of an integer image."""

    def __init__(self, ids: Volume) -> None:
        self._take_over(ids)
        self._ids, self.dtype = ids, np.dtype(np.uint64)

    def _read(self, box: Box) -> NDArray[Any]:
        ids = self._ids.read(box)
        if ids.dtype.kind == "i" and ids.min(initial=0) < 0:
            raise InputError(
                f"{self.name}: holds the number {ids.min()}; objects have positive numbers, 0 is no object"
            )
        return ids.astype(np.uint64)


class ClassesOfIds(Volume):
    """Labels of two classes made from the numbers of objects: ``inside`` where there is one, otherwise ``outside``."""

    def __init__(self, ids: Volume, inside: int, outside: int) -> None:
        self._take_over(ids)
        self._ids, self._inside, self._outside, self.dtype = ids, inside, outside, np.dtype(np.uint8)

    def _read(self, box: Box) -> NDArray[Any]:
        return np.where(self._ids.read(box) != 0, self._inside, self._outside).astype(np.uint8)


class NearestIds(Volume):
    """Numbers of objects on a grid of other voxels, each that of the nearest old voxel."""

    def __init__(self, ids: Volume, shape: Triple) -> None:
        self._take_over(ids)
        self._ids, self.shape = ids, shape

    def _read(self, box: Box) -> NDArray[Any]:
        # the centre of new voxel i lies in old voxel floor((i + 1/2) * old / new)
        places = each(
            lambda start, stop, old, new: (2 * np.arange(start, stop) + 1) * old // (2 * new),
            *(box.start, box.stop, self._ids.shape, self.shape),
        )
        start = each(lambda place: int(place[0]), places)
        old = self._ids.read(Box(start, each(lambda place: int(place[-1]) + 1, places)))
        return old[np.ix_(*(place - first for place, first in zip(places, start, strict=True)))]
