"""Labelled images of another voxel size than that of the data: image, labels and mask are resampled."""

import logging

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from genenet.config.depth import sees_depth
from genenet.config.model import check_config
from genenet.config.settings import ImageFiles, PrepareSettings
from genenet.config.stages import stage_settings
from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.core.ignore import IGNORE
from genenet.phantoms.phantom import CLASSES, slabs
from genenet.training.prepare import prepare
from genenet.training.prepared import open_prepared
from genenet.volumes.image_checks import check_images
from genenet.volumes.rescaled_labels import Majority
from tests.support.configs import changed
from tests.support.required import require_data

SIZE = (40.0, 10.0, 10.0)


def majority(ids, new_shape):
    ids = np.asarray(ids, np.uint8)
    return Majority(ids.shape, new_shape).read(Box.of_shape(new_shape), lambda box: ids[box.slices])


def test_the_id_that_fills_most_of_a_voxel():
    row = [[[0, 0, 1, 1, 1, 0]]]
    assert majority(row, (1, 1, 4)).tolist() == [[[0, 1, 1, 0]]]  # 1.5 old voxels each
    assert majority(row, (1, 1, 3)).tolist() == [[[0, 1, 0]]]  # the last is a tie: the lowest id
    assert majority(row, (1, 1, 12)).tolist() == [[[0] * 4 + [1] * 6 + [0] * 2]]  # the nearest
    square = [[[0, 0, 2], [0, 2, 2], [1, 1, 2]]]
    assert majority(square, (1, 1, 1)).tolist() == [[[2]]]  # 4 of 9
    assert majority(np.transpose(square, (1, 0, 2)), (1, 1, 1)).tolist() == [[[2]]]


shapes = st.tuples(*[st.integers(1, 9)] * 3)


@given(shapes, shapes, st.data())
def test_a_voxel_does_not_depend_on_its_box(old, new, data):
    ids = np.random.default_rng(0).integers(0, 4, old).astype(np.uint8)
    ends = [sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2))) for n in new]
    box = Box(*zip(*ends, strict=True))
    if min(box.shape) < 1:
        return
    found = Majority(old, new).read(box, lambda inner: ids[inner.slices])
    np.testing.assert_array_equal(found, majority(ids, new)[box.slices])


@given(shapes, shapes)
def test_smaller_voxels_and_back_change_nothing(shape, factors):
    ids = np.random.default_rng(0).integers(0, 4, shape).astype(np.uint8)
    fine = majority(ids, tuple(n * f for n, f in zip(shape, factors, strict=True)))
    for axis, factor in enumerate(factors):
        ids = ids.repeat(factor, axis)
    np.testing.assert_array_equal(fine, ids)
    np.testing.assert_array_equal(majority(fine, shape), fine[tuple(slice(None, None, f) for f in factors)])


def write(folder, name, image, labels=None, **more):
    """An image, and labels of the same values if none are given, as files."""
    tifffile.imwrite(folder / f"{name}.tif", image, photometric="minisblack")
    tifffile.imwrite(
        folder / f"{name}_labels.tif", image if labels is None else labels, photometric="minisblack"
    )
    mask = more.pop("mask", None)
    if mask is not None:
        tifffile.imwrite(folder / f"{name}_mask.tif", mask, photometric="minisblack")
        more["mask"] = [folder / f"{name}_mask.tif"]
    names = {"image": [folder / f"{name}.tif"], "labels": [folder / f"{name}_labels.tif"]}
    return ImageFiles(**{"region": None, **names, **more})


def prepared(folder, *images, classes=("a", "b", "c"), name="data", **more):
    values = {"classes": list(classes), "ignore_label": None, "voxel_size_nm": SIZE, **more}
    prepare(PrepareSettings(images=list(images), **values), folder / f"{name}.zarr.zip")
    return open_prepared(folder / f"{name}.zarr.zip")


