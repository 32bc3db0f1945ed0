"""A volume resampled to another voxel size while it is read, box by box."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError
from genenet.core.geometry import Box, each
from genenet.volumes.base import Volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genenet.config.settings import ImageFiles
    from genenet.config.types import VoxelSize


class RescaledVolume(Volume):
    """A volume on a grid of other voxels that covers the same space.

    Linear interpolation; where voxels become larger, the mean weighted by a triangle as wide as two of them, so
    that nothing is aliased. A voxel depends on its place alone, bit for bit, not on the box it is read with.

    Args:
        volume: its voxel size is known.
        voxel_size_nm: that is wanted along z, y, x. What the volume gets differs a little: voxels are whole.
        mask: of the volume; where it is 0, voxels count nowhere. A new voxel that has none is 0.
    """

    def __init__(self, volume: Volume, voxel_size_nm: VoxelSize, mask: Volume | None = None) -> None:
        assert volume.voxel_size_nm is not None
        self._take_over(volume)
        self._volume, self._mask, self.is_mapped, self.chunk_start = volume, mask, False, (0, 0, 0)
        self.shape = each(
            lambda n, own, new: max(1, round(n * own / new)),
            volume.shape,
            volume.voxel_size_nm,
            voxel_size_nm,
        )
        self._factors = each(operator.truediv, volume.shape, self.shape)
        self.grid = volume.grid.rescaled(each(operator.mul, volume.voxel_size_nm, self._factors))
        self.chunks = each(lambda size, factor: max(1, round(size / factor)), volume.chunks, self._factors)

    def _read(self, box: Box) -> NDArray[Any]:
        if min(box.shape) < 1:
            return np.empty(box.shape, self.dtype)
        taps = each(_taps, box.start, box.stop, self._factors, self._volume.shape)
        start = each(lambda tap: int(tap[0].min()), taps)
        old = Box(start, each(lambda tap: int(tap[0].max()) + 1, taps))
        data = self._volume.read(old)
        data = data.astype(np.float32 if data.itemsize < 4 else np.float64)
        relative = [(places - first, weights) for (places, weights), first in zip(taps, start, strict=True)]
        if self._mask is None:
            data = _weigh_all(data, relative)
        else:
            inside = self._mask.read(old) != 0
            data[~inside] = 0
            share = _weigh_all(inside.astype(data.dtype), relative)
            data = _weigh_all(data, relative) / np.where(share > 0, share, 1)
        return (np.rint(data) if self.dtype.kind in "bui" else data).astype(self.dtype)


def training_size(image: Volume, of_data: VoxelSize, sees_depth: bool) -> VoxelSize:
    """Return the voxel size that an image is brought to: that of the data, but along z its own if nothing sees z.

    Args:
        image: its voxel size is known.
        of_data: ``data.voxel_size_nm``.
        sees_depth: whether a network may see more than one slice. A single slice stays one in any case.
    """
    assert image.voxel_size_nm is not None
    own_z = image.voxel_size_nm[0]
    return (of_data[0] if sees_depth and image.shape[0] > 1 else own_z, *of_data[1:])


def check_rescaling(volume: Volume, files: ImageFiles, trained: VoxelSize) -> None:
    """Check that a volume with its labels and mask can be resampled to the voxels of an ensemble, if they differ.

    Args:
        volume: with the voxel size that the user or the file says.
        files: of the volume.
        trained: size of the ensemble's voxels in nm, along z, y, x.

    Raises:
        InputError: If the size along y or x isn't known, or if it differs and there are labels or a mask.
    """
    if None in volume.grid.sizes_nm[1:]:
        raise InputError(
            f"{volume.name}: its file doesn't say its voxel size, so it can't be rescaled; give voxel_size_nm:"
        )
    if volume.grid.differs_from(trained) and (files.labels or files.mask):
        raise InputError(
            f"{volume.name}: has labels or a mask, which aren't rescaled with it; leave rescale: out, or save all "
            "of them at the ensemble's voxel size"
        )


def _taps(start: int, stop: int, factor: float, n: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return which old voxels a new one is made of along an axis, and with which weights.

    Centres of voxels lie at halves, and a new voxel is as wide as ``factor`` old ones. Beyond the ends, the last
    voxel repeats.

    Args:
        start: the first new voxel.
        stop: the one after the last.
        factor: size of a new voxel in old ones.
        n: number of old voxels.

    Returns:
        Indices and weights, both (stop - start, K).
    """
    if factor == 1:
        return np.arange(start, stop)[:, None], np.ones((stop - start, 1))
    width = max(1.0, factor)
    centres = (np.arange(start, stop) + 0.5) * factor - 0.5
    places = np.floor(centres - width).astype(np.int64)[:, None] + np.arange(1, math.ceil(2 * width) + 1)
    weights = np.maximum(0, 1 - np.abs(places - centres[:, None]) / width)
    return places.clip(0, n - 1), weights / weights.sum(axis=1, keepdims=True)


def _weigh_all(
    data: NDArray[Any], taps: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]]
) -> NDArray[Any]:
    """Sum the taps along z, y and x."""
    for axis, (places, weights) in enumerate(taps):
        data = weigh(data, axis, places, weights.astype(data.dtype))
    return data


def weigh(data: NDArray[Any], axis: int, places: NDArray[np.int64], weights: NDArray[Any]) -> NDArray[Any]:
    """Sum the taps one after the other: a product of matrices would round differently in other boxes.

    Args:
        data: (Z, Y, X).
        axis: 0, 1 or 2.
        places: along the axis, (n, K): the taps of each voxel of the result.
        weights: of the taps, (n, K).
    """
    shape = [1, 1, 1]
    shape[axis] = -1
    total: NDArray[Any] = data.take(places[:, 0], axis) * weights[:, 0].reshape(shape)
    for k in range(1, places.shape[1]):
        total += data.take(places[:, k], axis) * weights[:, k].reshape(shape)
    return total
