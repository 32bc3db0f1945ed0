"""Images in: MRC, DM3 and DM4, folders of slices."""

import subprocess
import sys
import tracemalloc

import mrcfile
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from genenet.config.settings import ImageFiles, PrepareSettings
from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.training.prepare import prepare
from genenet.volumes.opening import open_volume
from genenet.volumes.readers.zarr import check_chunks
from tests.support.dm_files import write_dm

SHAPE = (5, 12, 17)


def random_image(dtype="uint8", shape=SHAPE):
    return np.random.default_rng(0).integers(0, 100, shape).astype(dtype)


def whole(volume):
    return volume.read(Box.of_shape(volume.shape))


def write_mrc(path, image, voxel_size=(50, 120, 400), **fields):
    """Write with mrcfile; the voxel size is in Å along x, y, z."""
    with mrcfile.new(path, image, overwrite=True) as file:
        file.voxel_size = voxel_size
        for name, value in fields.items():
            setattr(file.header, name, value)


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float32", "float16"])
def test_mrc_is_mapped(tmp_path, dtype):
    image = random_image(dtype)
    write_mrc(tmp_path / "a.mrc", image)
    volume = open_volume(tmp_path / "a.mrc")
    assert (volume.shape, volume.dtype, volume.is_mapped) == (SHAPE, dtype, True)
    assert volume.voxel_size_nm == pytest.approx((40, 12, 5))
    np.testing.assert_array_equal(whole(volume), image)


def test_mrc_is_known_by_its_header_too(tmp_path):
    write_mrc(tmp_path / "a.mrc", random_image("int16"))
    (tmp_path / "a.mrc").rename(tmp_path / "volume.dat")
    np.testing.assert_array_equal(whole(open_volume(tmp_path / "volume.dat")), random_image("int16"))


def test_big_endian_mrc_with_an_extended_header(tmp_path):
    image = random_image("int16")
    write_mrc(tmp_path / "a.mrc", image)
    content = (tmp_path / "a.mrc").read_bytes()
    header = np.frombuffer(content[:1024], mrcfile.dtypes.HEADER_DTYPE)
    big = header.astype(mrcfile.dtypes.HEADER_DTYPE.newbyteorder(">"))
    big["machst"], big["nsymbt"] = [[17, 17, 0, 0]], 640
    voxels = image.astype(">i2").tobytes()
    (tmp_path / "b.mrc").write_bytes(big.tobytes() + bytes(640) + voxels)
    volume = open_volume(tmp_path / "b.mrc")
    assert volume.dtype.isnative
    np.testing.assert_array_equal(whole(volume), image)


@pytest.mark.parametrize(
    ("stamp", "flags", "largest", "dtype"),
    [
        (None, 0, 99, "int8"),  # MRC2014
        (None, 0, 199, "uint8"),  # no signed byte is that large
        (1146047817, 0, 99, "uint8"),  # IMOD: bit 0 isn't set
        (1146047817, 1, 99, "signed by IMOD"),  # 128 less than what it stands for
    ],
)
def test_bytes_of_mrc_may_be_signed_or_not(tmp_path, stamp, flags, largest, dtype):
    image = random_image() + np.uint8(100)
    write_mrc(tmp_path / "a.mrc", image.view("i1"), dmax=largest, dmin=0)
    if stamp:
        content = bytearray((tmp_path / "a.mrc").read_bytes())
        content[152:160] = np.array([stamp, flags], "<i4").tobytes()
        (tmp_path / "a.mrc").write_bytes(content)
    volume = open_volume(tmp_path / "a.mrc")
    if dtype == "signed by IMOD":
        image, dtype = image ^ 128, "uint8"
    assert volume.dtype == dtype
    np.testing.assert_array_equal(whole(volume), image.view(dtype))


def test_axes_of_mrc_in_another_order(tmp_path):
    """Columns along z, rows along x, sections along y: as (y, x, z) in the file."""
    image = random_image("int16")
    write_mrc(tmp_path / "a.mrc", np.ascontiguousarray(image.transpose(1, 2, 0)), mapc=3, mapr=1, maps=2)
    np.testing.assert_array_equal(whole(open_volume(tmp_path / "a.mrc")), image)


@pytest.mark.parametrize("size", [0, 1])
def test_mrc_without_a_voxel_size(tmp_path, size):
    write_mrc(tmp_path / "a.mrc", random_image("int16"), voxel_size=size)
    assert open_volume(tmp_path / "a.mrc").voxel_size_nm is None


