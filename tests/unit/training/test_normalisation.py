"""Centre and scale of images and of regions of them: in prepared data, in segmented stores, and for arrays."""

import json

import numpy as np
import pytest
import tifffile

from genenet.config.normalisation import NormalisationSettings
from genenet.config.settings import ImageFiles, PrepareSettings
from genenet.core.errors import InputError
from genenet.training.prepare import prepare
from genenet.training.prepared import open_prepared
from genenet.training.prepared_images import read_images
from genenet.volumes import ome_zarr
from tests.support.ensembles import job, write_ensemble

PERCENTILES = {"over": "image", "by": "percentiles", "percentiles": [5, 95]}
Z = 2 * 1.6448536269514722  # between the 5th and the 95th percentile of a normal distribution of deviation 1
LEFT, RIGHT = ((0, 2), None, (0, 60)), ((0, 2), None, (60, 120))


def image(seed=0):
    """The right half is twice as bright as the left one."""
    voxels = np.random.default_rng(seed).integers(20 + 10 * seed, 100, (4, 70, 120))
    voxels[..., 60:] *= 2
    return voxels.astype("u1")


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate(("a", "b")):
        tifffile.imwrite(tmp_path / f"{name}.tif", image(seed), photometric="minisblack")
    for z, voxels in enumerate(image()):
        tifffile.imwrite(tmp_path / f"slice{z}.tif", voxels, photometric="minisblack")
    labels = np.random.default_rng(2).integers(0, 2, (4, 70, 120)).astype("u1")
    tifffile.imwrite(tmp_path / "labels.tif", labels, photometric="minisblack")
    return tmp_path


def files(folder, name="a", region=None, **more):
    return ImageFiles(image=[folder / f"{name}.tif"], labels=[folder / "labels.tif"], region=region, **more)


def prepared(folder, *images, normalisation=None, name="train"):
    settings = PrepareSettings(
        images=list(images),
        classes=["ground", "cell"],
        ignore_label=None,
        voxel_size_nm=(40, 10, 10),
        normalisation=normalisation,
    )
    prepare(settings, folder / f"{name}.zarr.zip")
    return open_prepared(folder / f"{name}.zarr.zip")


def found(data, normalisation):
    """Centre and scale of each image, as trainings read them."""
    rule = data.rule(NormalisationSettings.model_validate(normalisation))
    (images,) = read_images([data], rule, 1e9)
    return [(norm.mean.tolist(), norm.deviation.tolist()) for norm in (each.normalisation for each in images)]


def test_regions_of_one_image_share_its_statistics_and_another_image_has_its_own(folder):
    images = files(folder, "a", LEFT), files(folder, "a", RIGHT), files(folder, "b", LEFT)
    data = prepared(folder, *images, normalisation="image")
    a, b = image(0).astype(float), image(1).astype(float)
    of_a = [pytest.approx(a.mean(), rel=1e-12)], [pytest.approx(a.std(), rel=1e-12)]
    of_b = [pytest.approx(b.mean(), rel=1e-12)], [pytest.approx(b.std(), rel=1e-12)]
    assert found(data, "image") == [of_a, of_a, of_b]
    left = a[:2, :, :60]
    own = [pytest.approx(left.mean(), rel=1e-12)], [pytest.approx(left.std(), rel=1e-12)]
    assert found(data, "volume")[0] == own  # always recorded


def test_percentiles_of_the_whole_image(folder):
    data = prepared(folder, files(folder, "a", LEFT), normalisation=PERCENTILES)
    low, high = np.percentile(image().astype(float), [5, 95])
    assert found(data, PERCENTILES) == [
        ([pytest.approx((low + high) / 2, rel=1e-12)], [pytest.approx((high - low) / Z, rel=1e-12)])
    ]


@pytest.mark.parametrize("over", ["volume", "slice", "training"])
def test_percentiles_of_a_region_its_slices_and_all_training_images(folder, over):
    rule = {**PERCENTILES, "over": over}
    data = prepared(folder, files(folder, "a", LEFT), files(folder, "b"), normalisation=rule)
    regions = [image(0)[:2, :, :60].astype(float), image(1).astype(float)]
    together = np.concatenate([voxels.ravel() for voxels in regions])
    for (centre, scale), voxels in zip(found(data, rule), regions, strict=True):
        chosen = {"volume": [voxels], "slice": voxels, "training": [together]}[over]
        low, high = np.array([np.percentile(each, [5, 95]) for each in chosen]).T
        np.testing.assert_allclose(centre, (low + high) / 2, rtol=1e-12)
        np.testing.assert_allclose(scale, (high - low) / Z, rtol=1e-12)


