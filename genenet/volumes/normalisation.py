"""How voxels are normalised while they are read: (x - centre) / scale; by default these are mean and deviation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genenet.volumes.reflection import reflect

if TYPE_CHECKING:
    from genenet.config.normalisation import NormalisationSettings


@dataclass(frozen=True)
class Normalisation:
    """(x - mean) / deviation; both are arrays of one number for the volume, or of one for each slice.

    By percentiles, ``mean`` and ``deviation`` are the centre and the scale that the percentiles give.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def of_volume(cls, mean: float, deviation: float) -> Normalisation:
        """Return one for a whole volume."""
        return cls(np.array([mean]), np.array([deviation]))

    def apply(self, data: NDArray[np.generic], z: int) -> NDArray[np.float32]:
        """Normalise slices (Z, Y, X) of which the first is slice ``z`` of the volume; NaN becomes 0, the centre.

        Types of four bytes and more are shifted in float64: float32 has no room for large offsets (an int32 around
        2e9 loses 7 bits). The others fit exactly.
        """
        index = reflect(z, z + len(data), len(self.mean))  # like the slices that were read beyond the ends
        mean, deviation = self.mean[index], self.deviation[index, None, None].astype(np.float32)
        if data.dtype.itemsize < 4:
            normalised = data.astype(np.float32)
            normalised -= mean[:, None, None].astype(np.float32)
        else:
            normalised = np.empty(data.shape, np.float32)
            for voxels, out, centre in zip(data, normalised, mean, strict=True):  # by slice: less memory
                out[...] = voxels.astype(np.float64) - centre
        normalised /= deviation
        if data.dtype.kind == "f":
            normalised[np.isnan(normalised)] = 0
        return normalised


# Centre and scale of an image: (1,), or (Z,) of each slice.
Statistics = Callable[["NormalisationSettings"], tuple[NDArray[np.float64], NDArray[np.float64]]]


@dataclass(frozen=True)
class NormalisationRule:
    """How images are normalised: over ``training``, centre and scale of the training images hold for all of them.

    Attributes:
        settings: of which voxels centre and scale are made, and how.
        mean: the centre of all training images together.
        deviation: their scale.
    """

    settings: NormalisationSettings
    mean: float
    deviation: float

    def of(self, statistics: Statistics) -> Normalisation:
        """Return an image's normalisation; ``statistics(settings)`` returns its own centre and scale."""
        if self.settings.over == "training":
            return Normalisation.of_volume(self.mean, self.deviation)
        return Normalisation(*statistics(self.settings))
