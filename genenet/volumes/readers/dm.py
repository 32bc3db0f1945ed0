"""DM3 and DM4 in, Gatan's formats, by RosettaSciIO: an extra, ``pip install genenet[dm]``."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError, one_line
from genenet.core.geometry import by
from genenet.volumes.file_image import FileImage, map_voxels
from genenet.volumes.units import nm_per

if TYPE_CHECKING:
    from pathlib import Path

    from genenet.config.types import VoxelSize


def open_dm(path: Path) -> FileImage:
    """Open the image of a DM3 or DM4 file, mapped into memory; thumbnails are passed over.

    Raises:
        InputError: If RosettaSciIO isn't installed, or if the file is none of these, is truncated, or holds
            several images or one that isn't grey.
    """
    try:
        from rsciio.digitalmicrograph import file_reader
    except ImportError:
        raise InputError(f"{path}: reading DM files needs RosettaSciIO; pip install 'genenet[dm]'") from None
    try:
        images = file_reader(path, lazy=True, chunks=-1)  # dask's arrays aren't computed, only described
    # It has no error of its own: what fails is whatever met the wrong bytes.
    except (OSError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
        raise _unreadable(path, error) from error
    except (struct.error, IndexError, MemoryError, RecursionError, OverflowError) as error:
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
    return FileImage(voxels, _voxel_size(image["axes"]))


def _voxel_size(axes: list[dict[str, Any]]) -> VoxelSize | None:
    """None unless all of z, y, x have a unit of length: stacks of slices often say nothing along z."""
    sizes = [float(axis["scale"]) * (nm_per(axis["units"]) or 0) for axis in axes]
    return (sizes[0], sizes[1], sizes[2]) if len(sizes) == 3 and min(sizes) > 0 else None
