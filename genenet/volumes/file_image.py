"""What a reader returns for an image file, and voxels that lie in a file in one piece, mapped into memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError
from genenet.core.geometry import each
from genenet.volumes.grid import AXES, Grid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

_LARGEST_NM = 20_000.0  # a pixel of 1200 dpi; microscopes, also stereo microscopes, have smaller ones


@dataclass(frozen=True)
class Decoding:
    """How stored voxels become the values that they stand for.

    Attributes:
        name: what was done, as it stands in the fingerprint of a segmentation.
        apply: from an array of stored voxels to an array of values.
        dtype: of the values.
        of_grey_only: whether it concerns images only: labels and masks are read as they are stored.
    """

    name: str
    apply: Callable[[NDArray[Any]], NDArray[Any]]
    dtype: np.dtype[Any]
    of_grey_only: bool = False


@dataclass(frozen=True)
class FileImage:
    """An open image: a memory map, or a Zarr array that decodes a chunk, page or tile at a time.

    Attributes:
        array: what is indexed to read voxels.
        axes: the name of each axis of the array, as find_z reads them. The last two are y and x.
        sizes_nm: of a voxel, by axis; an axis whose size the file doesn't say is absent.
        origin_nm: the centre of the first voxel, by axis; 0 along an axis that is absent.
        decoding: how stored voxels become values; None if they are the values.
        has_colour_table: whether voxels are numbers of colours: they may be labels, but no grey values.
        bottom_up: whether the first row is the bottom one, as MRC has it; other formats begin at the top.
        members: files that hold the image together with this one, which is among them; empty if it is alone.
        notes: what is odd about the file, for the user.
    """

    array: Any
    axes: tuple[str, ...]
    sizes_nm: Mapping[str, float] = field(default_factory=dict)
    origin_nm: Mapping[str, float] = field(default_factory=dict)
    decoding: Decoding | None = None
    has_colour_table: bool = False
    bottom_up: bool = False
    members: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    def grid(self) -> tuple[Grid, list[str]]:
        """Return where the voxels lie, and notes on sizes that can't be true, which count as unknown."""
        sizes = each(lambda axis: self.sizes_nm.get(axis, 0.0), AXES)
        places = each(lambda axis: self.origin_nm.get(axis, 0.0), AXES)
        notes = [
            f"says that its voxels are {size:.0f} nm along {axis}, which isn't a microscope's (print resolutions, such "
            "as 72 dpi, look like this); the size counts as unknown"
            for axis, size in zip(AXES, sizes, strict=True)
            if math.isfinite(size) and size > _LARGEST_NM
        ]
        known = each(lambda size: size if 0 < size <= _LARGEST_NM else None, sizes)
        return Grid(known, each(lambda place: place if math.isfinite(place) else 0.0, places)), notes


def map_voxels(path: Path, dtype: DTypeLike, offset: int, shape: Sequence[int]) -> NDArray[Any]:
    """Map voxels that begin at byte ``offset``, read-only.

    Raises:
        InputError: If they would reach beyond the end of the file, or there are none.
    """
    n_bytes = math.prod(map(int, shape)) * np.dtype(dtype).itemsize
    if n_bytes < 1 or min(shape) < 1:
        raise InputError(f"{path}: holds no voxels, its header says {tuple(shape)}")
    if offset + n_bytes > path.stat().st_size:
        raise InputError(
            f"{path}: is truncated, its voxels should reach beyond the end of the file; copy it anew"
        )
    return np.memmap(path, dtype, "r", offset, tuple(shape))
