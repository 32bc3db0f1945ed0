"""Sizes of voxels and places are kept from the file to the result."""

import csv

import mrcfile
import numpy as np
import pytest
import tifffile
import zarr
from typer.testing import CliRunner

import genenet
from genenet.cli.main import app
from genenet.config.postprocessing import Postprocessing
from genenet.config.settings import ImageFiles, PrepareSettings
from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.segmentation.objects import PostprocessingJob
from genenet.training.prepare import prepare
from genenet.training.prepared import open_prepared
from genenet.volumes import ome_zarr
from genenet.volumes.base import ArrayVolume, MirroredVolume
from genenet.volumes.opening import open_volume
from genenet.volumes.store_pyramid import build_pyramid
from tests.support.dm_files import write_dm
from tests.support.ensembles import arrays, job, write_ensemble
from tests.support.zarr_files import write_ome_zarr

IMAGE = np.random.default_rng(0).integers(0, 100, (2, 40, 50)).astype("uint8")


def whole(volume):
    return volume.read(Box.of_shape(volume.shape))


def test_sizes_along_some_axes(tmp_path):
    """What is known of 2D images and stacks of slices counts, though z isn't said."""
    pixel = {"PhysicalSizeX": 5, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.005}
    tifffile.imwrite(tmp_path / "a.ome.tif", IMAGE[0], metadata={"axes": "YX", **pixel})
    tifffile.imwrite(
        tmp_path / "a.tif", IMAGE[0], imagej=True, resolution=(0.2, 0.2), metadata={"unit": "nm"}
    )
    write_dm(tmp_path / "a.dm3", IMAGE, version=3, scales=(5, 0.005, 7), units=("nm", "µm", ""))
    transforms = [{"type": "scale", "scale": [5.0, 5.0]}]
    write_ome_zarr(tmp_path / "a.zarr", IMAGE[0], "yx", transforms)
    for path in sorted(tmp_path.iterdir()):
        volume = open_volume(path)
        assert volume.grid.sizes_nm == (None, pytest.approx(5), pytest.approx(5)), path
        assert volume.voxel_size_nm is None


def test_imagej_may_have_a_unit_for_each_axis(tmp_path):
    metadata = {"axes": "ZYX", "unit": "nm", "zunit": "um", "spacing": 0.04}
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, imagej=True, resolution=(0.1, 0.1), metadata=metadata)
    assert open_volume(tmp_path / "a.tif").voxel_size_nm == pytest.approx((40, 10, 10))


@pytest.mark.parametrize("unit", ["nanometers", "\\u00b5m", "microns", "\\u00c5", "Angstroms"])
def test_units_in_plural_and_with_their_signs(tmp_path, unit):
    metadata = {"axes": "ZYX", "unit": unit, "spacing": 2}
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, imagej=True, resolution=(1, 1), metadata=metadata)
    nm = 1 if unit.startswith("nano") else 1000 if unit in ("\\u00b5m", "microns") else 0.1
    assert open_volume(tmp_path / "a.tif").voxel_size_nm == pytest.approx((2 * nm, nm, nm))


def test_a_print_resolution_is_not_believed(tmp_path, caplog):
    tifffile.imwrite(
        tmp_path / "a.tif", IMAGE[0], imagej=True, resolution=(72, 72), metadata={"unit": "inch"}
    )
    assert open_volume(tmp_path / "a.tif").grid.sizes_nm == (None, None, None)
    assert "says that its voxels are 352778 nm along x, which isn't a microscope's" in caplog.text


@pytest.fixture
def folder(tmp_path):
    write_ensemble(tmp_path / "ensemble")
    return tmp_path


def translations(path):
    """Translation in nm of level 0 of the image and of the labels, axes z, y, x."""
    for folder in (path, path / "labels/segmentation"):
        (multiscale,) = zarr.open_group(folder, mode="r").attrs["ome"]["multiscales"]
        _, translation = multiscale["datasets"][0]["coordinateTransformations"]
        yield tuple(translation["translation"][-3:])


