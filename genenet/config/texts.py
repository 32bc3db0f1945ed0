"""Values that one word of a command line stands for, such as ``40x10x10``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genenet.config.types import FlippedAxes, VoxelSize
from genenet.core.errors import InputError, naming
from genenet.core.geometry import Triple

NONE = "none"  # no flipped axes; an image without a mask


def read_option(name: str, text: str | None, read: Callable[[str], Any]) -> Any:
    """Return the value of an option; None if the option isn't given.

    Args:
        name: of the option's variable, ``voxel_size`` for ``--voxel-size``.
        text: of the option.
        read: one of the functions below, or another one that raises InputError.

    Raises:
        InputError: If the text can't be read; the message begins with the option and the text.
    """
    with naming(f"{option(name)} {text}"):
        return None if text is None else read(text)


def option(name: str) -> str:
    """Return the option of a variable, such as ``--voxel-size``."""
    return f"--{name.replace('_', '-')}"


def read_shape(text: str) -> Triple:
    """Read numbers of voxels along z, y, x, such as 16x640x640 or 16,640,640; raises InputError."""
    sizes = re.split("[x,]", text)
    if len(sizes) != 3 or not all(size.strip().isdecimal() for size in sizes):
        raise InputError("give voxels along z, y and x, such as 16x640x640")
    z, y, x = map(int, sizes)
    return z, y, x


def read_voxel_size(text: str) -> VoxelSize:
    """Read nm along z, y, x, such as 40x10x10, or one number for all axes; raises InputError."""
    try:
        sizes = [float(part) for part in re.split(r"[x×,\s]+", text.strip())]
    except ValueError:
        sizes = []
    if len(sizes) == 1:
        sizes *= 3
    if len(sizes) != 3 or not all(0 < n < float("inf") for n in sizes):
        raise InputError("give nm along z, y, x, such as 40x10x10")
    return sizes[0], sizes[1], sizes[2]


def read_voxel_size_or_none(text: str) -> VoxelSize | None:
    """Read nm along z, y, x, such as 40x10x10, or the word none; raises InputError."""
    return None if text == NONE else read_voxel_size(text)


def read_flip(text: str) -> FlippedAxes:
    """Read axes with commas between them, such as y, or none; raises InputError."""
    axes = [] if text == NONE else [part.strip() for part in text.split(",")]
    if set(axes) - {"z", "y", "x"}:
        raise InputError(f"give y, other axes, or {NONE}")
    return tuple(axis for axis in ("z", "y", "x") if axis in axes)


def read_names(text: str) -> list[str]:
    """Read names with commas between them."""
    return [name.strip() for name in text.split(",")]


def read_named_path(text: str) -> tuple[str, Path]:
    """Read a name and a file, such as cell=cells.tif; raises InputError."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise InputError("give a name and a file, such as cell=cells.tif")
    return name, Path(path)


def read_image_region(text: str) -> list[list[str] | None]:
    """Read half-open intervals along z, y, x, such as 0:100,:,200:900; raises InputError."""
    axes = text.split(",")
    if len(axes) != 3 or any(axis.count(":") != 1 for axis in axes):
        raise InputError("give start:stop along z, y and x, such as 0:100,:,200:900; : is the whole axis")
    return [None if axis.strip() == ":" else axis.split(":") for axis in axes]


def read_part(text: str) -> tuple[int, int]:
    """Read a share of the work, such as 2/16; raises InputError."""
    try:
        part, n_parts = (int(n) for n in text.split("/"))
    except ValueError:
        part, n_parts = 0, 0
    if not 1 <= part <= n_parts:
        raise InputError("give a share such as 2/16, from 1/16 to 16/16")
    return part, n_parts
