"""Mean and standard deviation of images: exact for images up to a size, from a sample of larger ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.volumes.sampling import sample, thin_slabs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from genenet.volumes.base import Volume
    from genenet.volumes.sampling import SampledBox

    Part = tuple[int, NDArray[Any], NDArray[np.bool_] | None]  # first slice, voxels, what is inside the mask

EXACT_VOXELS = 2**26  # up to here statistics are exact
_PIECE_VOXELS = 2**18  # turned to float64 at a time: 2 MB


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

    def scaled(self, n: int) -> Moments:
        """Return those of ``n`` voxels with the same mean and deviation."""
        return Moments(n, self.mean, self.squares * n / self.n)

    @property
    def deviation(self) -> float:
        """Standard deviation; 0 if there are no voxels."""
        return math.sqrt(self.squares / self.n) if self.n else 0.0

    @property
    def is_finite(self) -> bool:
        """False if a voxel is NaN or infinite."""
        return math.isfinite(self.mean) and math.isfinite(self.squares)


def check_values(
    n: float, is_finite: bool, constant: float | None, name: str, mask: Volume | None = None
) -> None:
    """Check that an image can be normalised: (x - centre) / scale would otherwise not be a number.

    Args:
        n: number of its voxels.
        is_finite: whether all are numbers.
        constant: the value of all voxels, if they are the same.
        name: of the image.
        mask: if it has one, of which only what is inside counts.

    Raises:
        InputError: If it can't be.
    """
    where = " inside its mask" if mask else ""
    if not n:
        raise InputError(f"{name}: has no voxels{where}; at least some are needed")
    if not is_finite:
        raise not_finite(name, where)
    if constant is not None:
        raise InputError(f"{name}: all voxels{where} are {constant:g}; an image with contrast is needed")


def not_finite(name: str, where: str = "") -> InputError:
    """Return the error for an image with voxels that are no numbers."""
    return InputError(
        f"{name}: holds NaN or infinite voxels{where}; replace them by numbers, cut them off by region:, or leave them "
        "out by mask:"
    )


def as_arrays(slices: Iterable[Moments]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation of each slice, (Z,); the deviation of a constant or empty slice is given as 1.

    A missing section is black everywhere: it is normalised to 0, and isn't an error.
    """
    pairs = [(moments.mean, moments.deviation or 1.0) for moments in slices]
    mean, deviation = np.array(pairs, np.float64).T
    return mean, deviation


def image_statistics(
    volume: Volume, per_slice: bool, seed: int = 0, max_voxels: int = EXACT_VOXELS, mask: Volume | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation of an image, the numbers that normalise it in training and in segmenting.

    They are exact for a volume of at most ``max_voxels`` voxels. Those of a larger one are estimated from its
    chunks, or parts of them, that are drawn at random. With a mask, only boxes that meet it are drawn, and only
    voxels inside count towards the size of the sample; so they are exact if the mask is small.

    Args:
        volume: the image, or a region of one.
        per_slice: estimate for each slice; every slice is sampled, with 4 boxes at the least.
        seed: same seed and volume: same sample.
        max_voxels: about as many count.
        mask: of the same shape; where it is 0, voxels don't count.

    Returns:
        Mean and deviation, (1,), or (Z,) if ``per_slice``; a constant slice has deviation 1.

    Raises:
        InputError: If a voxel isn't finite, all are the same, or the mask leaves none.
    """
    found = image_moments(volume, per_slice, seed, max_voxels, mask)
    return as_arrays(found if per_slice else [Moments.merged(found)])


def image_moments(
    volume: Volume, per_slice: bool, seed: int = 0, max_voxels: int = EXACT_VOXELS, mask: Volume | None = None
) -> list[Moments]:
    """Return the moments of each slice, or of the whole sample of a large volume in one; see image_statistics."""
    parts = parts_of(volume, per_slice, seed, max_voxels, mask)
    if per_slice or not is_sampled(volume, max_voxels):
        found = _by_slice(volume.shape[0], parts)
    else:
        found = [Moments.merged(Moments.of(v if i is None else v[i]) for _, v, i in parts)]
    all_of_it = Moments.merged(found)
    constant = all_of_it.mean if all_of_it.squares == 0 else None
    check_values(all_of_it.n, all_of_it.is_finite, constant, volume.name, mask)
    return found


def is_sampled(volume: Volume, max_voxels: int = EXACT_VOXELS) -> bool:
    """Return whether the statistics of an image come from a sample of its boxes."""
    return Box.of_shape(volume.shape).n_voxels > max_voxels


def parts_of(
    volume: Volume, per_slice: bool, seed: int, max_voxels: int, mask: Volume | None
) -> Iterator[Part]:
    """Yield the first slice, the voxels and what counts of each box of an image, or of a sample of its boxes.

    Arguments are those of ``image_statistics``. The boxes are ordered by layers of slices.
    """
    boxes: Iterable[SampledBox]
    if is_sampled(volume, max_voxels):
        boxes = sample(volume, mask, per_slice, max_voxels, np.random.default_rng(seed))
    else:
        boxes = ((slab, None) for slab in thin_slabs(volume.shape, volume.chunks[0]))
    return _read(volume, boxes, mask)


def _by_slice(n_z: int, parts: Iterable[Part]) -> list[Moments]:
    found = [Moments()] * n_z
    for start, voxels, inside in parts:
        for i, slice_ in enumerate(voxels):
            of_slice = Moments.of(slice_ if inside is None else slice_[inside[i]])
            found[start + i] = found[start + i].merge(of_slice)
        del voxels, inside, slice_  # before the next box is read: memory holds one
    return found


def _read(volume: Volume, sampled: Iterable[SampledBox], mask: Volume | None) -> Iterator[Part]:
    """Yield the first slice, the voxels and what counts of each box in which something counts."""
    for box, drawn in sampled:
        inside = mask.read(box) != 0 if mask else None
        if inside is not None and drawn is not None:
            inside[~drawn] = False
        if inside is None or inside.any():
            yield box.start[0], volume.read(box), inside
