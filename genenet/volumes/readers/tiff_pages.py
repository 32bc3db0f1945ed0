"""Compares the pages that a TIFF has with those that its metadata describe."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import tifffile

from genenet.core.errors import InputError
from genenet.core.geometry import by

if TYPE_CHECKING:
    from contextlib import ExitStack

_PROGRAMS = {"ome": "OME", "imagej": "ImageJ", "shaped": "Python"}


def check_chain(path: Path, tif: tifffile.TiffFile) -> None:
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


def check_described(path: Path, tif: tifffile.TiffFile) -> None:
    """Check that a file has all images that ImageJ or Python say it has.

    Both may describe only the first page of a stack; the other images then follow it in one piece.
    """
    page = tif.pages.first
    n_planes = page.shaped[0]  # of a page whose colours are stored one after the other
    if metadata := tif.imagej_metadata:
        n_described = max(metadata.get("images", 1), metadata.get("frames", 1) * metadata.get("slices", 1))
    else:
        shapes = (each.get("shape", ()) for each in tif.shaped_metadata or ())
        # A description of larger pages was kept by a program that made the image smaller.
        fitting = [shape for shape in shapes if {page.imagelength, page.imagewidth} <= set(shape)]
        n_described = sum(map(math.prod, fitting)) * n_planes // page.size
    n_found = len(tif.pages) * n_planes
    if len(tif.pages) == 1 and page.is_final:  # the other images may follow it in one piece
        n_found *= max(1, (tif.filehandle.size - page.dataoffsets[0]) // page.nbytes)
    if n_described > n_found:
        raise InputError(
            f"{path}: its {'ImageJ' if metadata else 'Python'} metadata describe {n_described} slices, but it has "
            f"{n_found}; it is truncated, or a program removed slices: copy it anew, or save it again"
        )


def with_all_pages(
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
    if others or first.kind not in _PROGRAMS or n_pages < 2:
        return tif, []
    n_described = _own_pages(path, first)
    if n_described >= n_pages:
        return tif, []
    plain = files.enter_context(tifffile.TiffFile(path, is_ome=False, is_imagej=False, is_shaped=False))
    if len(plain.series) > 1:  # the other pages are something else, such as a thumbnail
        return tif, []
    return plain, [
        f"its {_PROGRAMS[first.kind]} metadata describe {n_described} slices, but it has {n_pages}, and all are read"
    ]


def _own_pages(path: Path, series: tifffile.TiffPageSeries) -> int:
    """Return how many pages of this file a series describes."""
    files = [Path(page.parent.filehandle.path).resolve() for page in series.pages if page is not None]
    n_own = files.count(path.resolve())
    return n_own if n_own < len(series.pages) else int(series.size // series.keyframe.size)


def check_data(path: Path, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Check that all voxels lie within the file."""
    truncated = InputError(
        f"{path}: is truncated, its voxels should reach beyond the end of the file; copy it anew"
    )
    if series.dataoffset is not None:
        if series.dataoffset + series.nbytes > tif.filehandle.size:
            raise truncated
        return
    pages = [page for page in series.pages if page is not None]
    n_described = series.size // series.keyframe.size
    if len(pages) < n_described:
        raise InputError(
            f"{path}: {n_described - len(pages)} of the {n_described} pages that its metadata describe are missing; "
            "an OME-TIFF of several files needs all of them"
        )
    for page in pages:
        n_pieces = math.prod(page.chunked)
        if len(page.dataoffsets) < n_pieces:
            raise InputError(
                f"{path}: a damaged TIFF, a page of {by(page.shape)} voxels has {len(page.dataoffsets)} of "
                f"{n_pieces} tiles or strips; copy it anew"
            )
        size = page.parent.filehandle.size
        if any(o + n > size for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)):
            raise truncated
