"""The borders that networks learn, and the prepared file that holds them."""

import logging
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from genenet.config.objects import ObjectTarget
from genenet.config.settings import ImageFiles, PrepareSettings
from genenet.core.errors import InputError
from genenet.training import object_targets, objects
from genenet.training import prepare as prepare_module
from genenet.training.object_targets import edge_distances
from genenet.training.objects import ObjectSizes, widths_nm
from genenet.training.prepare import prepare
from genenet.training.prepared import open_prepared
from genenet.volumes import sampling

SIZE = (40.0, 10.0, 10.0)
CELL = ObjectTarget(name="cell", of=["cell", "organelle"])


def exact_distances(ids, size, along_z):
    """From each voxel to the nearest voxel of another id, by trying all pairs; without ``along_z`` in its slice."""
    places = np.argwhere(np.ones(ids.shape, bool))
    values = ids.reshape(-1)
    found = np.full(len(places), np.inf)
    for i, place in enumerate(places):
        others = values != values[i]
        if not along_z:
            others &= places[:, 0] == place[0]
        if others.any():
            found[i] = np.sqrt((((places[others] - place) * size) ** 2).sum(axis=1)).min()
    return found.reshape(ids.shape)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_distances_are_exact_across_straight_edges_and_nearly_elsewhere(seed, along_z):
    ids = np.random.default_rng(seed).integers(0, 3, (2, 2, 2)).repeat(4, 1).repeat(4, 2).astype(np.uint64)
    found, exact = edge_distances(ids, SIZE, along_z), exact_distances(ids, SIZE, along_z)
    assert np.array_equal(np.isinf(found), np.isinf(exact))
    finite = np.isfinite(exact)
    assert (found[finite] >= exact[finite] - 1e-3).all()
    assert (found[finite] <= exact[finite] + max(SIZE if along_z else SIZE[1:])).all()
    first = finite & (exact <= 10)  # voxels at an edge, which decide between touching objects
    assert np.array_equal(found[finite] <= 10, first[finite])


def test_the_edge_of_the_image_is_no_border():
    assert np.isinf(edge_distances(np.ones((2, 5, 5), np.uint64), SIZE, True)).all()


def test_sizes_are_of_the_mean_slice_and_dont_depend_on_boxes():
    ids = np.zeros((4, 20, 20), np.uint64)
    ids[0:2, 2:12, 3:13] = 2**40
    ids[3, 15:19, 15:19] = 7
    whole, rows = ObjectSizes(), ObjectSizes()
    whole.add(0, ids)
    for z in range(4):
        for y in range(0, 20, 6):
            rows.add(z, ids[z : z + 1, y : y + 6])
    for found, diameters in (whole.diameters(), rows.diameters()):
        assert found.tolist() == [7, 2**40]
        assert diameters == pytest.approx([2 * np.sqrt(16 / np.pi), 2 * np.sqrt(100 / np.pi)])


def test_borders_are_an_eighth_of_the_diameter_between_one_voxel_and_four():
    assert widths_nm(np.array([2.0, 8, 17, 24, 400]), None, 10.0).tolist() == [10, 10, 20, 30, 40]
    assert widths_nm(np.array([2.0, 400]), 25.0, 10.0).tolist() == [25, 25]


class Scene:
    """Two cells that touch, one with an organelle, on a background."""

    def __init__(self) -> None:
        self.labels = np.zeros((3, 30, 40), np.uint8)
        self.ids = np.zeros((3, 30, 40), np.uint32)
        self.ids[:, 4:26, 4:20], self.ids[:, 4:26, 20:36] = 5, 9
        self.labels[self.ids > 0] = 1
        self.labels[:, 10:16, 19:20] = 2
        self.image = np.random.default_rng(0).integers(0, 255, self.labels.shape).astype(np.uint8)

    def settings(self, folder: Path, labels=True, **changes) -> PrepareSettings:
        for name in ("image", "labels", "ids"):
            tifffile.imwrite(folder / f"{name}.tif", getattr(self, name), photometric="minisblack")
        files = ImageFiles(
            image=[folder / "image.tif"],
            labels=[folder / "labels.tif"] if labels else None,
            instances={"cell": [folder / "ids.tif"]},
            region=None,
        )
        values = {
            "images": [files],
            "classes": ["background", "cell", "organelle"],
            "ignore_label": None,
            "voxel_size_nm": SIZE,
            "objects": [CELL],
        }
        return PrepareSettings(**(values | changes))

    def prepared(self, folder: Path, **changes):
        prepare(self.settings(folder, **changes), folder / "train.zarr.zip")
        return open_prepared(folder / "train.zarr.zip")