@pytest.mark.parametrize("origin", [(0.0, 0.0, 0.0), (80.0, 7.0, 1000.0)])
@pytest.mark.parametrize("region", [None, ((0, 1), (50, 150), (60, 190))])
def test_region_and_origin_are_the_translation_of_the_result(folder, origin, region):
    image = np.random.default_rng(0).integers(0, 100, (2, 160, 200)).astype("uint8")
    transforms = [
        {"type": "scale", "scale": [40.0, 10.0, 10.0]},
        {"type": "translation", "translation": list(origin)},
    ]
    write_ome_zarr(folder / "image.zarr", image, "zyx", transforms)
    job(folder, image="image.zarr", source={"region": region}, probabilities=False).run()
    place = tuple(a + b for a, b in zip(origin, (0, 500, 600) if region else (0, 0, 0), strict=True))
    assert set(translations(folder / "a.ome.zarr")) == {place}
    store = ome_zarr.open_store(folder / "a.ome.zarr")
    assert store.attributes["region"] == ([list(i) for i in region] if region else None)
    names = store.attributes["classes"]
    PostprocessingJob(store.path, Postprocessing(objects=names), folder / "objects.csv").run()
    with (folder / "objects.csv").open() as file:
        for row in csv.DictReader(file):
            for axis, size, start in zip("zyx", (40, 10, 10), place, strict=True):
                expected = start + size * float(row[f"centroid_{axis}_voxels"])
                assert float(row[f"centroid_{axis}_nm"]) == pytest.approx(expected, abs=0.03)
    build_pyramid(store.path, min_size=50)
    assert set(translations(store.path)) == {place}


def test_larger_voxels_have_their_centres_further_on(folder):
    tifffile.imwrite(folder / "image.tif", IMAGE.repeat(2, 1).repeat(2, 2), photometric="minisblack")
    source = {"voxel_size_nm": (40, 5, 5)}
    job(folder, source=source, rescale=True, probabilities=False).run()
    assert set(translations(folder / "a.ome.zarr")) == {(0, 2.5, 2.5)}
    source |= {"region": ((0, 1), (10, 80), (20, 100))}
    job(folder, "b.ome.zarr", source=source, rescale=True, probabilities=False).run()
    assert set(translations(folder / "b.ome.zarr")) == {(0, 52.5, 102.5)}


def test_a_size_known_along_y_and_x_is_used(folder, caplog):
    tifffile.imwrite(
        folder / "image.tif", IMAGE[0], imagej=True, resolution=(0.2, 0.2), metadata={"unit": "nm"}
    )
    job(folder, probabilities=False).run()
    assert ome_zarr.open_store(folder / "a.ome.zarr").voxel_size_nm == (40, 5, 5)
    assert (
        "says that its voxels are ? x 5 x 5 nm (z, y, x); along z, the ensemble's size is assumed"
        in caplog.text
    )
    assert "has voxels of ? x 5 x 5 nm, the ensemble was trained on (40.0, 10.0, 10.0) nm" in caplog.text
    job(folder, "b.ome.zarr", rescale=True, probabilities=False).run()
    assert ome_zarr.open_store(folder / "b.ome.zarr").voxel_size_nm == (40, 10, 10)


triples = [("y",), ("z",), ("z", "x"), ()]


@pytest.mark.parametrize("axes", triples)
def test_a_mirrored_volume(axes):
    volume = ArrayVolume(IMAGE, chunks=(1, 16, 16))
    flipped = np.flip(IMAGE, ["zyx".index(axis) for axis in axes])
    mirrored = MirroredVolume(volume, axes)
    np.testing.assert_array_equal(whole(mirrored), flipped)
    box = Box((0, 3, 10), (1, 20, 50))
    np.testing.assert_array_equal(mirrored.read(box), flipped[box.slices])
    assert mirrored.chunk_start[1] == (-8 if "y" in axes else 0)  # 40 voxels are chunks of 16, 16 and 8


@pytest.fixture
def mixed(tmp_path):
    """An image as MRC, labels and mask as Fiji saves what it shows of it: mirrored along y."""
    labels = (IMAGE > 50).astype("u1")
    mrcfile.write(tmp_path / "image.mrc", IMAGE.astype("int16"), voxel_size=10)
    tifffile.imwrite(tmp_path / "labels.tif", labels[:, ::-1], photometric="minisblack")
    tifffile.imwrite(tmp_path / "mask.tif", labels[:, ::-1], photometric="minisblack")
    return tmp_path


def files(folder, **more):
    named = {"image": [folder / "image.mrc"], "labels": [folder / "labels.tif"], "region": None}
    return ImageFiles(**{**named, **more})


def settings(source):
    return PrepareSettings(
        images=[source], classes=["dark", "light"], ignore_label=None, voxel_size_nm=(1, 1, 1)
    )


def test_mrc_beside_other_formats_needs_a_word(mixed):
    message = r"image\.mrc: is MRC, whose first row is the bottom one, and .*(labels|mask)\.tif isn't; .* flip: \[y\] "
    for source in (files(mixed), files(mixed, labels=None, mask=[mixed / "mask.tif"])):
        with pytest.raises(InputError, match=message) as error:
            prepare(settings(source), mixed / "a.zarr.zip")
        assert "\n" not in str(error.value)
    tifffile.imwrite(mixed / "labels.tif", IMAGE.astype("int16"), photometric="minisblack")
    with pytest.raises(InputError, match=r"labels\.tif: MRC and other formats can't be stacked"):
        open_volume([mixed / "image.mrc", mixed / "labels.tif"], is_grey=False)


