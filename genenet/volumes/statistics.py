"""Mean and standard deviation of images: exact for images up to a size, from a sample of larger ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError
from genenet.core.geometry import Box, Triple, tiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from genenet.volumes.base import Volume

EXACT_VOXELS = 2**26  # up to here statistics are exact
_SLAB_VOXELS = 2**23  # read, checked and written at a time
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


def check_moments(moments: Moments, name: str, mask: Volume | None = None) -> None:
    """Raise InputError if an image can't be normalised: (x - mean) / deviation would not be a number."""
    where = " inside its mask" if mask else ""
    if not moments.n:
        raise InputError(f"{name}: has no voxels{where}; at least some are needed")
    if not moments.is_finite:
        raise InputError(
            f"{name}: holds NaN or infinite voxels{where}; replace them by numbers, cut them off by region:, or leave "
            "them out by mask:"
        )
    if moments.squares == 0:
        raise InputError(f"{name}: all voxels{where} are {moments.mean:g}; an image with contrast is needed")


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
    chunks, or parts of them, that are drawn at random.

    Args:
        volume: the image, or a region of one.
        per_slice: estimate for each slice; every slice is sampled, with 4 boxes at the least.
        seed: same seed and volume: same sample.
        max_voxels: about as many are read.
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
    if Box.of_shape(volume.shape).n_voxels <= max_voxels:
        found = _by_slice(volume, _thin_slabs(volume), mask)
    else:
        boxes = _sample(volume, per_slice, max_voxels, np.random.default_rng(seed))
        found = _by_slice(volume, boxes, mask) if per_slice else [_of_boxes(volume, boxes, mask)]
        if mask and not Moments.merged(found).n:  # so little is inside that no box met it
            found = _by_slice(volume, _thin_slabs(volume), mask)
    check_moments(Moments.merged(found), volume.name, mask)
    return found


def _by_slice(volume: Volume, boxes: Iterable[Box], mask: Volume | None) -> list[Moments]:
    found = [Moments()] * volume.shape[0]
    for start, voxels, inside in _read(volume, boxes, mask):
        for i, slice_ in enumerate(voxels):
            of_slice = Moments.of(slice_ if inside is None else slice_[inside[i]])
            found[start + i] = found[start + i].merge(of_slice)
        del voxels, inside, slice_  # before the next box is read: memory holds one
    return found


def _of_boxes(volume: Volume, boxes: Iterable[Box], mask: Volume | None) -> Moments:
    parts = (Moments.of(v if i is None else v[i]) for _, v, i in _read(volume, boxes, mask))
    return Moments.merged(parts)


def _read(
    volume: Volume, boxes: Iterable[Box], mask: Volume | None
) -> Iterator[tuple[int, NDArray[Any], NDArray[np.bool_] | None]]:
    """Yield the first slice, the voxels and what is inside the mask of each box that has something inside."""
    for box in boxes:
        inside = mask.read(box) != 0 if mask else None
        if inside is None or inside.any():
            yield box.start[0], volume.read(box), inside


def slabs(shape: Triple) -> Iterator[Box]:
    """Yield boxes as wide as the volume, since files hold it row by row, of whole chunks of prepared files."""
    depth, height, _ = slab_chunks(shape)
    rows = max(1, _SLAB_VOXELS // (depth * height * shape[2])) * height
    return tiles(Box.of_shape(shape), (depth, rows, shape[2]))


def _thin_slabs(volume: Volume) -> Iterator[Box]:
    """Yield slabs cut along z to the depth of the volume's chunks: less memory, and no chunk is decoded twice."""
    for slab in slabs(volume.shape):
        yield from tiles(slab, (min(volume.chunks[0], slab.shape[0]), *slab.shape[1:]))


def slab_chunks(shape: Triple) -> Triple:
    """Return the chunks of prepared files, which divide slabs."""
    return min(16, shape[0]), min(256, shape[1]), min(256, shape[2])


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
