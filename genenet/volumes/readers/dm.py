"""Reads DM3 and DM4, Gatan's formats, with RosettaSciIO, an extra: ``pip install genenet[dm]``."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError, one_line
from genenet.core.geometry import by
from genenet.volumes.axes import UNNAMED
from genenet.volumes.file_image import FileImage, map_voxels
from genenet.volumes.units import nm_per

if TYPE_CHECKING:
    from pathlib import Path


def open_dm(path: Path) -> FileImage:
    """Open the image of a DM3 or DM4 file, mapped into memory; thumbnails are left out.

    Raises:
        InputError: If RosettaSciIO isn't installed, or if the file isn't DM3 or DM4, is truncated, or holds
            several images or one that isn't grey.
    """
    try:
        from rsciio.digitalmicrograph import file_reader
    except ImportError:
        raise InputError(f"{path}: reading DM files needs RosettaSciIO; pip install 'genenet[dm]'") from None
    try:
        images = file_reader(path, lazy=True, chunks=-1)  # dask's arrays aren't computed, only described
    # It has no exception of its own: wrong bytes raise whatever the code that met them raises.
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, struct.error) as error:
        raise _unreadable(path, error) from error
    except (MemoryError, ArithmeticError) as error:
        raise _unreadable(path, error) from error
    if len(images) != 1:
        shapes = ", ".join(by(image["data"].shape) for image in images[:4])
        raise InputError(
            f"{path}: holds {len(images)} images ({shapes}); save the one that is meant as a file"
        )
    return _map(path, images[0])


def _unreadable(path: Path, error: BaseException) -> InputError:
    return InputError(f"{path}: can't be read as DM3 or DM4, or is truncated ({one_line(error)})")


def _map(path: Path, image: dict[str, Any]) -> FileImage:
    data = image["original_metadata"]["ImageList"]["TagGroup0"]["ImageData"]["Data"]
    order = "<" if data["endian"] == "little" else ">"
    dtype = np.dtype(image["data"].dtype).newbyteorder(order)
    voxels = map_voxels(path, dtype, data["offset"], image["data"].shape)
    axes = _names(image["axes"])
    known = [
        (name, axis, nm)
        for name, axis in zip(axes, image["axes"], strict=True)
        if (nm := nm_per(axis["units"]))
    ]
    return FileImage(
        voxels,
        axes,
        {name: float(axis["scale"]) * nm for name, axis, nm in known},
        {name: float(axis["offset"]) * nm for name, axis, nm in known},
    )


def _names(axes: list[dict[str, Any]]) -> tuple[str, ...]:
    """Return the names of axes. Digital Micrograph names none: x is last, and units tell spectra and times."""
    names = [UNNAMED] * (len(axes) - 3) + ["z", "y", "x"][-len(axes) :]
    for i, axis in enumerate(axes):
        unit = str(axis["units"] or "").strip().lower()
        if unit.endswith("ev"):
            names[i] = "energy"
        elif unit in ("s", "sec", "ms", "µs", "us", "min"):
            names[i] = "t"
    return tuple(names)