@pytest.mark.parametrize("flip", [("y",), ()])
def test_mrc_is_mirrored_beside_other_formats(mixed, flip):
    prepare(settings(files(mixed, flip=flip)), mixed / "a.zarr.zip")
    (image,) = open_prepared(mixed / "a.zarr.zip").images
    fits = np.array_equal(image.labels[...], image.image[...] > 50)
    assert fits == (flip == ("y",))


def test_mrc_alone_is_mirrored_if_that_is_wanted(mixed):
    write_ensemble(mixed / "ensemble")
    source = {"flip": ("y",), "region": (None, (0, 35), None)}
    job(mixed, image="image.mrc", source=source, probabilities=False).run()
    tifffile.imwrite(mixed / "image.tif", IMAGE[:, ::-1].astype("int16"), photometric="minisblack")
    job(mixed, "b.ome.zarr", source={"region": (None, (0, 35), None)}, probabilities=False).run()
    a, b = (ome_zarr.open_store(mixed / name).labels[...] for name in ("a.ome.zarr", "b.ome.zarr"))
    np.testing.assert_array_equal(a, b)


def test_flip_on_the_command_line_and_from_python(mixed):
    write_ensemble(mixed / "ensemble")
    command = ["segment", "--ensemble", mixed / "ensemble", mixed / "image.mrc", "--mask", mixed / "mask.tif"]
    for name, more, code in (("no", [], 1), ("a", ["--flip", "y"], 0), ("none", ["--flip", "none"], 0)):
        words = [*command, "--out", mixed / f"{name}.ome.zarr", *more]
        done = CliRunner().invoke(app, list(map(str, words)))
        assert (done.exit_code != 0) == bool(code), done.output
    places = mixed / "ensemble", mixed / "image.mrc", mixed / "b.ome.zarr"
    labels = genenet.segment(*places, mask=mixed / "mask.tif", flip=["y"])
    (a, _), (none, _) = (arrays(mixed / f"{name}.ome.zarr") for name in ("a", "none"))
    np.testing.assert_array_equal(labels[...], ome_zarr.open_store(mixed / "a.ome.zarr").labels[...])
    assert not np.array_equal(a, none)


def test_flip_is_for_mrc(mixed):
    source = files(mixed, image=[mixed / "labels.tif"], flip=("y",))
    with pytest.raises(InputError, match=r"labels\.tif: flip: mirrors MRC files, and there is none"):
        prepare(settings(source), mixed / "a.zarr.zip")


def test_the_origin_of_mrc_and_imagej(tmp_path):
    with mrcfile.new(tmp_path / "a.mrc", IMAGE.astype("int16")) as file:
        file.voxel_size = (50, 120, 400)
        file.header.origin = (100, 20, 8000)
    assert open_volume(tmp_path / "a.mrc").grid.translation_nm == pytest.approx((800, 2, 10))
    content = bytearray((tmp_path / "a.mrc").read_bytes())
    content[152:160] = np.array([1146047817, 0], "<i4").tobytes()  # IMOD's, whose origin has the other sign
    (tmp_path / "a.mrc").write_bytes(content)
    assert open_volume(tmp_path / "a.mrc").grid.translation_nm == pytest.approx((-800, -2, -10))
    metadata = {"axes": "ZYX", "unit": "nm", "spacing": 40, "xorigin": 10.0, "yorigin": -4.0}
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, imagej=True, resolution=(0.1, 0.1), metadata=metadata)
    assert open_volume(tmp_path / "a.tif").grid.translation_nm == pytest.approx((0, 40, -100))


def test_a_size_that_differs_from_the_configs_is_named(tmp_path, caplog):
    metadata = {"axes": "ZYX", "unit": "nm", "spacing": 40}
    tifffile.imwrite(tmp_path / "image.tif", IMAGE, imagej=True, resolution=(0.2, 0.2), metadata=metadata)
    tifffile.imwrite(tmp_path / "labels.tif", IMAGE % 2, photometric="minisblack")
    source = files(tmp_path, image=[tmp_path / "image.tif"])
    for size, n in (((40, 5, 5.1), 0), ((40, 10, 10), 1)):
        prepare(settings(source).model_copy(update={"voxel_size_nm": size}), tmp_path / "a.zarr.zip")
        assert caplog.text.count("its file says that its voxels are 40 x 5 x 5 nm (z, y, x), data.voxel") == n