def test_errors_of_mrc(tmp_path):
    for name in ("short", "mode", "header", "axes", "none"):
        write_mrc(tmp_path / f"{name}.mrc", random_image("int16"))
    write_mrc(tmp_path / "complex.mrc", random_image("c8"))
    content = (tmp_path / "short.mrc").read_bytes()
    (tmp_path / "short.mrc").write_bytes(content[:-1])
    (tmp_path / "header.mrc").write_bytes(content[:500])
    for name, byte, value in (("mode", 12, 101), ("axes", 64, 7), ("none", 0, 0)):
        changed = bytearray(content)
        changed[byte : byte + 4] = np.int32(value).tobytes()
        (tmp_path / f"{name}.mrc").write_bytes(changed)
    for name, message in {
        "short": "is truncated",
        "header": "can't be read as MRC",
        "mode": "can't be read as MRC .*101",
        "axes": r"its header names the axes \[7, 2, 3\]",
        "none": "holds no voxels",
        "complex": "its voxels are complex64",
    }.items():
        with pytest.raises(InputError, match=rf"{name}\.mrc: {message}") as error:
            open_volume(tmp_path / f"{name}.mrc")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "float32"])
def test_dm_is_mapped(tmp_path, version, dtype):
    image = random_image(dtype)
    path = tmp_path / f"a.dm{version}"
    write_dm(path, image, version=version, scales=(5, 12, 0.04), units=("nm", "nm", "µm"))
    volume = open_volume(path)
    assert (volume.shape, volume.dtype, volume.is_mapped) == (SHAPE, dtype, True)
    assert volume.voxel_size_nm == pytest.approx((40, 12, 5))
    np.testing.assert_array_equal(whole(volume), image)


@pytest.mark.parametrize("version", [3, 4])
def test_a_folder_of_3view_slices(tmp_path, version):
    """A file for each slice, as 3View writes them; such a file knows nothing of z."""
    image = random_image("int16", (12, 20, 30))
    for z, page in enumerate(image):
        write_dm(tmp_path / f"stack_{z}.dm{version}", page, version=version)
    volume = open_volume(tmp_path)
    np.testing.assert_array_equal(whole(volume), image)
    assert volume.voxel_size_nm is None


