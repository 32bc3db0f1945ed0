"""Images in: TIFF and Zarr, regions and reflection."""

import tracemalloc
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st

from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.volumes.base import ArrayVolume
from genenet.volumes.opening import open_volume
from genenet.volumes.reflection import read_reflected
from tests.support.examples import examples

SHAPE = (5, 33, 47)


def whole(volume):
    return volume.read(Box.of_shape(volume.shape))


def random_image(dtype="uint8", shape=SHAPE):
    rng = np.random.default_rng(0)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0, 100, shape).astype(dtype)


def write_pages(path, image, metadata):
    with tifffile.TiffWriter(path) as tif:
        for page in image:
            tif.write(page, contiguous=False, compression="zlib", metadata=metadata)


TIFFS = {
    "plain": lambda p, a: tifffile.imwrite(p, a),
    "big_endian": lambda p, a: tifffile.imwrite(p, a, byteorder=">"),
    "bigtiff_zlib": lambda p, a: tifffile.imwrite(p, a, bigtiff=True, compression="zlib"),
    "lzw_predictor": lambda p, a: tifffile.imwrite(p, a, compression="lzw", predictor=True),
    "tiled": lambda p, a: tifffile.imwrite(p, a, tile=(16, 32), compression="zlib"),
    "ome": lambda p, a: tifffile.imwrite(p, a, ome=True, metadata={"axes": "ZYX"}),
    "ome_zlib": lambda p, a: tifffile.imwrite(p, a, ome=True, compression="zlib", metadata={"axes": "ZYX"}),
    "strips": lambda p, a: tifffile.imwrite(p, a, rowsperstrip=4, compression="zlib"),
    "pages": lambda p, a: write_pages(p, a, None),
    "pages_with_metadata": lambda p, a: write_pages(p, a, {}),
}


DTYPES = ["uint8", "uint16", "int16", "float32"]
RARE = [(kind, dtype) for kind in ("plain", "bigtiff_zlib") for dtype in ("float16", "int32", "uint64")]


@pytest.mark.parametrize(("kind", "dtype"), [*product(TIFFS, DTYPES), *RARE])
def test_tiff_in_all_its_kinds(tmp_path: Path, kind: str, dtype: str) -> None:
    image = random_image(dtype)
    TIFFS[kind](tmp_path / "a.tif", image)
    volume = open_volume(tmp_path / "a.tif")
    assert volume.shape == SHAPE
    assert volume.dtype == dtype
    assert volume.dtype.isnative
    box = Box((1, 5, 20), (4, 33, 41))
    assert volume.read(box).dtype == dtype
    assert volume.read(box).flags.c_contiguous
    np.testing.assert_array_equal(volume.read(box), image[box.slices])


@pytest.mark.parametrize("truncate", [False, True])
def test_imagej_also_with_one_page_only(tmp_path: Path, truncate: bool) -> None:
    """ImageJ writes files above 4 GB with the first page only; ``truncate`` writes small ones like that."""
    image = random_image("uint16")
    metadata = {"axes": "ZYX", "spacing": 0.05, "unit": "um"}
    tifffile.imwrite(
        tmp_path / "a.tif", image, imagej=True, truncate=truncate, resolution=(100, 50), metadata=metadata
    )
    volume = open_volume(tmp_path / "a.tif")
    np.testing.assert_array_equal(whole(volume), image)
    assert volume.chunks == (1, *SHAPE[1:])
    assert volume.voxel_size_nm == pytest.approx((50, 20, 10))


