"""What the normalised grey values of an image look like: numbers by which two images can be compared."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from pydantic import Field

from genenet.core.geometry import Box, tiles
from genenet.core.models import Closed
from genenet.core.random_streams import Stream
from genenet.volumes.sampling import random_boxes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from genenet.volumes.base import Volume
    from genenet.volumes.normalisation import Normalisation

PERCENTAGES = (1, *range(5, 100, 5), 99)  # of the quantiles
LAGS = (1, 2, 4, 8)  # voxels between the neighbours whose grey values are compared
PATCH, N_PATCHES = 64, 64  # voxels along y and x of what is read of a larger image, and how often
EXACT = N_PATCHES * PATCH**2  # an image of at most as many voxels is read as a whole
FLOOR = 0.01  # is added to differences, so that those of a constant image have a finite ratio to others


class GreyValues(Closed):
    """The normalised grey values of an image, inside its mask.

    Attributes:
        name: of the image.
        quantiles: at PERCENTAGES percent.
        differences: mean absolute difference of voxels of a slice that are 1, 2, 4 and 8 apart along y or x; None if
            the image has no such pair. Blur makes the first ones smaller, noise makes them larger, and voxels of
            another size shift all of them.
        skews: skewness of how much a voxel is brighter than the mean of the two that are 1, 2, 4 and 8 apart from it:
            below 0 if thin structures are dark, above 0 if they are bright; None if the image has no such voxels.
    """

    name: str
    quantiles: list[float] = Field(min_length=len(PERCENTAGES), max_length=len(PERCENTAGES))
    differences: list[float | None] = Field(min_length=len(LAGS), max_length=len(LAGS))
    skews: list[float | None] = Field(min_length=len(LAGS), max_length=len(LAGS))

    def distance(self, other: GreyValues) -> float:
        """Return the mean distance of the quantiles from 5 to 95 %: the Wasserstein distance without the tails.

        Its unit is that of normalised grey values: 1 is usually a standard deviation.
        """
        return float(np.abs(np.subtract(self.quantiles, other.quantiles)[1:-1]).mean())

    def texture(self, other: GreyValues) -> float:
        """Return the ratio of the differences of neighbours that is furthest from 1, to base 2; 0 without pairs."""
        pairs = zip(self.differences, other.differences, strict=True)
        ratios = [(a + FLOOR) / (b + FLOOR) for a, b in pairs if a is not None and b is not None]
        return max((float(np.log2(ratio)) for ratio in ratios), key=abs, default=0.0)

    def skew_distance(self, other: GreyValues, sign: int = 1) -> float:
        """Return the distance of the skews up to 4 voxels; with a ``sign`` of -1 to those of the inverted image."""
        pairs = zip(self.skews[:3], other.skews[:3], strict=True)
        return math.hypot(*(a - sign * b for a, b in pairs if a is not None and b is not None))


def grey_values(
    volume: Volume, normalisation: Normalisation, mask: Volume | None = None, name: str | None = None
) -> GreyValues | None:
    """Return what an image looks like; None if no voxel of the sample counts.

    An image of up to 2^18 voxels is read as a whole, a larger one in 64 patches of 64 x 64 voxels that are drawn at
    random, always the same ones for the same shape and mask.

    Args:
        volume: the image, or a region of one.
        normalisation: of its voxels.
        mask: of the same shape; where it is 0, voxels don't count.
        name: of the result; by default that of the volume.
    """
    voxels, neighbours = [], [_Neighbours(lag) for lag in LAGS]
    for box in _boxes(volume, mask):
        raw = volume.read(box)
        counts = np.isfinite(raw) if mask is None else np.isfinite(raw) & (mask.read(box) != 0)
        slice_, inside = normalisation.apply(raw, box.start[0])[0], counts[0]
        slice_[~inside] = 0  # what isn't finite there would raise warnings
        voxels.append(slice_[inside])
        for each in neighbours:
            for axis in (0, 1):
                each.add(np.moveaxis(slice_, axis, 0), np.moveaxis(inside, axis, 0))
    found = np.concatenate(voxels) if voxels else np.empty(0)
    if not found.size:
        return None
    return GreyValues(
        name=volume.name if name is None else name,
        quantiles=[rounded(value) for value in np.percentile(found, PERCENTAGES)],
        differences=[each.difference for each in neighbours],
        skews=[each.skew for each in neighbours],
    )


def _boxes(volume: Volume, mask: Volume | None) -> Iterator[Box]:
    """Yield the parts of slices that are read."""
    whole = Box.of_shape(volume.shape)
    _, height, width = volume.shape
    if whole.n_voxels <= EXACT:
        yield from tiles(whole, (1, height, width))
        return
    rng = Generator(PCG64(SeedSequence(0, spawn_key=(Stream.GREY_VALUES,))))
    yield from random_boxes(volume, (1, min(PATCH, height), min(PATCH, width)), N_PATCHES, rng, mask)


class _Neighbours:
    """Sums over voxels and those that are ``lag`` apart from them."""

    def __init__(self, lag: int) -> None:
        self._lag = lag
        self._n, self._sum = 0, 0.0
        self._moments = np.zeros(
            3
        )  # sums of 1, x² and x³ of how much a voxel is brighter than its two neighbours

    def add(self, voxels: NDArray[np.float32], inside: NDArray[np.bool_]) -> None:
        """Add the voxels of a slice whose neighbours along the first axis are also inside."""
        lag = self._lag
        pairs = inside[lag:] & inside[:-lag]
        self._sum += float(np.abs(voxels[lag:] - voxels[:-lag])[pairs].sum(dtype=np.float64))
        self._n += int(pairs.sum())
        both = pairs[lag:] & pairs[:-lag]
        x = (voxels[lag:-lag] - (voxels[2 * lag :] + voxels[: -2 * lag]) / 2)[both].astype(np.float64)
        self._moments += len(x), np.square(x).sum(), (x**3).sum()

    @property
    def difference(self) -> float | None:
        """The mean absolute difference; None without a pair."""
        return rounded(self._sum / self._n) if self._n else None

    @property
    def skew(self) -> float | None:
        """The skewness; 0 if all are the same, None without voxels."""
        n, squares, cubes = self._moments
        if not n:
            return None
        return rounded(float(cubes / n / (squares / n) ** 1.5)) if squares else 0.0


def rounded(value: float) -> float:
    """Round to four digits, which is more than such comparisons need."""
    return float(f"{value:.4g}")
