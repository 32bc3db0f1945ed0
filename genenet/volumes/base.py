"""Images in, as volumes that are read box by box, never wholly. Axes are (z, y, x)."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from functools import lru_cache
from lzma import LZMAError
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from genenet.core.errors import InputError, one_line
from genenet.core.geometry import Box, Triple, by
from genenet.volumes.formats import files_of, open_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genenet.config.types import ImageRegion, VoxelSize

_SPATIAL = ("z", "y", "x")


class Volume(Protocol):
    """A 3D image that is read box by box.

    Attributes:
        name: what messages call it.
        shape: voxels along z, y, x; a 2D image has z = 1.
        dtype: of the voxels, in the machine's own byte order.
        chunks: the box that is cheapest to read; it may be larger than a region.
        chunk_start: where the grid of chunks begins: at 0, or before it, in a region that cuts chunks.
        voxel_size_nm: along z, y, x, from the file's metadata, if they say.
    """

    name: str
    shape: Triple
    dtype: np.dtype[Any]
    chunks: Triple
    chunk_start: Triple
    voxel_size_nm: VoxelSize | None

    def read(self, box: Box) -> NDArray[Any]:
        """Return the voxels of a box that lies inside, as an array of its own of shape ``box.shape``."""


class ArrayVolume:
    """An array, or anything that is indexed like one (a Zarr array, a memory map), as a volume.

    Attributes:
        is_mapped: whether voxels are simply there, in memory or a mapped file, and needn't be decoded.

    Args:
        array: 2D or more; the last two axes are y and x, and of those before at most one, z, isn't singleton.
        name: what messages call it.
        chunks: defaults to the array's own, else to one slice.
        voxel_size_nm: along z, y, x.
    """

    def __init__(
        self,
        array: Any,
        name: str = "array",
        chunks: Triple | None = None,
        voxel_size_nm: VoxelSize | None = None,
    ) -> None:
        n_z, self._z_axis = _find_z(array.shape, name)
        self._array = array
        self.name = name
        self.shape: Triple = (n_z, *array.shape[-2:])
        self.dtype = _checked_dtype(array.dtype, name)
        self.chunks = chunks or self._own_chunks()
        self.chunk_start: Triple = (0, 0, 0)
        self.voxel_size_nm = voxel_size_nm
        self.is_mapped = isinstance(array, np.ndarray)

    def _own_chunks(self) -> Triple:
        chunks = getattr(self._array, "chunks", None) or (1,) * (self._array.ndim - 2) + self.shape[1:]
        return (1 if self._z_axis is None else chunks[self._z_axis], *chunks[-2:])

    def read(self, box: Box) -> NDArray[Any]:
        """See Volume.

        Raises:
            InputError: If the file turns out to be damaged.
        """
        if Box.of_shape(self.shape).intersect(box) != box:
            raise ValueError(f"{self.name}: {box} isn't inside of {self.shape}")
        z, y, x = box.slices
        index: list[Any] = [0] * (self._array.ndim - 2) + [y, x]
        if self._z_axis is not None:
            index[self._z_axis] = z
        try:
            voxels = self._array[tuple(index)]
        except (ValueError, RuntimeError, EOFError, OSError, zlib.error, LZMAError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the disk's, not a decoder's
                raise
            raise InputError(
                f"{self.name}: damaged, can't be read ({one_line(error)}); copy it anew"
            ) from error
        # No view of the caller's array or of the mapped file may leave: others write into what they get.
        copy = True if isinstance(voxels, np.ndarray) and voxels.base is not None else None
        return np.array(voxels, self.dtype, copy=copy, order="C").reshape(box.shape)


class RegionVolume:
    """A box of a volume as a volume of its own."""

    def __init__(self, volume: Volume, box: Box) -> None:
        self._volume, self._origin = volume, box.start
        self.name, self.dtype, self.voxel_size_nm = volume.name, volume.dtype, volume.voxel_size_nm
        self.shape, self.chunks = box.shape, volume.chunks
        start = (-((o - s) % c) for o, s, c in zip(box.start, volume.chunk_start, volume.chunks, strict=True))
        self.chunk_start: Triple = tuple(start)  # type: ignore[assignment]
        self.is_mapped = getattr(volume, "is_mapped", False)

    def read(self, box: Box) -> NDArray[Any]:
        """See Volume."""
        if Box.of_shape(self.shape).intersect(box) != box:
            raise ValueError(f"{self.name}: {box} isn't inside of the region of {self.shape}")
        return self._volume.read(box.shift(self._origin))


class StackVolume:
    """Files stacked along z. Only a few are open at a time: a system allows some hundreds."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._open = lru_cache(maxsize=8)(_open_file)
        first = _open_file(paths[0])
        self.name = f"{paths[0]} and {len(paths) - 1} more"
        self.dtype, self.chunks, self.voxel_size_nm = first.dtype, first.chunks, first.voxel_size_nm
        self.chunk_start, self.is_mapped = first.chunk_start, first.is_mapped
        self._parts: list[tuple[Path, Box]] = []
        z = 0
        for path in paths:
            part = _open_file(path)
            if part.shape[1:] != first.shape[1:] or part.dtype != first.dtype:
                raise InputError(
                    f"{path}: has {_describe(part)}, but {paths[0]} has {_describe(first)}; "
                    "files stacked along z must agree in y, x and type"
                )
            self._parts.append((path, Box.of_shape(part.shape, (z, 0, 0))))
            z += part.shape[0]
        self.shape: Triple = (z, *first.shape[1:])
        self._ends = [part.stop[0] for _, part in self._parts]

    def read(self, box: Box) -> NDArray[Any]:
        """See Volume."""
        if Box.of_shape(self.shape).intersect(box) != box:
            raise ValueError(f"{self.name}: {box} isn't inside of {self.shape}")
        voxels = np.empty(box.shape, self.dtype)
        for path, part in self._parts[bisect_right(self._ends, box.start[0]) :]:
            if part.start[0] >= box.stop[0]:
                break
            common = part.intersect(box)
            voxels[common.relative_to(box.start).slices] = self._open(path).read(
                common.relative_to(part.start)
            )
        return voxels


