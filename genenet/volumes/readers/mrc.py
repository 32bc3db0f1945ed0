"""Reads MRC, the format of tomography (MRC2014, IMOD), mapped into memory."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError, one_line
from genenet.volumes.axes import UNNAMED
from genenet.volumes.file_image import Decoding, FileImage, map_voxels

if TYPE_CHECKING:
    from pathlib import Path

_IMOD = 1146047817  # "IMOD" as an integer
_SIGNED, _ORIGIN_INVERTED = 1, 4  # bits of IMOD's flags
_ANGSTROM = 0.1  # in nm


def open_mrc(path: Path) -> FileImage:
    """Open an MRC file without reading its voxels. Rows are in the order of the file: the bottom one is first.

    Raises:
        InputError: If it isn't MRC, is truncated, or holds 4-bit voxels.
    """
    import mrcfile
    from mrcfile.utils import data_dtype_from_header, data_shape_from_header

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mrcfile complains of what older programs left out
            with mrcfile.open(path, permissive=True, header_only=True) as file:
                header = file.header.copy()
        dtype, shape = data_dtype_from_header(header), data_shape_from_header(header)
    except (ValueError, IndexError, EOFError, AttributeError) as error:
        raise InputError(f"{path}: can't be read as MRC ({one_line(error)})") from error
    decoding = None
    if dtype.kind == "i" and dtype.itemsize == 1:
        dtype, decoding = _bytes(header)
    voxels = map_voxels(path, dtype, header.nbytes + int(header.nsymbt), shape)
    voxels = _in_order(path, header, voxels)
    axes = (UNNAMED,) * (voxels.ndim - 3) + ("z", "y", "x")[-voxels.ndim :]
    sizes = _sizes(header)
    return FileImage(voxels, axes, sizes, _origin(header) if sizes else {}, decoding=decoding, bottom_up=True)


def _imod_flags(header: Any) -> int | None:
    """Return the flags that IMOD writes; None if another program wrote the file."""
    stamp, flags = np.frombuffer(header.extra2.tobytes()[40:48], header.mode.dtype).tolist()
    return int(flags) if stamp == _IMOD else None


def _bytes(header: Any) -> tuple[np.dtype[Any], Decoding | None]:
    """Return the type of bytes in the file, and how they become values.

    Mode 0 was unsigned once and is signed since MRC2014. IMOD's bytes always stand for 0 to 255: a flag says
    whether it stored them as they are, or less 128. Without IMOD's stamp bytes are signed, unless the header says
    that the largest voxel is more than 127.
    """
    flags = _imod_flags(header)
    if flags is not None and flags & _SIGNED:
        # Read as unsigned, a signed byte plus 128 is the byte with its first bit flipped.
        added = Decoding("signed bytes of IMOD", lambda stored: stored ^ np.uint8(128), np.dtype(np.uint8))
        return np.dtype(np.uint8), added
    if flags is not None or (header.dmax > 127 and header.dmax >= header.dmin):
        return np.dtype(np.uint8), None
    return np.dtype(np.int8), None


def _in_order(path: Path, header: Any, voxels: Any) -> Any:
    """Transpose (section, row, column) to z, y, x: a header may say that its columns run along another axis."""
    axes = [int(header.maps), int(header.mapr), int(header.mapc)]
    if voxels.ndim != 3 or axes in ([3, 2, 1], [0, 0, 0]):
        return voxels
    if sorted(axes) != [1, 2, 3]:
        raise InputError(f"{path}: its header names the axes {axes[::-1]}; 1, 2, 3 in some order are needed")
    return voxels.transpose([axes.index(axis) for axis in (3, 2, 1)])


def _sizes(header: Any) -> dict[str, float]:
    """Return the sizes that the cell gives, in nm. Programs that don't know them write 0 or 1 Å."""
    sizes = {}
    for axis in "zyx":
        length, n = float(header.cella[axis]), int(header[f"m{axis}"])
        if n > 0 and np.isfinite(length) and length > 0:
            sizes[axis] = round(length / n * _ANGSTROM, 6)
    return {} if set(sizes.values()) == {_ANGSTROM} else sizes


def _origin(header: Any) -> dict[str, float]:
    """Return the place of the first voxel in nm. IMOD writes it with the other sign, unless a flag says so."""
    flags = _imod_flags(header)
    sign = -_ANGSTROM if flags is not None and not flags & _ORIGIN_INVERTED else _ANGSTROM
    return {axis: round(sign * float(header.origin[axis]), 6) + 0.0 for axis in "zyx"}
