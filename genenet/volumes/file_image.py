"""What a reader returns for an image file, and voxels that lie in a file in one piece, mapped into memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError
from genenet.volumes.grid import AXES, Grid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

UNNAMED = "?"  # an axis that the file doesn't name; a single one before y and x is z
_LARGEST_NM = 20_000.0  # a pixel of 1200 dpi; microscopes, also stereo microscopes, have smaller ones
_FEW_CHANNELS = {"c": "channels", "t": "time points", "s": "samples of colour"}


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
        axes: the name of each axis of the array: z, y, x, c (channel), t (time), s (samples of a colour), another
            name that the file gives, or UNNAMED. The last two are y and x.
        sizes_nm: of a voxel, by axis; an axis whose size the file doesn't say is absent.
        origin_nm: the centre of the first voxel, by axis; 0 along an axis that is absent.
        decoding: how stored voxels become values; None if they are the values.
        bottom_up: whether the first row is the bottom one, as MRC has it; other formats begin at the top.
        members: files that hold the image together with this one, which is among them; empty if it is alone.
        notes: what is odd about the file, for the user.
    """

    array: Any
    axes: tuple[str, ...]
    sizes_nm: Mapping[str, float] = field(default_factory=dict)
    origin_nm: Mapping[str, float] = field(default_factory=dict)
    decoding: Decoding | None = None
    bottom_up: bool = False
    members: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    def grid(self) -> tuple[Grid, list[str]]:
        """Return where the voxels lie, and notes on sizes that can't be true, which count as unknown."""
        notes, sizes = [], []
        for axis in AXES:
            size = self.sizes_nm.get(axis)
            if size is not None and math.isfinite(size) and size > _LARGEST_NM:
                notes.append(
                    f"says that its voxels are {size:.0f} nm along {axis}, which isn't a microscope's (print "
                    "resolutions, such as 72 dpi, look like this); the size counts as unknown"
                )
            sizes.append(size if size is not None and 0 < size <= _LARGEST_NM else None)
        places = (self.origin_nm.get(axis, 0.0) for axis in AXES)
        z, y, x = (place if math.isfinite(place) else 0.0 for place in places)
        return Grid((sizes[0], sizes[1], sizes[2]), (z, y, x)), notes


def find_z(shape: Sequence[int], axes: Sequence[str], name: str) -> tuple[int | None, list[str]]:
    """Return which axis of an array is z, None if it has two axes, and notes for the user.

    Time is read as z if there is no other z: programs often call slices time points.

    Raises:
        InputError: If the array has fewer than two axes, doesn't end in y, x, or has another axis of several
            places, such as channels.
    """
    if len(shape) < 2:
        raise InputError(f"{name}: has {len(shape)} dimensions; 2 or 3 are needed")
    if tuple(axes[-2:]) != ("y", "x"):
        raise InputError(f"{name}: its axes are {', '.join(axes)}; they must end in y, x")
    large = [i for i, n in enumerate(shape[:-2]) if n != 1]
    spatial = [i for i in large if axes[i] in ("z", UNNAMED)]
    times = [i for i in large if axes[i] == "t"]
    for i in large:
        if i not in spatial and (i not in times or spatial or len(times) > 1):
            what = _FEW_CHANNELS.get(axes[i], f"planes along {axes[i]}")
            raise InputError(
                f"{name}: has {shape[i]} {what}; give an image with one, or save it with axes ZYX if they are slices"
            )
    if len(spatial) > 1:
        text = " x ".join(map(str, shape))
        raise InputError(
            f"{name}: has {len(spatial) + 2} dimensions, {text}; save one 2D or 3D image as a file"
        )
    if times and not spatial:
        return times[0], [f"has {shape[times[0]]} time points, which are read as slices along z"]
    if spatial:
        return spatial[0], []
    return (len(shape) - 3 if len(shape) > 2 else None), []


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