def test_what_networks_learn(tmp_path):
    scene = Scene()
    found = scene.prepared(tmp_path)
    (image,) = found.images
    diameter = 2 * np.sqrt(22 * 16 / np.pi)
    wide = exact_distances(scene.ids, SIZE, False) <= np.rint(diameter / 8) * 10
    expected = np.where(wide & (scene.ids > 0) & (scene.labels == 1), 3, scene.labels)
    assert np.array_equal(image.targets[...], expected)
    assert np.array_equal(image.labels[...], scene.labels), "the classes stay what they are"
    assert np.array_equal(image.instances["cell"][...], scene.ids)
    assert (expected[:, 10:16, 19] == 2).all(), "an organelle at the edge is no border"
    assert list(found.output_counts) == np.bincount(expected.ravel(), minlength=4).tolist()
    assert found.outputs.borders == [(3, 1)]


def test_labels_are_made_of_objects_where_there_are_two_classes(tmp_path):
    scene = Scene()
    target = ObjectTarget(name="cell", of=["cell"])
    found = scene.prepared(tmp_path, labels=False, classes=["cell", "outside"], objects=[target])
    assert np.array_equal(found.images[0].labels[...], scene.ids == 0)


def test_slabs_change_nothing(tmp_path, monkeypatch):
    whole = Scene().prepared(tmp_path)
    monkeypatch.setattr(sampling, "_SLAB_VOXELS", 1)
    for module in (sampling, prepare_module):
        monkeypatch.setattr(module, "slab_chunks", lambda shape: (1, 8, 16))
    (tmp_path / "b").mkdir()
    cut = Scene().prepared(tmp_path / "b")
    assert np.array_equal(whole.images[0].targets[...], cut.images[0].targets[...])
    assert whole.output_counts == cut.output_counts


def test_networks_with_depth_learn_borders_between_slices_if_these_are_near(tmp_path):
    scene = Scene()
    scene.ids = np.zeros((6, 30, 40), np.uint32)
    scene.ids[:3, 4:26, 4:36], scene.ids[3:, 4:26, 4:36] = 5, 9
    scene.labels = (scene.ids > 0).astype(np.uint8)
    scene.image = np.random.default_rng(0).integers(0, 255, scene.ids.shape).astype(np.uint8)
    for size, sees_depth, expected in (
        ((10.0,) * 3, True, 3),
        ((10.0,) * 3, False, 1),
        ((80.0, 10, 10), True, 1),
    ):
        found = scene.prepared(tmp_path, voxel_size_nm=size, sees_depth=sees_depth)
        assert (found.images[0].targets[2:4, 12:18, 14:26] == expected).all()
        assert (found.images[0].targets[:, 4, 4:36] == 3).all()


def test_other_objects_are_other_data(tmp_path):
    scene = Scene()
    first = scene.prepared(tmp_path)
    wider = scene.prepared(tmp_path, objects=[CELL.model_copy(update={"border_nm": 40.0})])
    scene.ids[scene.ids == 9] = 8
    renumbered = scene.prepared(tmp_path)
    assert len({first.checksum, wider.checksum, renumbered.checksum}) == 3


def test_an_object_outside_of_its_classes_is_an_error(tmp_path):
    scene = Scene()
    scene.labels[1, 20, 30] = 0
    message = r"ids\.tif: object 9 contains a voxel of class 0 \(at z, y, x = \(1, 20, 30\)"
    with pytest.raises(InputError, match=message):
        scene.prepared(tmp_path)


def test_negative_numbers_are_an_error(tmp_path):
    scene = Scene()
    scene.ids = scene.ids.astype(np.int32)
    scene.ids[0, 10, 10] = -3
    with pytest.raises(InputError, match="holds the number -3; objects have positive numbers"):
        scene.prepared(tmp_path)


def test_an_object_in_two_places_is_doubted(tmp_path, caplog):
    scene = Scene()
    scene.ids[:, 4:10, 4:10] = 5
    scene.ids[:, 10:20, 4:20] = 0
    with caplog.at_level(logging.WARNING):
        scene.prepared(tmp_path)
    assert "1 of 2 objects consist of pieces that don't touch (object 5 of 2)" in caplog.text


def test_large_images_arent_checked_for_pieces_and_that_is_said(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(objects, "CHECKED_VOXELS", 10)
    with caplog.at_level(logging.INFO):
        Scene().prepared(tmp_path)
    assert "too large to check whether each object is in one piece" in caplog.text


def test_ignored_voxels_stay_ignored(tmp_path):
    scene = Scene()
    scene.labels[:, 4:8, 18:22] = 200
    found = scene.prepared(tmp_path, ignore_label=200)
    assert (found.images[0].targets[:, 4:8, 18:22] == 255).all()
    assert object_targets.IGNORE == 255
