"""Masks: voxels of a volume outside its mask are not computed, and all their stored values are 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.volumes.base import Volume, crop
from genenet.volumes.chunk_cache import cached
from genenet.volumes.statistics import not_finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genenet.config.types import ImageRegion
    from genenet.core.geometry import Box, Triple

_CACHE_BYTES = 2**28


class MaskedVolume(Volume):
    """A volume whose voxels outside a mask are NaN, which normalisation turns into its centre, 0.

    So what lies outside (padding, another sample, NaN) reaches no network. Integers are read as floats that hold
    them exactly.
    """

    def __init__(self, volume: Volume, mask: Volume) -> None:
        self._take_over(volume)
        self._volume, self._mask = volume, mask
        self.dtype, self.is_mapped = marked_type(volume.dtype), False

    def _read(self, box: Box) -> NDArray[Any]:
        inside = self._mask.read(box) != 0
        voxels = self._volume.read(box)
        check_finite(voxels, self.name, inside)
        marked = voxels.astype(self.dtype)
        marked[~inside] = np.nan
        return marked


def marked_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of floats that holds all values of a type, and NaN."""
    return np.dtype(np.float32 if dtype.itemsize < 4 or dtype == np.float32 else np.float64)


def check_finite(voxels: NDArray[Any], name: str, inside: NDArray[np.bool_] | None = None) -> None:
    """Raise InputError if a voxel is NaN or infinite; with ``inside`` only voxels where it is true count."""
    if voxels.dtype.kind != "f":
        return
    finite = np.isfinite(voxels)
    if not (finite if inside is None else finite | ~inside).all():
        raise not_finite(name, "" if inside is None else " inside its mask")


@dataclass(frozen=True)
class Mask:
    """An integer image of a volume's shape; where it is 0, the volume isn't segmented."""

    volume: Volume

    @classmethod
    def of(cls, mask: Volume | None, region: ImageRegion | None, block: Triple) -> Mask | None:
        """Return the mask of a region, if there is one.

        Args:
            mask: of the whole image, of integers.
            region: what is segmented of both.
            block: what is read at a time.
        """
        return cls(cached(crop(mask, region), block, (0, 0, 0), _CACHE_BYTES)) if mask else None

    def applied_to(self, volume: Volume) -> MaskedVolume:
        """Return the volume as networks see it: outside the mask there is nothing."""
        return MaskedVolume(volume, self.volume)

    def has(self, block: Box) -> bool:
        """Return whether the mask covers a part of a block."""
        return bool(self.volume.read(block).any())

    def clear(self, block: Box, labels: NDArray[np.uint8], channels: NDArray[Any]) -> None:
        """Set labels and channels outside the mask to 0, in place."""
        outside = self.volume.read(block) == 0
        labels[outside] = 0
        channels[:, outside] = 0
