"""Volumes: 3D images that are read box by box, never as a whole. Axes are (z, y, x)."""

from __future__ import annotations

import math
import operator
import zlib
from abc import ABC, abstractmethod
from lzma import LZMAError
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError, one_line
from genenet.core.geometry import Box, Triple, by, each
from genenet.volumes.axes import UNNAMED, find_z
from genenet.volumes.grid import AXES, Grid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from genenet.config.types import ImageRegion, VoxelSize
    from genenet.volumes.file_image import Decoding, FileImage

MAX_CHUNK_BYTES = 2**33  # a chunk is decoded as a whole, in memory


class Volume(ABC):
    """A 3D image that is read box by box.

    Attributes:
        name: how messages call it.
        shape: voxels along z, y, x; a 2D image has z = 1.
        dtype: of the voxels, in the machine's own byte order.
        chunks: the box that is cheapest to read; it may be larger than a region.
        chunk_start: where the grid of chunks begins: at 0, or before it, in a region that cuts chunks.
        grid: where the voxels lie, as far as the file says.
        is_mapped: whether voxels are in memory or in a mapped file, and needn't be decoded.
        bottom_up: whether the first row of the file is the bottom one.
        reading: what was done to the stored voxels, such as inverting them.
        notes: what is odd about the file, for the user.
        members: files that hold the image together with the one that was opened; empty if it is alone.
    """

    name: str
    shape: Triple
    dtype: np.dtype[Any]
    chunks: Triple
    chunk_start: Triple = (0, 0, 0)
    grid: Grid = Grid()
    is_mapped: bool = False
    bottom_up: bool = False
    reading: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    members: tuple[Path, ...] = ()

    @property
    def voxel_size_nm(self) -> VoxelSize | None:
        """Size of a voxel along z, y, x; None if the file doesn't say it along all of them."""
        return self.grid.voxel_size_nm

    def read(self, box: Box) -> NDArray[Any]:
        """Return the voxels of a box that lies inside, as an array of its own of shape ``box.shape``.

        Raises:
            InputError: If the file turns out to be damaged.
        """
        if Box.of_shape(self.shape).intersect(box) != box:
            raise ValueError(f"{self.name}: {box} isn't inside of {self.shape}")
        return self._read(box)

    @abstractmethod
    def _read(self, box: Box) -> NDArray[Any]:
        """Return the voxels of a box that lies inside."""

    def _take_over(self, volume: Volume) -> None:
        """Set all attributes as those of another volume."""
        for name in Volume.__annotations__:
            setattr(self, name, getattr(volume, name))


