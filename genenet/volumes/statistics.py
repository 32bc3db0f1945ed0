"""Mean and standard deviation of images: exact ones merged piece by piece, or from a sample of a volume."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError
from genenet.core.geometry import Box, Triple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from genenet.volumes.base import Volume

_PIECE_VOXELS = 2**18  # turned to float64 at a time: 2 MB
_BOX_VOXELS = 2**20  # the largest box that a sample is made of


@dataclass(frozen=True)
class Moments:
    """Number, mean and sum of squared deviations of voxels; two are merged without loss of precision.

    Chan, Golub and LeVeque (1983), "Algorithms for computing the sample variance".
    """

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, voxels: NDArray[Any]) -> Moments:
        """Return those of an array of any shape; not finite if a voxel isn't."""
        flat = voxels.reshape(-1)
        pieces = (flat[i : i + _PIECE_VOXELS] for i in range(0, flat.size, _PIECE_VOXELS))
        return Moments.merged(map(cls._of_piece, pieces))

    @classmethod
    def _of_piece(cls, voxels: NDArray[Any]) -> Moments:
        # Less the first voxel, so that a constant has a deviation of exactly 0, whatever it is.
        first = float(voxels[0])
        with np.errstate(invalid="ignore", over="ignore"):
            shifted = voxels.astype(np.float64) - first
            mean = shifted.mean()
            return cls(voxels.size, first + float(mean), float(np.square(shifted - mean).sum()))

    @staticmethod
    def merged(moments: Iterable[Moments]) -> Moments:
        """Return those of all voxels together."""
        return reduce(Moments.merge, moments, Moments())

    def merge(self, other: Moments) -> Moments:
        """Return those of the voxels of both."""
        n = self.n + other.n
        if not self.n or not other.n:
            return other if other.n else self
        difference = other.mean - self.mean
        mean = self.mean + difference * other.n / n
        return Moments(n, mean, self.squares + other.squares + difference**2 * self.n * other.n / n)

    @property
    def deviation(self) -> float:
        """Standard deviation."""
        return math.sqrt(self.squares / self.n)

    @property
    def is_finite(self) -> bool:
        """False if a voxel is NaN or infinite."""
        return math.isfinite(self.mean) and math.isfinite(self.squares)


def check_moments(moments: Moments, name: str) -> None:
    """Raise InputError if an image can't be normalised: (x - mean) / deviation would not be a number."""
    if not moments.is_finite:
        raise InputError(
            f"{name}: holds NaN or infinite voxels; replace them by numbers, or cut them off by region:"
        )
    if moments.squares == 0:
        raise InputError(f"{name}: all voxels are {moments.mean:g}; an image with contrast is needed")


def as_arrays(slices: Iterable[Moments]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation of each slice, (Z,); the deviation of a constant slice is given as 1.

    A missing section is black all over: it is normalised to 0, and isn't an error.
    """
    pairs = [(moments.mean, moments.deviation or 1.0) for moments in slices]
    mean, deviation = np.array(pairs, np.float64).T
    return mean, deviation


def sample_statistics(
    volume: Volume, per_slice: bool, seed: int = 0, max_voxels: int = 2**26
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate mean and deviation of a volume from boxes that are drawn at random.

    A volume of at most ``max_voxels`` voxels is read wholly, and box by box. The boxes are the volume's
    chunks or parts of them.

    Args:
        volume: what is sampled.
        per_slice: estimate for each slice; every slice is sampled, with 4 boxes at the least.
        seed: same seed and volume: same sample.
        max_voxels: about as many are read.

    Returns:
        Mean and deviation, (1,), or (Z,) if ``per_slice``; a constant slice has deviation 1.

    Raises:
        InputError: If a voxel isn't finite, or all are the same.
    """
    rng = np.random.default_rng(seed)
    slices = [Moments()] * (volume.shape[0] if per_slice else 1)
    for box in _sample(volume, per_slice, max_voxels, rng):
        voxels = volume.read(box)
        if per_slice:
            for z, voxels_of_slice in enumerate(voxels, start=box.start[0]):
                slices[z] = slices[z].merge(Moments.of(voxels_of_slice))
        else:
            slices[0] = slices[0].merge(Moments.of(voxels))
    check_moments(Moments.merged(slices), volume.name)
    return as_arrays(slices)


def sample_boxes(volume: Volume, max_voxels: int, seed: int = 0) -> Iterator[Box]:
    """Yield boxes of about ``max_voxels`` voxels in all, drawn at random; of a smaller volume all of it."""
    yield from _sample(volume, False, max_voxels, np.random.default_rng(seed))


def _sample(volume: Volume, per_slice: bool, max_voxels: int, rng: np.random.Generator) -> Iterator[Box]:
    """Boxes of the whole volume, or of each layer of chunks, so that no slice is left out."""
    whole = Box.of_shape(volume.shape)
    all_of_it = whole.n_voxels <= max_voxels
    if not per_slice:
        part = _BOX_VOXELS if all_of_it else min(_BOX_VOXELS, max_voxels // 64)
        yield from _draw(whole, _part_of(volume.chunks, part), max_voxels, 1, rng)
        return
    n_z, n_y, n_x = volume.shape
    depth = volume.chunks[0]
    for z in range(0, n_z, depth):
        layer = Box((z, 0, 0), (min(z + depth, n_z), n_y, n_x))
        share = max_voxels * layer.shape[0] // n_z
        unit = _part_of(volume.chunks, _BOX_VOXELS if all_of_it else min(_BOX_VOXELS, max(share // 4, 2**14)))
        yield from _draw(layer, unit, share, 4, rng)


def _part_of(chunk: Triple, n_voxels: int) -> Triple:
    """Shorten a chunk along y, then x, until it has about ``n_voxels`` at most."""
    z, y, x = chunk
    y = min(y, max(1, n_voxels // (z * x)))
    return z, y, min(x, max(1, n_voxels // (z * y)))


def _draw(box: Box, unit: Triple, n_voxels: int, least: int, rng: np.random.Generator) -> Iterator[Box]:
    """Units of a box, in order: all of them, or as many as have ``n_voxels``."""
    counts = tuple(-(-n // u) for n, u in zip(box.shape, unit, strict=True))
    total, n = math.prod(counts), max(least, n_voxels // math.prod(unit))
    drawn = range(total)
    if box.n_voxels > n_voxels and n < total:
        drawn = np.sort(rng.choice(total, n, replace=False, shuffle=False)).tolist()
    for index in drawn:
        z, y, x = (int(i) * u for i, u in zip(np.unravel_index(index, counts), unit, strict=True))
        yield Box.of_shape(unit, (z, y, x)).shift(box.start).intersect(box)