def test_a_phantom_there_and_back_has_the_same_labels_but_for_borders(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    ((_, image, labels),) = slabs((2, 180, 240), 3)
    there = write(tmp_path, "a", image, labels, voxel_size_nm=(40, 15, 15))  # its voxels become smaller
    (fine,) = prepared(tmp_path, there, classes=CLASSES, name="fine").images
    assert fine.image.shape == fine.labels.shape == (2, 270, 360)
    assert fine.image.dtype == image.dtype
    assert "a.tif: resampled from voxels of 40 x 15 x 15 nm to 40 x 10 x 10 nm (z, y, x)" in caplog.text
    back = write(tmp_path, "b", fine.image[...], fine.labels[...], voxel_size_nm=(40, 20 / 3, 20 / 3))
    (again,) = prepared(tmp_path, back, classes=CLASSES, name="again").images
    assert again.labels.shape == labels.shape
    found = again.labels[...]
    padded = np.pad(labels, ((0, 0), (1, 1), (1, 1)), mode="edge")
    around = [padded[:, y : y + 180, x : x + 240] for y in range(3) for x in range(3)]
    is_border = np.any([other != labels for other in around], axis=0)
    assert is_border.mean() < 0.4
    np.testing.assert_array_equal(found[~is_border], labels[~is_border])
    assert (found == labels).mean() > 0.97
    blurred = np.abs(again.image[...].astype(float) - image)[~is_border].mean()
    assert blurred < 0.5 * image.std()


def test_a_region_is_in_the_voxels_of_the_file(tmp_path):
    labels = np.zeros((1, 80, 80), np.uint8)
    labels[:, 20:60, 40:] = 1
    image = labels * 100 + np.random.default_rng(0).integers(0, 20, labels.shape).astype(np.uint8)
    region = (None, (20, 60), (30, 70))
    source = write(tmp_path, "a", image, labels, region=region, voxel_size_nm=(40, 5, 5))
    data = prepared(tmp_path, source, normalisation="image")
    (found,) = data.images
    assert found.name.endswith("a.tif[:, 20:60, 30:70]")
    assert found.labels[...].tolist() == [[[0] * 5 + [1] * 15] * 20]
    mean = image.astype(float).mean()
    assert found.recorded.centre == pytest.approx([mean], abs=0.5)  # of the whole image, resampled
    assert abs(found.mean - mean) > 20


def test_what_lies_outside_the_mask_counts_nowhere(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(50, 60, (1, 60, 60)).astype(np.float32)
    mask = np.zeros(image.shape, np.uint8)
    mask[:, 7:50, 10:41] = 1
    image[mask == 0] = np.nan
    labels = rng.integers(0, 2, image.shape).astype(np.uint8)
    labels[mask == 0] = 77  # no class
    (found,) = prepared(
        tmp_path, write(tmp_path, "a", image, labels, mask=mask, voxel_size_nm=(40, 5, 5))
    ).images
    inside = found.mask[...] == 1
    assert inside.sum() == 21 * 15  # rows 8 to 49 and columns 10 to 39; those of half a voxel are outside
    voxels = found.image[...][inside]
    assert voxels.min() >= 50
    assert voxels.max() <= 59
    assert (found.labels[...][~inside] == IGNORE).all()
    assert (found.labels[...][inside] < 2).all()


@pytest.mark.parametrize(
    ("shape", "sees_z", "expected"),
    [((4, 40, 60), False, (4, 20, 30)), ((4, 40, 60), True, (2, 20, 30)), ((1, 40, 60), True, (1, 20, 30))],
)
def test_along_z_it_is_resampled_only_for_networks_that_see_z(tmp_path, shape, sees_z, expected):
    labels = np.random.default_rng(0).integers(0, 2, shape).astype(np.uint8)
    source = write(tmp_path, "a", labels, voxel_size_nm=(20, 5, 5))
    (found,) = prepared(tmp_path, source, sees_depth=sees_z).images
    assert found.image.shape == found.labels.shape == expected


def test_a_size_within_five_percent_changes_nothing(tmp_path):
    labels = np.random.default_rng(0).integers(0, 2, (1, 40, 60)).astype(np.uint8)
    plain = prepared(tmp_path, write(tmp_path, "a", labels), name="plain")
    found = prepared(tmp_path, write(tmp_path, "a", labels, voxel_size_nm=(40, 10.3, 9.8)))
    assert found.checksum == plain.checksum


def test_images_that_become_too_small_and_labels_without_a_class_are_refused(tmp_path):
    labels = np.zeros((1, 60, 60), np.uint8)
    labels[0, 5, 7] = 9
    source = write(tmp_path, "a", labels, voxel_size_nm=(40, 5, 5))
    with pytest.raises(
        InputError, match="is 30 x 30 voxels, smaller than every genome's input: at least 40 x 40"
    ):
        prepared(tmp_path, source, smallest_input_voxels=40)
    with pytest.raises(InputError, match=r"label 9 \(1 voxels, the first at z, y, x = \(0, 5, 7\)\)"):
        prepared(tmp_path, source)


def test_the_config_says_whether_a_network_may_see_z(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = np.zeros((2, 40, 60), np.uint8)
    tifffile.imwrite("a.tif", image, photometric="minisblack")
    train = [{"path": "a.tif", "labels": "a.tif", "voxel_size_nm": [20, 5, 5]}]
    config = check_config(changed("data.train", train))
    assert not sees_depth(config)
    settings = stage_settings(config, "prepare_train")
    assert (settings.images[0].voxel_size_nm, settings.sees_depth) == ((20, 5, 5), False)
    assert "data.train.0: 2 x 40 x 60 voxels (z, y, x) of uint8, resampled to 2 x 20 x 30" in check_images(
        config
    )
    for mode, expected in ((["2d", "3d"], True), ("2.5d", True), ("2d", False)):
        config = check_config(changed("search.regions", {"net": {"spatial_mode": mode}}))
        assert sees_depth(config) is expected
        assert stage_settings(config, "prepare_train").sees_depth is False  # no image is resampled
    assert sees_depth(check_config(changed("search.regions", {"net": {"n_context_stacks": [0, 1]}})))


@pytest.mark.slow
def test_rats_of_two_voxel_sizes(tmp_path):
    """rat1 has voxels of 180 nm, rat3 of 100 nm; axons are then as wide as they are."""
    folder = require_data() / "axon_sem"
    names = ("sub-rat1_sample-data1", "sub-rat3_sample-data9")
    files = [
        ImageFiles(
            image=[folder / f"{name}_SEM_raw.tif"],
            labels=[folder / f"{name}_SEM_semantic3.tif"],
            region=None,
            voxel_size_nm=size,
        )
        for name, size in zip(names, ((180, 180, 180), None), strict=True)
    ]
    data = prepared(
        tmp_path,
        *files,
        classes=("background", "myelin", "axon"),
        voxel_size_nm=(100, 100, 100),
        normalisation="image",
    )
    first, second = data.images
    assert first.image.shape == first.labels.shape == (1, 1663, 2300)  # 1.8 times 924 x 1278
    assert second.image.shape == (1, 756, 764)
    old = tifffile.imread(files[0].labels[0])
    before, after = (np.bincount(ids.ravel(), minlength=3)[:3] / ids.size for ids in (old, first.labels[...]))
    np.testing.assert_allclose(after, before, atol=0.002)
    voxels = tifffile.imread(files[0].image[0]).astype(float)
    assert first.mean == pytest.approx(voxels.mean(), rel=1e-3)
