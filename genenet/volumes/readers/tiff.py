"""Reads TIFF: stacks, BigTIFF, OME-TIFF and ImageJ's, read page by page or mapped into memory."""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from genenet.core.errors import InputError, one_line
from genenet.core.geometry import by
from genenet.volumes.axes import UNNAMED
from genenet.volumes.file_image import Decoding, FileImage
from genenet.volumes.readers.tiff_metadata import origin_of, sizes_of
from genenet.volumes.readers.tiff_pages import check_chain, check_data, check_described, with_all_pages

if TYPE_CHECKING:
    from numpy.typing import NDArray

# I (sequence) and Q (other) say nothing; TIFF writers use them for stacks.
_NAMES = {letter: name for letter, name in tifffile.TIFF.AXES_NAMES.items() if letter not in "IQ"}
_NAMES |= {letter.upper(): letter for letter in "zyxcts"}


def open_tiff(path: Path) -> FileImage:
    """Open the image of a TIFF without reading its voxels; the file closes when the array is dropped.

    Raises:
        InputError: If it isn't a TIFF, is truncated or RGB, or holds several images of different shapes.
    """
    try:
        return _open(path)
    except InputError:  # raised below, with a better message
        raise
    except tifffile.TiffFileError as error:
        raise InputError(f"{path}: not a TIFF, or truncated ({one_line(error)})") from error
    except (ValueError, IndexError, TypeError, RuntimeError, MemoryError, ArithmeticError) as error:
        raise InputError(f"{path}: a damaged TIFF ({one_line(error)})") from error


def _open(path: Path) -> FileImage:
    with ExitStack() as files:
        tif = files.enter_context(tifffile.TiffFile(path))
        check_chain(path, tif)
        check_described(path, tif)
        sizes, origin = sizes_of(tif), origin_of(tif)
        tif, notes = with_all_pages(path, tif, files)
        series = _only_series(path, tif)
        axes, more = _axes(path, tif, series)
        check_data(path, tif, series)
        array, members = _array(path, tif, series, files)
        return FileImage(
            array,
            axes,
            sizes,
            origin,
            decoding=_decoding(series),
            has_colour_table=_is_palette(series) and _grey_table(series) is None,
            members=members,
            notes=(*notes, *more),
        )


def _array(
    path: Path, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, files: ExitStack
) -> tuple[Any, tuple[Path, ...]]:
    """Return what voxels are read from, and the files that it spreads over, if they are several."""
    if series.dataoffset is not None:
        # Uncompressed and in one piece (also ImageJ's files above 4 GB, which only describe page 1).
        dtype = np.dtype(series.dtype).newbyteorder(tif.byteorder)
        return np.memmap(path, dtype, "r", series.dataoffset, series.shape), ()
    import zarr

    members = tuple({Path(page.parent.filehandle.path): None for page in series.pages if page is not None})
    array = zarr.open_array(series.aszarr(level=0), mode="r")
    weakref.finalize(array, files.pop_all().close)
    return array, members if len(members) > 1 else ()


def _only_series(path: Path, tif: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    series = tif.series
    if len(series) != 1:
        shapes = ", ".join(by(s.shape) for s in series[:4])
        raise InputError(
            f"{path}: holds {len(series)} images ({shapes}); save the one that is meant as a file"
        )
    return series[0]


def _axes(
    path: Path, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries
) -> tuple[tuple[str, ...], list[str]]:
    """Return the names of the axes, and notes on what they may mean.

    Raises:
        InputError: If the image has colours.
    """
    page = series.keyframe
    described = (tif.shaped_metadata or ({},))[0].get("shape", ())  # of the array that Python code wrote
    if series.axes == "SYX" and tuple(described) == series.shape:  # tifffile takes three slices for colours
        note = (
            f"holds {series.shape[0]} planes that are called colours, but its description says {by(series.shape)}; "
            'they are read as slices (tifffile writes stacks by photometric="minisblack")'
        )
        return (UNNAMED, "y", "x"), [note]
    if page.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR) or "S" in series.axes:
        raise InputError(f"{path}: is an RGB image; convert to greyscale")
    return tuple(_NAMES.get(letter, UNNAMED) for letter in series.axes), []


def _decoding(series: tifffile.TiffPageSeries) -> Decoding | None:
    """Return how voxels become grey values: in a WhiteIsZero image, the smallest value is the brightest."""
    if series.keyframe.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        return Decoding("white is zero", _inverted, np.dtype(series.dtype), of_grey_only=True)
    greys = _grey_table(series)
    return Decoding("grey table", greys.take, greys.dtype, of_grey_only=True) if greys is not None else None


def _grey_table(series: tifffile.TiffPageSeries) -> NDArray[np.uint8] | None:
    """Return the grey of each number if voxels are numbers in a table of greys; None if they aren't."""
    table = series.keyframe.colormap  # (red, green and blue; numbers), of 16 bits, in old files of 8
    if not _is_palette(series) or table is None or (table != table[0]).any():
        return None
    return np.asarray(table[0] >> 8 if table.max() > 255 else table[0], np.uint8)


def _is_palette(series: tifffile.TiffPageSeries) -> bool:
    return bool(series.keyframe.photometric == tifffile.PHOTOMETRIC.PALETTE)


def _inverted(voxels: NDArray[Any]) -> NDArray[Any]:
    """Turn the smallest value into the largest: all bits of integers, the sign of floats."""
    return -voxels if voxels.dtype.kind in "fc" else ~voxels
