"""Labels and masks resampled to another voxel size while they are read: the class that fills most of a voxel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.geometry import Box, each
from genenet.core.ignore import IGNORE
from genenet.volumes.base import Volume
from genenet.volumes.rescale import weigh

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from genenet.core.geometry import Triple
    from genenet.volumes.labels import ClassLabels


@dataclass(frozen=True)
class Majority:
    """For each new voxel, the id that fills most of it; of ids that fill as much, the lowest.

    Where voxels become larger, the nearest voxel alone would decide by chance what becomes of thin structures. Where
    they become smaller, most new voxels lie within an old one, so this is the nearest.

    ::

        old   |  0  |  0  |  1  |  1  |  1  |  0  |
        new   |   0    |   1    |   1    |   0    |     each as wide as 1.5 old ones

    Attributes:
        shape: old voxels along z, y, x.
        new_shape: new voxels, which cover the same space.
    """

    shape: Triple
    new_shape: Triple

    def read(self, box: Box, read: Callable[[Box], NDArray[Any]]) -> NDArray[np.uint8]:
        """Return the ids of a box of new voxels; ``read`` returns those of a box of old ones, uint8."""
        shares = each(_shares, box.start, box.stop, self.shape, self.new_shape)
        start = each(lambda share: int(share[0].min()), shares)
        old = read(Box(start, each(lambda share: int(share[0].max()) + 1, shares)))
        found, most = np.zeros(box.shape, np.uint8), np.zeros(box.shape, np.float64)
        for value in np.unique(old):
            filled = (old == value).astype(np.float64)
            for axis, (places, weights) in enumerate(shares):
                filled = weigh(filled, axis, places - start[axis], weights)
            more = filled > most + 1e-9  # sums of shares are rounded
            found[more] = value
            np.maximum(most, filled, out=most)
        return found


class RescaledMask(Volume):
    """A mask on a grid of other voxels: 1 where more than half of a voxel is inside, otherwise 0.

    Args:
        mask: of an image.
        image: the image, resampled.
    """

    def __init__(self, mask: Volume, image: Volume) -> None:
        self._take_over(image)
        self.name, self.dtype, self._mask = mask.name, np.dtype(np.uint8), mask
        self._majority = Majority(mask.shape, image.shape)

    def _read(self, box: Box) -> NDArray[Any]:
        return self._majority.read(box, lambda old: (self._mask.read(old) != 0).astype(np.uint8))


@dataclass(frozen=True)
class RescaledLabels:
    """Labels as class ids on a grid of other voxels; IGNORE where most of a voxel is ignored or outside the mask.

    Attributes:
        labels: of an image.
        shape: voxels of the resampled image.
        mask: of the image, resampled.
    """

    labels: ClassLabels
    shape: Triple
    mask: Volume | None

    @property
    def name(self) -> str:
        """How messages call them."""
        return self.labels.name

    @property
    def n_classes(self) -> int:
        """Their ids are 0 to n_classes - 1."""
        return self.labels.n_classes

    def read(self, box: Box) -> NDArray[np.uint8]:
        """Return the class ids of a box, (Z, Y, X).

        Raises:
            InputError: If a label is none of the classes.
        """
        classes = Majority(self.labels.volume.shape, self.shape).read(box, self.labels.read)
        if self.mask:
            classes[self.mask.read(box) == 0] = IGNORE
        return classes


def _shares(start: int, stop: int, n: int, n_new: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return which old voxels a new one overlaps along an axis, and how much of it each of them fills.

    Args:
        start: the first new voxel.
        stop: the one after the last.
        n: number of old voxels.
        n_new: number of new ones.

    Returns:
        Indices and shares, both (stop - start, K).
    """
    factor = n / n_new
    new = np.arange(start, stop)[:, None]
    places = new * n // n_new + np.arange(math.ceil(factor) + 1)
    overlap = np.minimum(places + 1, (new + 1) * factor) - np.maximum(places, new * factor)
    return places.clip(0, n - 1), overlap.clip(0) / factor
