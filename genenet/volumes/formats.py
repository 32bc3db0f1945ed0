"""The table of image formats: one entry for each reader. Messages, ``genenet doctor`` and the docs name them from it.

A new format is one entry here and one file in ``readers/``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from genenet.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from genenet.volumes.file_image import FileImage

_HEAD_BYTES = 352  # the signature of NIfTI ends here


@dataclass(frozen=True)
class Signature:
    """Bytes that files of a format hold at a fixed place."""

    offset: int
    values: tuple[bytes, ...]

    def matches(self, head: bytes) -> bool:
        """Return whether the first bytes of a file are of this format."""
        return any(head[self.offset : self.offset + len(value)] == value for value in self.values)


@dataclass(frozen=True)
class Format:
    """An image format that genenet reads.

    Attributes:
        name: as messages write it.
        suffixes: of file names, in lower case; none if an image is a folder.
        signature: first bytes by which a file is known whatever its name is; None if an image is a folder.
        open_path: dotted path of the function that opens a file: it takes the path and returns a FileImage.
        description: what is read of such files, for the docs.
        voxel_size_from: where the voxel size is read from, for the docs.
        library: module that reads the format, if it is an optional dependency.
        extra: the extra of genenet that installs the library.
    """

    name: str
    suffixes: tuple[str, ...]
    signature: Signature | None
    open_path: str
    description: str
    voxel_size_from: str
    library: str | None = None
    extra: str | None = None

    @property
    def open(self) -> Callable[[Path], FileImage]:
        """The function that opens a file; its module is imported only now."""
        module, _, name = self.open_path.rpartition(".")
        function: Callable[[Path], FileImage] = getattr(import_module(module), name)
        return function

    @property
    def is_installed(self) -> bool:
        """Whether the library that reads the format is here."""
        return self.library is None or find_spec(self.library) is not None


TIFF = Format(
    name="TIFF",
    suffixes=(".tif", ".tiff", ".btf", ".tf8"),
    signature=Signature(0, (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    open_path="genenet.volumes.readers.tiff.open_tiff",
    description="TIFF, BigTIFF, OME-TIFF and TIFFs of ImageJ: greyscale, a slice or a stack, integers or floats",
    voxel_size_from="OME or ImageJ metadata",
)
MRC = Format(
    name="MRC",
    suffixes=(".mrc", ".mrcs", ".map", ".rec", ".st", ".ali", ".preali", ".ccp4"),
    signature=Signature(208, (b"MAP ", b"MAP\0")),
    open_path="genenet.volumes.readers.mrc.open_mrc",
    description="integers and floats, also the signed bytes of IMOD",
    voxel_size_from="the header",
)
DM = Format(
    name="DM3/DM4",
    suffixes=(".dm3", ".dm4"),
    signature=Signature(0, (b"\0\0\0\3", b"\0\0\0\4")),
    open_path="genenet.volumes.readers.dm.open_dm",
    description="files of Gatan DigitalMicrograph; needs `pip install 'genenet[dm]'`",
    voxel_size_from="the tags",
    library="rsciio",
    extra="dm",
)
OME_ZARR = Format(
    name="OME-Zarr",
    suffixes=(),
    signature=None,
    open_path="genenet.volumes.readers.zarr.open_zarr",
    description="OME-Zarr 0.4 and 0.5, of which level 0 is read, and arrays of Zarr 2 and 3",
    voxel_size_from="OME metadata",
)
FORMATS = (TIFF, MRC, DM, OME_ZARR)  # signatures are compared in this order

# Formats that aren't read, but are known by their first bytes, so that the message can name them.
_OTHERS = {
    "HDF5": Signature(0, (b"\x89HDF\r\n\x1a\n",)),
    "PNG": Signature(0, (b"\x89PNG\r\n\x1a\n",)),
    "JPEG": Signature(0, (b"\xff\xd8\xff",)),
    "JPEG 2000": Signature(0, (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")),
    "NIfTI": Signature(344, (b"n+1\0", b"ni1\0")),
    "NRRD": Signature(0, (b"NRRD",)),
    "NumPy": Signature(0, (b"\x93NUMPY",)),
    "CZI": Signature(0, (b"ZISRAWFILE",)),
    "SER": Signature(0, (b"II\x97\1",)),
    "PDF": Signature(0, (b"%PDF",)),
    "gzip": Signature(0, (b"\x1f\x8b\x08",)),
    "bzip2": Signature(0, (b"BZh",)),
    "xz": Signature(0, (b"\xfd7zXZ\0",)),
    "ZIP": Signature(0, (b"PK\3\4",)),
}
_COMPRESSED = ("gzip", "bzip2", "xz", "ZIP")


def format_names(formats: Sequence[Format] = FORMATS) -> str:
    """Return the names of formats as a list in a sentence: ``TIFF, MRC, DM3/DM4 and OME-Zarr``."""
    *names, last = (each.name for each in formats)
    return f"{', '.join(names)} and {last}" if names else last


def format_of(path: Path) -> Format:
    """Return the format of an image file or folder, by its first bytes, otherwise by its name.

    Raises:
        InputError: If it doesn't exist, or is of no format that is read.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_dir():
        return OME_ZARR
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    for each in FORMATS:
        if each.signature and each.signature.matches(head):
            return each
    if refusal := _refusal(head):
        raise InputError(f"{path}: {refusal}")
    for each in FORMATS:
        if path.suffix.lower() in each.suffixes:
            return each
    raise InputError(f"{path}: not an image of a known format; {format_names()} are read")


def _refusal(head: bytes) -> str | None:
    """Return the message for a file of a format that isn't read; None if its first bytes aren't known."""
    other = next((name for name, signature in _OTHERS.items() if signature.matches(head)), None)
    if other in _COMPRESSED:
        return f"{other} isn't read; unpack the file first. {format_names()} are read"
    return other and f"{other} isn't read; {format_names()} are"


def is_zarr(folder: Path) -> bool:
    """Return whether a folder is a Zarr array or group."""
    return any((folder / name).exists() for name in ("zarr.json", ".zarray", ".zgroup"))


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Replace each folder of slices by its images, in natural order: slice_2 before slice_10.

    Raises:
        InputError: If a folder has no images, or images of several formats.
    """
    return [
        file for path in paths for file in (_slices(path) if path.is_dir() and not is_zarr(path) else [path])
    ]


def natural_order(path: Path) -> list[int | str]:
    """Return a sort key by which the numbers in file names count as numbers."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]


def _slices(folder: Path) -> list[Path]:
    """Return the images in a folder; files whose names begin with a dot are left out."""
    files = [file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")]
    suffixes = {suffix for each in FORMATS for suffix in each.suffixes}
    images = [file for file in files if file.suffix.lower() in suffixes]
    if not images:
        raise _no_images(folder, files)
    kinds = sorted({file.suffix.lower().replace("tiff", "tif") for file in images})
    if len(kinds) > 1:
        raise InputError(
            f"{folder}: holds images of several kinds ({', '.join(kinds)}); leave those of one there"
        )
    return sorted(images, key=natural_order)


def _no_images(folder: Path, files: Sequence[Path]) -> InputError:
    """Return the error for a folder without images; if it holds images of another format, it names that."""
    if files:
        with min(files).open("rb") as file:
            refusal = _refusal(file.read(_HEAD_BYTES))
        if refusal:
            return InputError(f"{folder}: holds {min(files).name}: {refusal}")
    slices = format_names([each for each in FORMATS if each.suffixes])
    return InputError(
        f"{folder}: a folder without Zarr metadata and without images; give image files, the folder of an "
        f"OME-Zarr, or one of slices ({slices})"
    )
