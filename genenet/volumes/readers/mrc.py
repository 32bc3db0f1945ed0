"""MRC in: the format of tomography (MRC2014, IMOD), mapped into memory."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError, one_line
from genenet.volumes.file_image import FileImage, map_voxels

if TYPE_CHECKING:
    from pathlib import Path

    from genenet.config.types import VoxelSize

_IMOD = 1146047817  # "IMOD" as an integer
_SIGNED = 1


def open_mrc(path: Path) -> FileImage:
    """Open an MRC file without reading its voxels. Its rows are taken in the order of the file.

    Raises:
        InputError: If it isn't one, is truncated, or holds 4-bit voxels.
    """
    import mrcfile
    from mrcfile.utils import data_dtype_from_header, data_shape_from_header

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # older programs left out what makes it complain
            with mrcfile.open(path, permissive=True, header_only=True) as file:
                header = file.header.copy()
        dtype, shape = data_dtype_from_header(header), data_shape_from_header(header)
    except (ValueError, IndexError, EOFError, AttributeError) as error:
        raise InputError(f"{path}: can't be read as MRC ({one_line(error)})") from error
    if dtype.kind == "i" and dtype.itemsize == 1 and _bytes_are_unsigned(header):
        dtype = np.dtype(np.uint8)
    offset = header.nbytes + int(header.nsymbt)
    return FileImage(_in_order(path, header, map_voxels(path, dtype, offset, shape)), _voxel_size(header))


def _bytes_are_unsigned(header: Any) -> bool:
    """Mode 0 was unsigned once and is signed since MRC2014; IMOD says which, in a flag of its own.

    A file that no flag explains is signed, unless its largest voxel is said to be more than 127.
    """
    stamp, flags = np.frombuffer(header.extra2.tobytes()[40:48], header.mode.dtype).tolist()
    if stamp == _IMOD:
        return not flags & _SIGNED
    return bool(header.dmax > 127 and header.dmax >= header.dmin)


def _in_order(path: Path, header: Any, voxels: Any) -> Any:
    """Transpose (section, row, column) to z, y, x: a header may say that its columns run along another axis."""
    axes = [int(header.maps), int(header.mapr), int(header.mapc)]
    if voxels.ndim != 3 or axes in ([3, 2, 1], [0, 0, 0]):
        return voxels
    if sorted(axes) != [1, 2, 3]:
        raise InputError(f"{path}: its header names the axes {axes[::-1]}; 1, 2, 3 in some order are needed")
    return voxels.transpose([axes.index(axis) for axis in (3, 2, 1)])


def _voxel_size(header: Any) -> VoxelSize | None:
    """From the cell, in Å. Programs that don't know the size write 0 or 1 Å."""
    lengths, counts = (header.cella.z, header.cella.y, header.cella.x), (header.mz, header.my, header.mx)
    if min(counts) < 1 or not np.isfinite([float(n) for n in lengths]).all() or min(lengths) <= 0:
        return None
    z, y, x = (round(float(length) / int(n) / 10, 6) for length, n in zip(lengths, counts, strict=True))
    return None if z == y == x == 0.1 else (z, y, x)
