"""Reads TIFF: stacks, BigTIFF, OME-TIFF and ImageJ's, read page by page or mapped into memory."""

from __future__ import annotations

import math
import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from genenet.core.errors import InputError, one_line
from genenet.core.geometry import by
from genenet.volumes.file_image import UNNAMED, Decoding, FileImage
from genenet.volumes.readers.tiff_metadata import origin_of, sizes_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NAMES = {letter.upper(): letter for letter in "zyxcts"}


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
    except (ValueError, IndexError, RuntimeError, MemoryError, OverflowError) as error:
        raise InputError(f"{path}: a damaged TIFF ({one_line(error)})") from error


def _open(path: Path) -> FileImage:
    with ExitStack() as files:
        tif = files.enter_context(tifffile.TiffFile(path))
        _check_chain(path, tif)
        sizes, origin = sizes_of(tif), origin_of(tif)
        tif, notes = _with_all_pages(path, tif, files)
        series = _only_series(path, tif)
        axes, more = _axes(path, tif, series)
        _check_data(path, tif, series)
        array, members = _array(path, tif, series, files)
        return FileImage(
            array,
            axes,
            sizes,
            origin,
            decoding=_decoding(series),
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


def _with_all_pages(
    path: Path, tif: tifffile.TiffFile, files: ExitStack
) -> tuple[tifffile.TiffFile, list[str]]:
    """Return the file such that all its pages are read, and a note if its metadata describe fewer.

    Metadata go stale: a program that adds or removes pages often keeps the description that it found. Pages
    that Python code wrote one by one are each described as an image.
    """
    first, n_pages = tif.series[0], len(tif.pages)
    others = {(s.shape, s.dtype) for s in tif.series[1:]}
    if first.kind == "shaped" and others == {(first.shape, first.dtype)}:
        return files.enter_context(tifffile.TiffFile(path, is_shaped=False)), []
    if others or first.kind not in ("ome", "imagej", "shaped") or n_pages < 2:
        return tif, []
    n_described = _own_pages(path, first)
    if n_described >= n_pages:
        return tif, []
    plain = files.enter_context(tifffile.TiffFile(path, is_ome=False, is_imagej=False, is_shaped=False))
    if len(plain.series) > 1:  # the other pages are something else, such as a thumbnail
        return tif, []
    name = {"ome": "OME", "imagej": "ImageJ"}.get(first.kind, "Python")
    return plain, [
        f"its {name} metadata describe {n_described} slices, but it has {n_pages}, and all are read"
    ]


def _own_pages(path: Path, series: tifffile.TiffPageSeries) -> int:
    """Return how many pages of this file a series describes."""
    files = [Path(page.parent.filehandle.path).resolve() for page in series.pages if page is not None]
    n_own = files.count(path.resolve())
    return n_own if n_own < len(series.pages) else int(series.size // series.keyframe.size)


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
    if series.axes == "SYX" and _is_described_as(tif, series.shape):
        note = (
            f"holds {series.shape[0]} planes that are called colours, but its description says {by(series.shape)}; "
            'they are read as slices (tifffile writes stacks by photometric="minisblack")'
        )
        return (UNNAMED, "y", "x"), [note]
    if page.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR) or "S" in series.axes:
        raise InputError(f"{path}: is an RGB image; convert to greyscale")
    return tuple(_NAMES.get(letter, UNNAMED) for letter in series.axes), []


def _is_described_as(tif: tifffile.TiffFile, shape: tuple[int, ...]) -> bool:
    """Return whether Python code wrote an array of this shape: tifffile takes three slices for three colours."""
    described = (tif.shaped_metadata or ({},))[0].get("shape")
    return described is not None and tuple(described) == tuple(shape)


def _decoding(series: tifffile.TiffPageSeries) -> Decoding | None:
    """Return how voxels become grey values: in a WhiteIsZero image, the smallest value is the brightest."""
    if series.keyframe.photometric != tifffile.PHOTOMETRIC.MINISWHITE:
        return None
    return Decoding("white is zero", _inverted, np.dtype(series.dtype), of_grey_only=True)


def _inverted(voxels: NDArray[Any]) -> NDArray[Any]:
    """Turn the smallest value into the largest: all bits of integers, the sign of floats."""
    return -voxels if voxels.dtype.kind in "fc" else ~voxels


def _check_chain(path: Path, tif: tifffile.TiffFile) -> None:
    """Check that the last page says that it is the last: in a truncated file it points behind the end."""
    position, size = tif.pages.next_page_offset, tif.tiff.offsetsize
    if position is None:
        return
    tif.filehandle.seek(position)
    following = tif.filehandle.read(size)
    if len(following) < size or any(following):
        raise InputError(
            f"{path}: is truncated, page {len(tif.pages)} and later ones are missing; copy it anew"
        )


def _check_data(path: Path, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Check that all voxels lie within the file."""
    truncated = InputError(
        f"{path}: is truncated, its voxels should reach beyond the end of the file; copy it anew"
    )
    size = tif.filehandle.size
    pages_by_imagej = (tif.imagej_metadata or {}).get("images", 1)
    if pages_by_imagej * series.keyframe.size > max(series.size, len(tif.pages) * series.keyframe.size):
        raise truncated
    if series.dataoffset is not None:
        if series.dataoffset + series.nbytes > size:
            raise truncated
        return
    for page in series.pages:
        if page is None:
            raise InputError(f"{path}: a page is missing; an OME-TIFF of several files needs all of them")
        if len(page.dataoffsets) < math.prod(page.chunked):
            raise InputError(
                f"{path}: a damaged TIFF, a page of {by(page.shape)} voxels has {len(page.dataoffsets)} of "
                f"{math.prod(page.chunked)} tiles or strips; copy it anew"
            )
        size = page.parent.filehandle.size
        if any(o + n > size for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)):
            raise truncated