def test_ome_voxel_size(tmp_path: Path) -> None:
    metadata = {
        "axes": "ZYX",
        "PhysicalSizeZ": 0.05,
        "PhysicalSizeY": 11,
        "PhysicalSizeYUnit": "nm",
        "PhysicalSizeX": 120,
        "PhysicalSizeXUnit": "Å",
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", random_image(), metadata=metadata)
    assert open_volume(tmp_path / "a.ome.tif").voxel_size_nm == pytest.approx((50, 11, 12))


def test_two_dimensions_bool_and_singleton_axes(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random_image()[0])
    assert open_volume(tmp_path / "a.tif").shape == (1, *SHAPE[1:])
    mask = random_image() > 50
    tifffile.imwrite(tmp_path / "b.tif", mask)
    np.testing.assert_array_equal(whole(open_volume(tmp_path / "b.tif", is_grey=False)), mask)
    tifffile.imwrite(tmp_path / "c.tif", random_image()[:, None], imagej=True, metadata={"axes": "ZCYX"})
    np.testing.assert_array_equal(whole(open_volume(tmp_path / "c.tif")), random_image())


def test_files_are_stacked_along_z(tmp_path: Path) -> None:
    image = random_image(shape=(24, 20, 30))
    files, z = [], 0
    for i, n in enumerate([1, 3, *[1] * 12, 8]):
        files.append(tmp_path / f"{i}.tif")
        tifffile.imwrite(files[-1], image[z : z + n], photometric="minisblack", compression="zlib")
        z += n
    volume = open_volume(files)
    assert volume.shape == image.shape
    np.testing.assert_array_equal(whole(volume), image)
    np.testing.assert_array_equal(volume.read(Box((3, 1, 2), (18, 9, 30))), image[3:18, 1:9, 2:30])


def test_stacked_files_must_fit(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((20, 30), "u1"))
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((20, 31), "u1"))
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((20, 30), "u2"))
    for other, what in [("b.tif", "20 x 31 voxels"), ("c.tif", "uint16")]:
        with pytest.raises(InputError, match=rf"{other}: has .*{what}.* must agree") as error:
            open_volume([tmp_path / "a.tif", tmp_path / other])
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [*TIFFS, "imagej", "imagej_one_page"])
@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.5, 0.9, 0.97])
def test_truncated_tiff(tmp_path: Path, kind: str, fraction: float) -> None:
    def write_imagej(path, image):
        tifffile.imwrite(path, image, imagej=True, truncate=kind == "imagej_one_page")

    TIFFS.get(kind, write_imagej)(tmp_path / "a.tif", random_image(shape=(40, 64, 64)))
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(InputError, match=r"a\.tif: .*(truncated|damaged)") as error:
        whole(open_volume(tmp_path / "a.tif"))
    assert "\n" not in str(error.value)


