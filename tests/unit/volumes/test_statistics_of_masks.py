"""Only voxels inside a mask count: statistics, checks, and what networks see."""

import logging

import numpy as np
import pytest
import tifffile

from genenet.config.normalisation import NormalisationSettings
from genenet.config.settings import ImageFiles, PrepareSettings
from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.phantoms.phantom import CLASSES, slabs
from genenet.training.prepare import prepare
from genenet.training.prepared import open_prepared
from genenet.training.prepared_images import read_images
from genenet.volumes import ome_zarr
from genenet.volumes.base import ArrayVolume
from genenet.volumes.masks import MaskedVolume
from genenet.volumes.normalisation import Normalisation, NormalisationRule
from genenet.volumes.statistics import image_statistics
from tests.support.ensembles import arrays, job, write_ensemble

HALO = 12  # more than that of the networks of write_ensemble
PLACE = (slice(None), slice(30, 126), slice(50, 146))


def phantom():
    ((_, image, labels),) = slabs((1, 96, 96), 3)
    return image, labels


def padded(image, value):
    result = np.full((1, 170, 190), value, image.dtype)
    result[PLACE] = image
    return result


@pytest.fixture
def folder(tmp_path):
    """A phantom, the same inside of padding of several kinds, and the mask of it."""
    image, labels = phantom()
    floats = image.astype("float32")
    for name, array in {
        "small": image,
        "zeros": padded(image, 0),
        "mask": padded(np.ones_like(image), 0),
        "labels": padded(labels, 0),
        "small-labels": labels,
        "small-float": floats,
        "lowest": padded(floats, -3.4e38),
        "nan": padded(floats, np.nan),
        "inf": padded(floats, np.inf),
    }.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", array, photometric="minisblack")
    return tmp_path


def source(folder, name):
    return {"mask": [folder / "mask.tif"]} if not name.startswith("small") else {}


@pytest.mark.parametrize("mode", ["volume", "slice", "training"])
@pytest.mark.parametrize("name", ["zeros", "lowest", "nan", "inf"])
def test_padding_changes_nothing_inside(folder, name, mode, caplog):
    write_ensemble(folder / "ensemble", mode=mode, dtypes=["uint8", "float32"])
    caplog.set_level(logging.WARNING)
    small = "small.tif" if name == "zeros" else "small-float.tif"
    job(folder, "small.ome.zarr", image=small).run()
    job(folder, "a.ome.zarr", image=f"{name}.tif", source=source(folder, name)).run()
    first, second = (ome_zarr.open_store(folder / f"{n}.ome.zarr").attributes for n in ("small", "a"))
    assert second["mean"] == pytest.approx(first["mean"], rel=1e-9)
    assert second["deviation"] == pytest.approx(first["deviation"], rel=1e-9)
    (expected, _), (found, labels) = arrays(folder / "small.ome.zarr"), arrays(folder / "a.ome.zarr")
    inner = (slice(None), slice(None), slice(HALO, -HALO), slice(HALO, -HALO))
    np.testing.assert_allclose(found[:, *PLACE][inner], expected[inner], atol=1e-5)
    outside = np.ones(labels.shape, bool)
    outside[PLACE] = False
    assert not labels[outside].any()
    assert caplog.text == ""


def settings(folder, name):
    labels = folder / ("small-labels.tif" if name.startswith("small") else "labels.tif")
    files = ImageFiles(image=[folder / f"{name}.tif"], labels=[labels], region=None, **source(folder, name))
    return PrepareSettings(
        images=[files], classes=list(CLASSES), ignore_label=None, voxel_size_nm=(40, 10, 10)
    )