def test_a_large_dm_isnt_read(tmp_path):
    write_dm(tmp_path / "a.dm4", np.zeros((40, 512, 512), "u1"), version=4)
    open_volume(tmp_path / "a.dm4")  # imports
    tracemalloc.start()
    open_volume(tmp_path / "a.dm4").read(Box((3, 0, 0), (4, 512, 512)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6


def test_errors_of_dm(tmp_path):
    image = random_image()
    write_dm(tmp_path / "two.dm3", image, image[:2], version=3)
    write_dm(tmp_path / "short.dm4", image, version=4)
    content = (tmp_path / "short.dm4").read_bytes()
    (tmp_path / "short.dm4").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.dm3").write_bytes(b"")
    (tmp_path / "text.dm4").write_text("this is no image " * 100)
    (tmp_path / "dm5.dm4").write_bytes(b"\0\0\0\5" + content[4:])
    for name, message in {
        "two.dm3": r"holds 2 images \(5 x 12 x 17, 2 x 12 x 17\)",
        "short.dm4": "can't be read as DM3 or DM4, or is truncated",
        "empty.dm3": "can't be read as DM3 or DM4",
        "text.dm4": "can't be read as DM3 or DM4",
        "dm5.dm4": "can't be read as DM3 or DM4.* version 5",
    }.items():
        with pytest.raises(InputError, match=f"{name}: {message}") as error:
            open_volume(tmp_path / name)
        assert "\n" not in str(error.value)


def test_without_the_library_of_dm_the_command_is_named(tmp_path, monkeypatch):
    write_dm(tmp_path / "a.dm3", random_image(), version=3)
    monkeypatch.setitem(sys.modules, "rsciio.digitalmicrograph", None)
    with pytest.raises(InputError, match=r"a\.dm3: reading DM files needs .*; pip install 'genenet\[dm\]'"):
        open_volume(tmp_path / "a.dm3")


@pytest.mark.process
def test_formats_are_imported_only_when_they_are_met(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", random_image())
    code = (
        "import sys, pathlib; from genenet.volumes.opening import open_volume;"
        f"open_volume(pathlib.Path({str(tmp_path / 'a.tif')!r}));"
        "print({'rsciio', 'mrcfile', 'dask'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


@pytest.mark.parametrize("ends", [".tif", ".TIFF", ".mrc"])
def test_a_folder_of_slices_is_sorted_as_people_count(tmp_path, ends):
    image = random_image("int16", (12, 20, 30))
    for z, page in enumerate(image):
        path = tmp_path / f"a{z}{ends}"
        write_mrc(path, page) if ends == ".mrc" else tifffile.imwrite(path, page)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._a0.tif").write_text("what a Mac leaves")
    volume = open_volume(tmp_path)
    np.testing.assert_array_equal(whole(volume), image)
    np.testing.assert_array_equal(volume.read(Box((7, 3, 0), (11, 9, 5))), image[7:11, 3:9, :5])


def test_folders_of_something_else(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    for name in ("a.tif", "b.tiff"):
        tifffile.imwrite(tmp_path / "mixed" / name, random_image())
    assert open_volume(tmp_path / "mixed").shape == (10, 12, 17)
    write_mrc(tmp_path / "mixed" / "c.mrc", random_image("int16"))
    for name, message in {
        "empty": "a folder without Zarr metadata and without images",
        "mixed": r"holds images of several kinds \(\.mrc, \.tif\)",
    }.items():
        with pytest.raises(InputError, match=f"{name}: {message}"):
            open_volume(tmp_path / name)


@pytest.mark.parametrize(("zarr_format", "shards"), [(2, None), (3, None), (3, (2, 8, 16))])
def test_missing_chunks_of_a_zarr_are_counted(tmp_path, zarr_format, shards):
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=zarr_format)
    group.attrs["multiscales"] = [{"version": "0.4", "axes": ["z", "y", "x"], "datasets": [{"path": "s0"}]}]
    chunks = (1, 4, 8) if shards else (2, 8, 16)
    array = group.create_array("s0", shape=SHAPE, dtype="u1", chunks=chunks, shards=shards, fill_value=7)
    with pytest.raises(InputError, match=r"a\.zarr: not one of its 12 chunks is there; copy it anew"):
        check_chunks(tmp_path / "a.zarr")
    array[...] = random_image() + 8
    assert check_chunks(tmp_path / "a.zarr") is None
    chunk = tmp_path / "a.zarr/s0" / ("c/1/0/1" if zarr_format == 3 else "1.0.1")
    chunk.unlink()
    assert "a.zarr: 1 of its 12 chunks have no file and are read as 7; " in check_chunks(tmp_path / "a.zarr")


@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3")
@pytest.mark.parametrize(
    ("zarr_format", "codec"),
    [(2, numcodecs.Zlib()), (2, numcodecs.BZ2()), (2, numcodecs.LZMA()), (2, numcodecs.Zstd()), (3, None)]
    + [(3, GzipCodec()), (3, ZstdCodec()), (3, BloscCodec())],
)
@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_a_chunk_cut_off_is_damage(tmp_path, zarr_format, codec, keep):
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=SHAPE, dtype="u1", chunks=SHAPE, zarr_format=zarr_format, compressors=codec
    )
    array[...] = random_image()
    chunk = tmp_path / "a.zarr" / ("c/0/0/0" if zarr_format == 3 else "0.0.0")
    chunk.write_bytes(chunk.read_bytes()[: int(keep * chunk.stat().st_size)])
    with pytest.raises(InputError, match=r"a\.zarr: damaged, can't be read .*; copy it anew"):
        whole(open_volume(tmp_path / "a.zarr"))


def test_missing_chunks_of_training_images_are_said(tmp_path, caplog):
    tifffile.imwrite(tmp_path / "labels.tif", random_image() % 2)
    zarr.create_array(tmp_path / "a.zarr", data=random_image(), chunks=(5, 12, 9))
    (tmp_path / "a.zarr/c/0/0/1").unlink()
    settings = PrepareSettings(
        images=[ImageFiles(image=[tmp_path / "a.zarr"], labels=[tmp_path / "labels.tif"], region=None)],
        classes=["a", "b"],
        ignore_label=None,
        voxel_size_nm=(40, 10, 10),
    )
    prepare(settings, tmp_path / "data.zarr.zip")
    assert "a.zarr: 1 of its 2 chunks have no file and are read as 0" in caplog.text