def test_damaged_page_is_named_on_reading(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random_image(shape=(5, 64, 64)), compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        offset, n = tif.pages[1].dataoffsets[0], tif.pages[1].databytecounts[0]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[offset : offset + n] = bytes(n)
    (tmp_path / "a.tif").write_bytes(content)
    volume = open_volume(tmp_path / "a.tif")
    volume.read(Box.of_shape((1, 64, 64)))
    with pytest.raises(InputError, match=r"a\.tif: damaged"):
        whole(volume)


def test_errors_of_tiff(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("hello, this is no image")
    (tmp_path / "folder").mkdir()
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((20, 30, 3), "u1"), photometric="rgb")
    tifffile.imwrite(
        tmp_path / "rgbz.tif", np.zeros((4, 20, 30, 3), "u1"), photometric="rgb", compression="zlib"
    )
    tifffile.imwrite(tmp_path / "4d.tif", np.zeros((3, 4, 20, 30), "u1"), photometric="minisblack")
    tifffile.imwrite(tmp_path / "complex.tif", np.zeros((20, 30), "c8"))
    with tifffile.TiffWriter(tmp_path / "two.tif") as tif:
        tif.write(np.zeros((20, 30), "u1"))
        tif.write(np.zeros((10, 15), "u1"))
    for name, message in {
        "none.tif": "no such file",
        "text.tif": "not a TIFF",
        "folder": "a folder without Zarr metadata",
        "rgb.tif": "is an RGB image; convert to greyscale",
        "rgbz.tif": "is an RGB image; convert to greyscale",
        "4d.tif": "has 4 dimensions, 3 x 4 x 20 x 30",
        "complex.tif": "its voxels are complex64",
        "two.tif": r"holds 2 images \(20 x 30, 10 x 15\)",
    }.items():
        with pytest.raises(InputError, match=f"{name}: {message}") as error:
            open_volume(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="no image files"):
        open_volume([])


def test_multi_file_ome_with_a_missing_file(tmp_path: Path) -> None:
    schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    data = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{n}.ome.tif">urn:uuid:{n}</UUID></TiffData>'
        for z, n in enumerate("ab")
    )
    pixels = 'DimensionOrder="XYZCT" Type="uint8" SizeX="30" SizeY="20" SizeZ="2" SizeC="1" SizeT="1"'
    xml = (
        f'<OME UUID="urn:uuid:a" xmlns="{schema}"><Image ID="Image:0"><Pixels ID="Pixels:0" {pixels}>'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", np.ones((20, 30), "u1"), description=xml, metadata=None)
    with pytest.raises(InputError, match=r"a\.ome\.tif: .*missing"):
        whole(open_volume(tmp_path / "a.ome.tif"))


def write_ome_zarr(path, image, version, axes="zyx", unit="nanometer"):
    group = zarr.create_group(path, zarr_format=2 if version == "0.4" else 3)
    array = group.create_array(
        "0", shape=image.shape, dtype=image.dtype, chunks=(1,) * (image.ndim - 2) + (16, 16)
    )
    array[...] = image
    kinds = {"t": "time", "c": "channel"}
    multiscale = {
        "axes": [
            {"name": a, "type": kinds.get(a, "space")} | ({} if a in "tc" else {"unit": unit}) for a in axes
        ],
        "datasets": [
            {
                "path": "0",
                "coordinateTransformations": [
                    {"type": "scale", "scale": [{"z": 50.0, "y": 10.0, "x": 5.0}.get(a, 1.0) for a in axes]}
                ],
            }
        ],
    }
    attributes = {"multiscales": [multiscale | {"version": "0.4"}]}
    group.attrs.update(
        attributes if version == "0.4" else {"ome": {"version": "0.5", "multiscales": [multiscale]}}
    )


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["zyx", "tczyx", "yx", "cyx"])
def test_ome_zarr(tmp_path: Path, version: str, axes: str) -> None:
    image = random_image("uint16")
    stored = image[0] if "z" not in axes else image
    write_ome_zarr(
        tmp_path / "a.zarr", stored.reshape((1,) * (len(axes) - stored.ndim) + stored.shape), version, axes
    )
    volume = open_volume(tmp_path / "a.zarr")
    np.testing.assert_array_equal(whole(volume), np.atleast_3d(stored) if "z" in axes else stored[None])
    assert volume.chunks == (1, 16, 16)
    assert volume.voxel_size_nm == ((50, 10, 5) if "z" in axes else None)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_as_bioformats2raw_writes_it(tmp_path: Path, version: str) -> None:
    layout = {"bioformats2raw.layout": 3}
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=2 if version == "0.4" else 3)
    group.attrs.update(layout if version == "0.4" else {"ome": {"version": "0.5", **layout}})
    group.create_group("OME")
    write_ome_zarr(tmp_path / "a.zarr" / "0", random_image()[None, None], version, "tczyx")
    volume = open_volume(tmp_path / "a.zarr")
    np.testing.assert_array_equal(whole(volume), random_image())
    assert volume.voxel_size_nm == (50, 10, 5)
    write_ome_zarr(tmp_path / "a.zarr" / "1", random_image()[None, None], version, "tczyx")
    with pytest.raises(InputError, match=r"a\.zarr: holds 2 images \(0, 1\); give the folder of one"):
        open_volume(tmp_path / "a.zarr")


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("n", [2, 3])
def test_plain_zarr_array(tmp_path: Path, zarr_format: int, n: int) -> None:
    image = random_image()[(0,) * (3 - n)]
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=image.shape, dtype="u1", chunks=(4, 8, 9)[-n:], zarr_format=zarr_format
    )
    array[...] = image
    volume = open_volume(tmp_path / "a.zarr")
    np.testing.assert_array_equal(whole(volume).reshape(image.shape), image)
    assert volume.chunks == (4 if n == 3 else 1, 8, 9)


def test_errors_of_zarr(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "channels.zarr", np.zeros((2, 3, 4, 5), "u1"), "0.5", "czyx")
    write_ome_zarr(tmp_path / "times.zarr", np.zeros((2, 3, 4, 5), "u1"), "0.4", "tzyx")
    zarr.create_group(tmp_path / "group.zarr")
    zarr.create_array(tmp_path / "4d.zarr", shape=(2, 3, 4, 5), dtype="u1")
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "broken.zarr" / "zarr.json").write_text("{")
    for name, message in {
        "channels.zarr": "has 2 channels; give an image with one",
        "times.zarr": "has 2 time points",
        "group.zarr": "a Zarr group without OME-Zarr multiscales",
        "4d.zarr": "has 4 dimensions",
        "broken.zarr": "can't be read as Zarr",
    }.items():
        with pytest.raises(InputError, match=f"{name}: {message}") as error:
            open_volume(tmp_path / name)
        assert "\n" not in str(error.value)


def intervals(n):
    return st.none() | st.tuples(st.integers(0, n - 1), st.integers(1, n)).filter(lambda i: i[0] < i[1])