class ArrayVolume(Volume):
    """An array, or anything that is indexed like one (a Zarr array, a memory map), as a volume.

    Args:
        array: 2D or more; the last two axes are y and x, and at most one of those before has several places.
        name: how messages call it.
        chunks: by default the array's own, else one slice.
        axes: the names of the array's axes, as of FileImage; by default those before y, x have no names.
        decoding: how stored voxels become values.
    """

    def __init__(
        self,
        array: Any,
        name: str = "array",
        chunks: Triple | None = None,
        axes: Sequence[str] | None = None,
        decoding: Decoding | None = None,
    ) -> None:
        axes = axes or (*(UNNAMED,) * (len(array.shape) - 2), "y", "x")
        self._array, self._decoding = array, decoding
        self._z_axis, notes = find_z(array.shape, axes, name)
        self.name, self.notes = name, tuple(notes)
        n_z = 1 if self._z_axis is None else array.shape[self._z_axis]
        self.shape = (n_z, *array.shape[-2:])
        self.dtype = _checked_dtype(decoding.dtype if decoding else array.dtype, name)
        self.chunks = chunks or self._own_chunks()
        self.is_mapped = isinstance(array, np.ndarray)
        self.reading = (decoding.name,) if decoding else ()

    def _own_chunks(self) -> Triple:
        own = getattr(self._array, "chunks", None)
        chunks = own or (1,) * (self._array.ndim - 2) + self.shape[1:]
        n_bytes = math.prod(map(int, chunks)) * np.dtype(self._array.dtype).itemsize
        if own and n_bytes > MAX_CHUNK_BYTES:
            raise InputError(
                f"{self.name}: is stored in pieces of {by(chunks)} voxels, {n_bytes / 1e9:.3g} GB each, and a piece is "
                f"decoded as a whole; save it in tiles or chunks of at most {MAX_CHUNK_BYTES / 1e9:.0f} GB"
            )
        return (1 if self._z_axis is None else chunks[self._z_axis], *chunks[-2:])

    def _read(self, box: Box) -> NDArray[Any]:
        z, y, x = box.slices
        index: list[Any] = [0] * (self._array.ndim - 2) + [y, x]
        if self._z_axis is not None:
            index[self._z_axis] = z
        try:
            voxels = self._array[tuple(index)]
        except (ValueError, RuntimeError, EOFError, OSError, zlib.error, LZMAError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the disk's error, not a decoder's
                raise
            raise InputError(
                f"{self.name}: damaged, can't be read ({one_line(error)}); copy it anew"
            ) from error
        if self._decoding:
            voxels = self._decoding.apply(np.asarray(voxels))
        # Callers write into what they get, so a view of the caller's array or of a mapped file is copied.
        copy = True if isinstance(voxels, np.ndarray) and voxels.base is not None else None
        return np.array(voxels, self.dtype, copy=copy, order="C").reshape(box.shape)


class RegionVolume(Volume):
    """A box of a volume as a volume of its own."""

    def __init__(self, volume: Volume, box: Box) -> None:
        self._take_over(volume)
        self._volume, self._origin = volume, box.start
        self.shape, self.grid = box.shape, volume.grid.shift(box.start)
        self.chunk_start = each(
            lambda start, first, size: -((start - first) % size), box.start, volume.chunk_start, volume.chunks
        )

    def _read(self, box: Box) -> NDArray[Any]:
        return self._volume.read(box.shift(self._origin))


class MirroredVolume(Volume):
    """A volume mirrored along some of its axes.

    ::

        volume     0  1  2  3  4  5  6
        mirrored   6  5  4  3  2  1  0       box [1, 3) of it is box [4, 6) of the volume, mirrored
    """

    def __init__(self, volume: Volume, axes: Sequence[str]) -> None:
        self._take_over(volume)
        self._volume = volume
        self._mirrored = each(axes.__contains__, AXES)
        self.reading = (*volume.reading, f"mirrored along {', '.join(axis for axis in AXES if axis in axes)}")
        self.chunk_start = each(  # the last chunk, which may be cut off, comes first
            lambda mirrored, first, n, size: -((first - n) % size) if mirrored else first,
            *(self._mirrored, volume.chunk_start, volume.shape, volume.chunks),
        )

    def _read(self, box: Box) -> NDArray[Any]:
        start = each(
            lambda mirrored, first, stop, n: n - stop if mirrored else first,
            *(self._mirrored, box.start, box.stop, self.shape),
        )
        voxels = self._volume.read(Box.of_shape(box.shape, start))
        return np.ascontiguousarray(np.flip(voxels, tuple(np.flatnonzero(self._mirrored))))


def file_volume(image: FileImage, name: str, is_grey: bool = True) -> ArrayVolume:
    """Return an open file as a volume; ``is_grey`` says that it is an image, and not labels or a mask.

    Raises:
        InputError: If it isn't one 2D or 3D image of numbers.
    """
    if is_grey and image.has_colour_table:
        raise InputError(
            f"{name}: is a picture with a colour table; save it as grey values (in Fiji: Image > Lookup Tables > "
            "Grays), or give it as labels if its numbers are ids"
        )
    decoding = image.decoding
    if decoding and decoding.of_grey_only and not is_grey:
        decoding = None
    volume = ArrayVolume(image.array, name, axes=image.axes, decoding=decoding)
    volume.grid, notes = image.grid()
    volume.notes = (*image.notes, *volume.notes, *notes)
    volume.bottom_up, volume.members = image.bottom_up, image.members
    return volume


def crop(volume: Volume, region: ImageRegion | None) -> Volume:
    """Return a region of a volume as a volume of its own, read lazily.

    Raises:
        InputError: If the region is empty or reaches outside.
    """
    return volume if region is None else RegionVolume(volume, _region_box(volume, region))


def _region_box(volume: Volume, region: ImageRegion) -> Box:
    ends = [interval or (0, n) for interval, n in zip(region, volume.shape, strict=True)]
    for axis, (start, stop), n in zip(AXES, ends, volume.shape, strict=True):
        if not 0 <= start < stop <= n:
            what = "is empty" if start >= stop else "reaches outside"
            raise InputError(
                f"{volume.name}: region [{start}, {stop}] along {axis} {what}; "
                f"the image is {by(volume.shape)} voxels (z, y, x), so 0 ≤ start < stop ≤ {n}"
            )
    return Box(each(operator.itemgetter(0), ends), each(operator.itemgetter(1), ends))


def _checked_dtype(dtype: Any, name: str) -> np.dtype[Any]:
    checked: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
    if checked.kind not in "buif":
        raise InputError(f"{name}: its voxels are {dtype}; integers or floats are needed")
    return checked
