"""Levels of an image pyramid: their sizes, and how cells of voxels become one. Pure arithmetic."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.geometry import each

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from genenet.config.types import VoxelSize
    from genenet.core.geometry import Triple
    from genenet.volumes.grid import Place


@dataclass(frozen=True)
class Level:
    """One level of a pyramid, axes (z, y, x).

    Attributes:
        shape: in its own voxels; a level's last cells may be cut off by the border.
        factors: voxels of the level before that become one, 1 or 2 along each axis.
        scale: size of a voxel, in nm.
        translation: where the centre of its first voxel lies, in nm.
    """

    shape: Triple
    factors: Triple
    scale: VoxelSize
    translation: Place

    def next(self) -> Level:
        """Return the next level: half along y and x, and along z unless voxels are twice as long there."""
        halve_z = self.scale[0] < 2 * self.scale[1]
        factors = each(lambda halve, n: 2 if halve and n > 1 else 1, (halve_z, True, True), self.shape)
        return Level(
            shape=each(lambda n, factor: -(-n // factor), self.shape, factors),
            factors=factors,
            scale=each(operator.mul, self.scale, factors),
            translation=each(
                lambda place, size, factor: place + size * (factor - 1) / 2,
                self.translation,
                self.scale,
                factors,
            ),
        )


def levels(
    shape: Triple, voxel_size_nm: VoxelSize, min_size: int, translation_nm: Place = (0.0, 0.0, 0.0)
) -> list[Level]:
    """Return all levels, from the image itself to the first that is at most ``min_size`` along y and x."""
    found = [Level(shape, (1, 1, 1), voxel_size_nm, translation_nm)]
    while max(found[-1].shape[1:]) > min_size:
        found.append(found[-1].next())
    return found


def mean_of_cells(image: NDArray[Any], factors: Triple) -> NDArray[Any]:
    """Shrink an image (Z, Y, X) to the means of its cells, in its own type."""
    total = np.zeros([-(-n // f) for n, f in zip(image.shape, factors, strict=True)], np.float32)
    for voxels in _voxels_of_cells(image, factors):
        total += voxels
    total /= np.prod(factors)
    return (np.rint(total, out=total) if image.dtype.kind == "u" else total).astype(image.dtype)


def mode_of_cells(labels: NDArray[Any], factors: Triple) -> NDArray[Any]:
    """Shrink unsigned labels (Z, Y, X) to the most frequent one of each cell; of several, to the smallest."""
    cell = list(_voxels_of_cells(labels, factors))
    bits, top = 8 * labels.itemsize, np.iinfo(labels.dtype).max
    best = np.zeros(cell[0].shape, {8: np.uint16, 16: np.uint32, 32: np.uint64}[bits])
    for candidate in cell:
        votes = np.zeros_like(best)
        for other in cell:
            votes += candidate == other
        # More votes win, and of equal votes the smaller label.
        np.maximum(best, (votes << bits) + (top - candidate), out=best)
    return top - best.astype(labels.dtype)


def _voxels_of_cells(image: NDArray[Any], factors: Triple) -> Iterator[NDArray[Any]]:
    """The first voxel of every cell, then the second of every cell, and so on.

    A cell that the border cuts off repeats its voxels, each as often: neither mean nor mode change.
    """
    padded = np.pad(image, [(0, -n % f) for n, f in zip(image.shape, factors, strict=True)], mode="edge")
    for start in product(*map(range, factors)):
        yield padded[tuple(slice(s, None, f) for s, f in zip(start, factors, strict=True))]