@given(st.tuples(*map(intervals, SHAPE)), st.data())
def test_a_region_is_a_volume_of_its_own(tmp_path_factory, region, data) -> None:
    path = tmp_path_factory.getbasetemp() / "region.tif"
    image = random_image()
    if not path.exists():
        tifffile.imwrite(path, image, compression="zlib")
    cut = image[tuple(slice(*i) if i else slice(None) for i in region)]
    volume = open_volume(path, region)
    assert volume.shape == cut.shape
    ends = [sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2))) for n in cut.shape]
    box = Box(*zip(*ends, strict=True))
    np.testing.assert_array_equal(volume.read(box), cut[box.slices])


def test_region_errors(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random_image())
    for region, message in [
        ((None, (0, 34), None), r"region \[0, 34\] along y reaches outside; the image is 5 x 33 x 47"),
        (((3, 3), None, None), r"region \[3, 3\] along z is empty"),
        ((None, None, (60, 70)), r"region \[60, 70\] along x reaches outside"),
    ]:
        with pytest.raises(InputError, match=message):
            open_volume(tmp_path / "a.tif", region)


def test_boxes_outside_are_a_programming_error(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random_image())
    for volume in (
        open_volume(tmp_path / "a.tif"),
        open_volume(tmp_path / "a.tif", (None, (0, 9), None)),
        open_volume([tmp_path / "a.tif", tmp_path / "a.tif"]),
    ):
        for box in (Box((0, 0, -1), (1, 1, 1)), Box((0, 0, 0), (1, 34, 1))):
            with pytest.raises(ValueError, match="isn't inside"):
                volume.read(box)


class Spy(ArrayVolume):
    """Remembers what was read."""

    def read(self, box):
        self.boxes = [*getattr(self, "boxes", []), box]
        return super().read(box)


@examples(200)
@given(
    st.tuples(*[st.integers(1, 6)] * 3),
    st.tuples(*[st.tuples(st.integers(0, 20), st.integers(0, 20))] * 3),
    st.data(),
)
def test_reflection_is_numpys(shape, pads, data) -> None:
    image = np.arange(np.prod(shape)).reshape(shape)
    padded = np.pad(image, pads, mode="reflect")
    ends = [
        sorted(
            data.draw(
                st.tuples(
                    *[st.integers(0, n)] * 2,
                )
            )
        )
        for n in padded.shape
    ]
    inside = Box(*zip(*ends, strict=True))
    box = inside.relative_to(tuple(before for before, _ in pads))
    spy = Spy(image)
    np.testing.assert_array_equal(read_reflected(spy, box), padded[inside.slices])
    np.testing.assert_array_equal(read_reflected(image, box), padded[inside.slices])
    assert len(getattr(spy, "boxes", [])) == (inside.n_voxels > 0)


@given(st.integers(1, 7), st.integers(-(10**15), 10**15), st.integers(1, 30))
def test_reflection_far_outside(n: int, start: int, length: int) -> None:
    image = np.arange(n).reshape(1, 1, n)
    period = max(1, 2 * (n - 1))
    near = start % period
    expected = np.pad(image, ((0, 0), (0, 0), (0, near + length)), mode="reflect")[..., near : near + length]
    box = Box((0, 0, start), (1, 1, start + length))
    np.testing.assert_array_equal(read_reflected(image, box), expected)


def test_reflection_reads_only_what_it_needs() -> None:
    spy = Spy(np.arange(1000).reshape(10, 10, 10))
    read_reflected(spy, Box((-2, 3, 8), (1, 5, 12)))
    assert spy.boxes == [Box((0, 3, 7), (3, 5, 10))]


def test_what_is_read_is_the_readers_own(tmp_path: Path) -> None:
    image = random_image()
    ArrayVolume(image).read(Box.of_shape((1, 2, 3)))[...] = 200
    assert image.max() < 200
    tifffile.imwrite(tmp_path / "a.tif", image)
    open_volume(tmp_path / "a.tif").read(Box.of_shape((1, 2, 3)))[...] = 200


def test_compressed_stacks_are_read_page_by_page(tmp_path: Path) -> None:
    image = np.zeros((64, 512, 512), "u1")
    tifffile.imwrite(tmp_path / "a.tif", image, compression="zlib")
    tracemalloc.start()
    open_volume(tmp_path / "a.tif").read(Box((10, 0, 0), (12, 512, 512)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < image.nbytes / 4