@pytest.mark.parametrize("name", ["zeros", "lowest", "nan", "inf"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_prepared_images_are_the_centre_outside(folder, name, in_memory):
    small = "small" if name == "zeros" else "small-float"
    prepare(settings(folder, small), folder / "small.zip")
    prepare(settings(folder, name), folder / "a.zip")
    first, second = open_prepared(folder / "small.zip"), open_prepared(folder / "a.zip")
    assert (second.mean, second.deviation) == pytest.approx((first.mean, first.deviation), rel=1e-12)
    assert second.class_counts == first.class_counts
    (image,) = second.images
    assert image.image.dtype == ("uint8" if name == "zeros" else "float32")
    rule = NormalisationRule(NormalisationSettings(over="volume"), 0, 1)
    ((array,),) = read_images([second], rule, 1e9 if in_memory else 0)
    ((whole,),) = read_images([first], rule, 1e9)
    normalised = array.normalisation.apply(array.image, 0)
    np.testing.assert_allclose(
        normalised[PLACE], whole.normalisation.apply(whole.image, 0), rtol=1e-6, atol=1e-6
    )
    normalised[PLACE] = 0
    assert not normalised.any()
    assert second.checksum != first.checksum


def test_prepare_and_segment_have_the_same_statistics(folder):
    write_ensemble(folder / "ensemble")
    prepare(settings(folder, "zeros"), folder / "a.zip")
    job(folder, image="zeros.tif", source=source(folder, "zeros")).run()
    prepared, store = open_prepared(folder / "a.zip"), ome_zarr.open_store(folder / "a.ome.zarr")
    assert store.attributes["mean"] == [prepared.images[0].mean]
    assert store.attributes["deviation"] == [prepared.images[0].deviation]
    image, _ = phantom()
    assert prepared.mean == pytest.approx(image.mean(), rel=1e-12)


def test_what_is_wrong_inside_is_found(folder):
    write_ensemble(folder / "ensemble")
    image = tifffile.imread(folder / "nan.tif").reshape(1, 170, 190)
    image[0, 60, 60] = np.nan
    tifffile.imwrite(folder / "nan.tif", image, photometric="minisblack")
    for do in (
        lambda: prepare(settings(folder, "nan"), folder / "a.zip"),
        lambda: job(folder, image="nan.tif", source=source(folder, "nan")).run(),
    ):
        with pytest.raises(InputError, match=r"nan\.tif: holds NaN or infinite voxels inside its mask"):
            do()
    image[PLACE] = 7
    tifffile.imwrite(folder / "nan.tif", image, photometric="minisblack")
    with pytest.raises(
        InputError, match=r"nan\.tif: all voxels inside its mask are 7; an image with contrast"
    ):
        job(folder, image="nan.tif", source=source(folder, "nan")).run()
    tifffile.imwrite(folder / "mask.tif", np.zeros(image.shape, "u1"), photometric="minisblack")
    with pytest.raises(InputError, match=r"nan\.tif: has no voxels inside its mask"):
        job(folder, image="nan.tif", source=source(folder, "nan")).run()


@pytest.mark.parametrize("per_slice", [True, False])
def test_a_sample_finds_also_a_little_mask(per_slice):
    rng = np.random.default_rng(0)
    image, mask = rng.normal(100, 5, (4, 300, 300)), np.zeros((4, 300, 300), "u1")
    mask[2, 3:5, 200:210] = 1
    volumes = ArrayVolume(image, chunks=(1, 16, 16)), ArrayVolume(mask)
    mean, deviation = image_statistics(volumes[0], per_slice, max_voxels=3000, mask=volumes[1])
    inside = image[mask == 1]
    at = 2 if per_slice else 0
    assert (mean[at], deviation[at]) == pytest.approx((inside.mean(), inside.std()), rel=1e-12)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "int32", "uint32", "float32", "float64"])
def test_integers_are_read_exactly(dtype):
    image = np.arange(24).reshape(1, 4, 6).astype(dtype)
    if np.dtype(dtype).itemsize >= 4 and dtype != "float32":
        image += np.asarray(2_000_000_001).astype(dtype)
    mask = np.arange(24).reshape(1, 4, 6) % 3
    masked = MaskedVolume(ArrayVolume(image), ArrayVolume(mask))
    voxels = masked.read(Box.of_shape((1, 4, 6)))
    assert voxels.dtype == masked.dtype
    np.testing.assert_array_equal(voxels, np.where(mask, image.astype("f8"), np.nan))


@pytest.mark.parametrize(("dtype", "offset"), [("int32", 2_000_000_000), ("float64", 1e9), ("uint32", 4e9)])
def test_an_offset_changes_nothing(dtype, offset):
    image, _ = phantom()
    shifted = image.astype(dtype) + np.asarray(offset).astype(dtype)
    plain, moved = (
        Normalisation(*image_statistics(ArrayVolume(array), per_slice=False)).apply(array, 0)
        for array in (image, shifted)
    )
    np.testing.assert_allclose(moved, plain, atol=1e-6)
