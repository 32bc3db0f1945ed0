"""Which reader opens an image file, and which files a folder of slices holds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from genenet.core.errors import InputError
from genenet.volumes.readers import dm, mrc
from genenet.volumes.readers.tiff import open_tiff
from genenet.volumes.readers.zarr import is_zarr, open_zarr

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from genenet.volumes.file_image import FileImage

_SLICES = (".tif", ".tiff", *mrc.SUFFIXES, *dm.SUFFIXES)


def open_image(path: Path) -> FileImage:
    """Open a TIFF, MRC, DM3, DM4, or the folder of a Zarr, without reading its voxels.

    Raises:
        InputError: If it is missing or damaged, or no greyscale image.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_dir():
        return open_zarr(path)
    if path.suffix.lower() in dm.SUFFIXES:
        return dm.open_dm(path)
    return mrc.open_mrc(path) if mrc.is_mrc(path) else open_tiff(path)


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Replace each folder of slices by its images, in the order that people count: slice_2 before slice_10.

    Raises:
        InputError: If a folder has no images, or images of several kinds.
    """
    return [
        file for path in paths for file in (_slices(path) if path.is_dir() and not is_zarr(path) else [path])
    ]


def _slices(folder: Path) -> list[Path]:
    files = [f for f in folder.iterdir() if f.suffix.lower() in _SLICES and not f.name.startswith(".")]
    kinds = sorted({f.suffix.lower().replace("tiff", "tif") for f in files})
    if not files:
        raise InputError(
            f"{folder}: a folder without Zarr metadata and without images; give image files, the folder of an "
            "OME-Zarr, or one of slices (TIFF, MRC, DM3, DM4)"
        )
    if len(kinds) > 1:
        raise InputError(
            f"{folder}: holds images of several kinds ({', '.join(kinds)}); leave those of one there"
        )
    return sorted(files, key=lambda f: [int(t) if t.isdecimal() else t for t in re.split(r"(\d+)", f.name)])
