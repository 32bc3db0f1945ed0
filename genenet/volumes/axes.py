"""Names of the axes of an array, and which of them is z."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from genenet.core.errors import InputError
from genenet.core.geometry import by

if TYPE_CHECKING:
    from collections.abc import Sequence

UNNAMED = "?"  # an axis that the file doesn't name; a single one before y and x is z
_NAMES = {  # by their meaning, those that programs write; also in the plural and in capitals
    "x": ("x", "column", "col", "width"),
    "y": ("y", "row", "height"),
    "z": ("z", "plane", "slice", "section", "depth"),
    "c": ("c", "channel", "band"),
    "t": ("t", "time", "frame"),
}
_MEANING = {name: axis for axis, names in _NAMES.items() for name in names}
_NUMBERED = re.compile(r"((phony_)?dim|axis)?_?\d*")  # dim_0 of xarray, phony_dim_0 of netCDF
_PLACES = {"c": "channels", "t": "time points", "s": "samples of colour"}


def known_axes(names: Sequence[str | None], shape: Sequence[int], where: object) -> tuple[str, ...]:
    """Return the axes that names stand for: z, y, x, c (channel), t (time), or UNNAMED.

    The last two axes are y and x if they have no names.

    Args:
        names: of all axes of an array, or none; a name may be missing.
        shape: of the array; an axis of a single place may have any name.
        where: begins the messages of errors.

    Raises:
        InputError: If a name isn't known, or not all axes are named.
    """
    if names and len(names) != len(shape):
        raise InputError(f"{where}: has {len(shape)} dimensions, its metadata name {len(names)} axes")
    axes = []
    for name, n in zip(names or [None] * len(shape), shape, strict=True):
        text = str(name or "").strip().casefold()
        axis = _MEANING.get(text) or _MEANING.get(text.removesuffix("s"))
        if not axis and not _NUMBERED.fullmatch(text) and n > 1:
            known = "; ".join(f"{key}: {', '.join(others[1:])}" for key, others in _NAMES.items())
            raise InputError(f"{where}: its axis {name!r} isn't known; name it x, y, z, c or t (or {known})")
        axes.append(axis or UNNAMED)
    for i, axis in ((-2, "y"), (-1, "x")):
        if len(axes) > 1 and axes[i] == UNNAMED:
            axes[i] = axis
    return tuple(axes)


def find_z(shape: Sequence[int], axes: Sequence[str], name: str) -> tuple[int | None, list[str]]:
    """Return which axis of an array is z, None if it has two axes, and notes for the user.

    Time is read as z if there is no other z: programs often call slices time points.

    Args:
        shape: of the array.
        axes: z, y, x, c (channel), t (time), s (samples of a colour), another name that the file gives, or UNNAMED.
        name: how messages call the array.

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
            what = _PLACES.get(axes[i], f"planes along {axes[i]}")
            raise InputError(
                f"{name}: has {shape[i]} {what}; give an image with one, or save it with axes ZYX if they are slices"
            )
    if len(spatial) > 1:
        raise InputError(
            f"{name}: has {len(spatial) + 2} dimensions, {by(shape)}; save one 2D or 3D image as a file"
        )
    if times and not spatial:
        return times[0], [f"has {shape[times[0]]} time points, which are read as slices along z"]
    if spatial:
        return spatial[0], []
    return (len(shape) - 3 if len(shape) > 2 else None), []