def test_a_stack_is_one_image(folder):
    stack = ImageFiles(
        image=[folder / f"slice{z}.tif" for z in range(4)],
        labels=[folder / "labels.tif"],
        region=((1, 3), None, (60, 120)),
    )
    whole = found(prepared(folder, files(folder), normalisation="image"), "image")
    assert found(prepared(folder, stack, normalisation="image"), "image") == whole


def test_the_whole_mask_counts_and_nothing_outside(folder):
    voxels, mask = image().astype("f4"), np.zeros((4, 70, 120), "u1")
    mask[:, 10:50, 20:110] = 1
    voxels[mask == 0] = np.nan
    tifffile.imwrite(folder / "a.tif", voxels, photometric="minisblack")
    tifffile.imwrite(folder / "mask.tif", mask, photometric="minisblack")
    source = files(folder, "a", LEFT, mask=[folder / "mask.tif"])
    inside = image()[mask == 1].astype(float)
    (pair,) = found(prepared(folder, source, normalisation="image"), "image")
    assert pair == ([pytest.approx(inside.mean())], [pytest.approx(inside.std())])
    (pair,) = found(prepared(folder, source, normalisation=PERCENTILES), PERCENTILES)
    low, high = np.percentile(inside, [5, 95])
    assert pair == ([pytest.approx((low + high) / 2)], [pytest.approx((high - low) / Z)])


def test_nan_beyond_a_region_matters_only_to_the_whole_image(folder):
    voxels = image().astype("f4")
    voxels[3, 5, 100] = np.nan
    tifffile.imwrite(folder / "a.tif", voxels, photometric="minisblack")
    prepared(folder, files(folder, "a", LEFT))
    message = r"a\.tif: holds NaN or infinite voxels.*normalisation: image reads the whole image; volume"
    with pytest.raises(InputError, match=message):
        prepared(folder, files(folder, "a", LEFT), normalisation="image")


@pytest.mark.parametrize("rule", ["image", "volume", "slice", PERCENTILES, {**PERCENTILES, "over": "slice"}])
@pytest.mark.parametrize("region", [None, LEFT])
def test_a_segmentation_has_the_numbers_of_prepared_data(folder, rule, region):
    needed = None if rule in ("volume", "slice") else rule
    (expected,) = found(prepared(folder, files(folder, "a", region), normalisation=needed), rule)
    write_ensemble(folder / "ensemble", mode=rule)
    job(folder, image="a.tif", source={"region": region}).run()
    attributes = ome_zarr.open_store(folder / "a.ome.zarr").attributes
    assert (attributes["mean"], attributes["deviation"]) == expected
    assert attributes["normalisation"] == rule


def test_an_image_without_a_region_is_a_volume(folder):
    data = prepared(folder, files(folder), normalisation="image")
    assert found(data, "image") == found(data, "volume")
    assert (data.images[0].mean, data.images[0].deviation) == tuple(n[0] for n in found(data, "image")[0])


def test_the_checksum_depends_on_voxels_outside_if_they_count(folder):
    region = files(folder, "a", LEFT)
    before = [prepared(folder, region, normalisation=rule).checksum for rule in (None, "image")]
    voxels = image()
    voxels[3] = 255
    tifffile.imwrite(folder / "a.tif", voxels, photometric="minisblack")
    after = [prepared(folder, region, normalisation=rule).checksum for rule in (None, "image")]
    assert before[0] == after[0]
    assert before[1] != after[1]
    assert before[0] != before[1]


@pytest.mark.parametrize("rule", ["image", PERCENTILES, {**PERCENTILES, "over": "training"}])
@pytest.mark.parametrize("recorded", [None, {**PERCENTILES, "percentiles": [2, 98]}])
def test_data_that_was_prepared_for_another_normalisation_is_refused(folder, rule, recorded):
    data = prepared(folder, files(folder), normalisation=recorded)
    with pytest.raises(
        InputError, match="was prepared without the statistics for normalisation: .*prepare again"
    ):
        found(data, rule)


def test_data_for_the_older_words_is_what_it_was(folder):
    """Neither the attributes nor the checksum have anything new in them."""
    data = prepared(folder, files(folder, "a", LEFT))
    assert data.recorded is None
    assert data.images[0].recorded is None
    settings = json.loads(PrepareSettings.model_validate_json(_old_settings(folder)).model_dump_json())
    assert settings["normalisation"] is None


def _old_settings(folder):
    images = [{"image": [str(folder / "a.tif")], "labels": [str(folder / "labels.tif")], "region": None}]
    old = {"images": images, "classes": ["a", "b"], "ignore_label": None, "voxel_size_nm": [40, 10, 10]}
    return json.dumps(old)
