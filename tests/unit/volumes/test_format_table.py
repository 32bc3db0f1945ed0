"""The table of image formats: every entry works, and messages, ``doctor`` and the docs name it."""

import gzip
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
import typer
import zarr

from genenet.cluster import doctor
from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.volumes.formats import FORMATS, format_names, format_of
from genenet.volumes.opening import open_volume
from tests.support.dm_files import write_dm

ROOT = Path(__file__).parents[3]
IMAGE = np.random.default_rng(0).integers(0, 100, (5, 12, 17)).astype("int16")
WRITERS = {
    "TIFF": lambda path: tifffile.imwrite(path, IMAGE, photometric="minisblack"),
    "MRC": lambda path: mrcfile.write(path, IMAGE),
    "DM3/DM4": lambda path: write_dm(path, IMAGE, version=3),
    "OME-Zarr": lambda path: zarr.create_array(path, data=IMAGE),
}


@pytest.fixture(params=FORMATS, ids=lambda entry: entry.name)
def entry(request):
    return request.param


def test_an_entry_reads_its_files(entry, tmp_path):
    for suffix in entry.suffixes or (".zarr",):
        WRITERS[entry.name](tmp_path / f"a{suffix}")
        volume = open_volume(tmp_path / f"a{suffix}")
        np.testing.assert_array_equal(volume.read(Box.of_shape(volume.shape)), IMAGE)
    assert callable(entry.open)


def test_an_entry_is_known_whatever_its_files_are_called(entry, tmp_path):
    WRITERS[entry.name](tmp_path / f"a{(entry.suffixes or ('.zarr',))[0]}")
    (made,) = tmp_path.iterdir()
    for name in ("image.dat", "image.png", "image"):
        made = made.rename(tmp_path / name)
        assert format_of(made) is entry


def test_an_entry_is_named_by_messages_doctor_help_and_docs(entry, tmp_path):
    from genenet.cli.main import app

    assert entry.name in format_names()
    (tmp_path / "a.txt").write_text("no image")
    with pytest.raises(
        InputError, match=rf"a\.txt: not an image of a known format; .*{entry.name}.* are read"
    ):
        open_volume(tmp_path / "a.txt")
    assert any(entry.name in finding.text for finding in doctor._images())
    (option,) = (
        param for param in typer.main.get_command(app).commands["init"].params if param.name == "image"
    )
    assert entry.name in option.help
    assert f"| {entry.name}" in (ROOT / "docs/formats.md").read_text()


def test_doctor_names_the_extra_of_a_library_that_is_missing(monkeypatch):
    monkeypatch.setattr("genenet.volumes.formats.find_spec", lambda name: None)
    (note,) = [finding for finding in doctor._images() if finding.status == "note"]
    assert (note.text, note.hint.partition(",")[0]) == (
        "DM3/DM4 can't be read: rsciio isn't installed",
        "pip install 'genenet[dm]'",
    )


@pytest.mark.parametrize(
    ("name", "head", "message"),
    [
        ("cremi.hdf", b"\x89HDF\r\n\x1a\n", "HDF5 isn't read; TIFF, MRC, DM3/DM4 and OME-Zarr are"),
        ("a.tif", b"\x89HDF\r\n\x1a\n", "HDF5 isn't read; TIFF"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "PNG isn't read; TIFF"),
        ("a.nii", b"\x5c\1\0\0".ljust(344, b"\0") + b"n+1\0", "NIfTI isn't read; TIFF"),
        ("a.mrc.gz", gzip.compress(b"x", mtime=0), "gzip isn't read; unpack the file first. TIFF"),
        ("a.npy", b"\x93NUMPY\1\0", "NumPy isn't read; TIFF"),
    ],
)
def test_other_formats_are_named(tmp_path, name, head, message):
    (tmp_path / name).write_bytes(head + bytes(2000))
    with pytest.raises(InputError, match=rf"{name}: {message}") as error:
        open_volume(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_folder_of_slices_of_another_format_is_named(tmp_path):
    for z in range(3):
        (tmp_path / f"{z}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(
        InputError, match=r"holds 0\.png: PNG isn't read; TIFF, MRC, DM3/DM4 and OME-Zarr are"
    ):
        open_volume(tmp_path)
