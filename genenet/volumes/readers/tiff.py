"""TIFF in: stacks, BigTIFF, OME-TIFF and ImageJ's, read page by page or mapped. TIFF out: a segmentation."""

from __future__ import annotations

import weakref
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import tifffile

from genenet.core.errors import InputError, one_line
from genenet.core.geometry import by
from genenet.volumes.file_image import FileImage
from genenet.volumes.units import _NM

if TYPE_CHECKING:
    from pathlib import Path

    from genenet.config.types import VoxelSize


def open_tiff(path: Path) -> FileImage:
    """Open the image of a TIFF without reading its voxels; the file closes when the array is dropped.

    Raises:
        InputError: If it isn't a TIFF, is truncated or RGB, or holds several images of different shapes.
    """
    try:
        return _open(path)
    except InputError:  # one of ours, said better
        raise
    except tifffile.TiffFileError as error:
        raise InputError(f"{path}: not a TIFF, or truncated ({one_line(error)})") from error
    except (ValueError, IndexError, RuntimeError) as error:
        raise InputError(f"{path}: a damaged TIFF ({one_line(error)})") from error


def _open(path: Path) -> FileImage:
    with ExitStack() as files:
        tif = files.enter_context(tifffile.TiffFile(path))
        _check_chain(path, tif)
        if _pages_look_like_images(tif):
            tif = files.enter_context(tifffile.TiffFile(path, is_shaped=False))
        series = _only_series(path, tif)
        _check_grey(path, series)
        _check_data(path, tif, series)
        voxel_size_nm = _voxel_size(tif)
        if series.dataoffset is not None:
            # Uncompressed and in one piece (also ImageJ's files above 4 GB, which only describe page 1).
            dtype = np.dtype(series.dtype).newbyteorder(tif.byteorder)
            return FileImage(np.memmap(path, dtype, "r", series.dataoffset, series.shape), voxel_size_nm)
        import zarr

        array = zarr.open_array(series.aszarr(level=0), mode="r")
        weakref.finalize(array, files.pop_all().close)
        return FileImage(array, voxel_size_nm)


def _pages_look_like_images(tif: tifffile.TiffFile) -> bool:
    """Pages that Python code wrote one by one: tifffile takes each for an image, unless told otherwise."""
    first = tif.series[0]
    return first.kind == "shaped" and {(s.shape, s.dtype) for s in tif.series[1:]} == {
        (first.shape, first.dtype)
    }


def _only_series(path: Path, tif: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    series = tif.series
    if len(series) != 1:
        shapes = ", ".join(by(s.shape) for s in series[:4])
        raise InputError(
            f"{path}: holds {len(series)} images ({shapes}); save the one that is meant as a file"
        )
    return series[0]


def _check_grey(path: Path, series: tifffile.TiffPageSeries) -> None:
    page = series.keyframe
    if page.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR) or "S" in series.axes:
        raise InputError(f"{path}: is an RGB image; convert to greyscale")


def _check_chain(path: Path, tif: tifffile.TiffFile) -> None:
    """The last page must say that it is the last: in a truncated file it points behind the end."""
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
    """All voxels must lie within the file."""
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
        size = page.parent.filehandle.size
        if any(o + n > size for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)):
            raise truncated


def _voxel_size(tif: tifffile.TiffFile) -> VoxelSize | None:
    """From OME's or ImageJ's metadata, None unless they give it along z, y and x; broken ones say nothing."""
    with suppress(ElementTree.ParseError, ValueError, TypeError, KeyError, ZeroDivisionError, StopIteration):
        sizes = _ome_sizes(tif.ome_metadata) if tif.ome_metadata else _imagej_sizes(tif)
        if all(np.isfinite(sizes)) and min(sizes) > 0:
            return sizes
    return None


def _ome_sizes(xml: str) -> VoxelSize:
    pixels = next(e for e in ElementTree.fromstring(xml).iter() if e.tag.endswith("}Pixels"))
    z, y, x = (
        float(pixels.attrib[f"PhysicalSize{axis}"]) * _NM[pixels.get(f"PhysicalSize{axis}Unit", "µm").lower()]
        for axis in "ZYX"
    )
    return z, y, x


def _imagej_sizes(tif: tifffile.TiffFile) -> VoxelSize:
    metadata = tif.imagej_metadata or {}
    nm = _NM[metadata["unit"].strip().lower()]
    per_unit = [tif.pages.first.tags[f"{axis}Resolution"].value for axis in "YX"]
    y, x = (nm * denominator / numerator for numerator, denominator in per_unit)
    return float(metadata["spacing"]) * nm, y, x