def open_volume(paths: Sequence[Path] | Path, region: ImageRegion | None = None) -> Volume:
    """Open an image without reading its voxels.

    Args:
        paths: a file or folder of one of ``formats.FORMATS``, a folder of slices, or several such, which are
            stacked along z.
        region: half-open, in voxels along z, y, x; it becomes a volume of its own.

    Raises:
        InputError: If a file is missing, damaged or no greyscale image of 2 or 3 dimensions, if the files
            don't fit each other, or if the region is empty or reaches outside.
    """
    files = files_of([paths] if isinstance(paths, Path) else [Path(path) for path in paths])
    if not files:
        raise InputError("no image files are given; give at least one")
    volume: Volume = _open_file(files[0]) if len(files) == 1 else StackVolume(files)
    if 0 in volume.shape:
        raise InputError(f"{volume.name}: holds no voxels, its shape is {by(volume.shape)}")
    return crop(volume, region)


def crop(volume: Volume, region: ImageRegion | None) -> Volume:
    """Return a region of a volume as a volume of its own, read lazily.

    Raises:
        InputError: If the region is empty or reaches outside.
    """
    return volume if region is None else RegionVolume(volume, _region_box(volume, region))


def _region_box(volume: Volume, region: ImageRegion) -> Box:
    ends = [interval or (0, n) for interval, n in zip(region, volume.shape, strict=True)]
    for axis, (start, stop), n in zip(_SPATIAL, ends, volume.shape, strict=True):
        if not 0 <= start < stop <= n:
            what = "is empty" if start >= stop else "reaches outside"
            raise InputError(
                f"{volume.name}: region [{start}, {stop}] along {axis} {what}; "
                f"the image is {by(volume.shape)} voxels (z, y, x), so 0 ≤ start < stop ≤ {n}"
            )
    (z0, z1), (y0, y1), (x0, x1) = ends
    return Box((z0, y0, x0), (z1, y1, x1))


def _open_file(path: Path) -> ArrayVolume:
    image = open_image(path)
    return ArrayVolume(image.array, str(path), voxel_size_nm=image.voxel_size_nm)


def _find_z(shape: tuple[int, ...], name: str) -> tuple[int, int | None]:
    """Size of z and its axis: the only one before y, x that isn't singleton, whatever the file calls it."""
    if len(shape) < 2:
        raise InputError(f"{name}: has {len(shape)} dimensions; 2 or 3 are needed")
    large = [axis for axis, n in enumerate(shape[:-2]) if n != 1]
    if len(large) > 1:
        raise InputError(
            f"{name}: has {len(large) + 2} dimensions, {by(shape)}; save one 2D or 3D image as a file"
        )
    if not large and len(shape) > 2:
        return 1, len(shape) - 3
    return (shape[large[0]], large[0]) if large else (1, None)


def _checked_dtype(dtype: Any, name: str) -> np.dtype[Any]:
    checked: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
    if checked.kind not in "buif":
        raise InputError(f"{name}: its voxels are {dtype}; integers or floats are needed")
    return checked


def _describe(volume: Volume) -> str:
    return f"{by(volume.shape[1:])} voxels (y, x) of {volume.dtype}"
