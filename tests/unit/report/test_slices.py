"""What the report's viewer shows: small enough for any volume, and true to its voxels."""

import base64

import imagecodecs
import numpy as np
import pytest

from genenet.core.geometry import Box
from genenet.report import slices
from genenet.volumes.base import ArrayVolume
from genenet.volumes.label_images import class_labels
from genenet.volumes.palette import class_colours
from tests.support.stores import write_store


@pytest.fixture
def made(tmp_path):
    """A volume of 70 slices, its labels, its segmentation."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60_000, (70, 40, 50), np.uint16)
    classes = rng.integers(0, 3, image.shape, np.uint8)
    labels = classes.copy()
    labels[:, :10] = (labels[:, :10] + 1) % 3
    labels[:, -1] = 255  # ignored
    store = write_store(tmp_path / "s.ome.zarr", classes, rng.integers(0, 255, (1, *image.shape), np.uint8))
    return ArrayVolume(image, "image"), ArrayVolume(labels, "labels"), store


def decoded(uri):
    kind, data = uri.split(";base64,")
    decode = {"data:image/png": imagecodecs.png_decode, "data:image/jpeg": imagecodecs.jpeg8_decode}[kind]
    return np.asarray(decode(base64.b64decode(data)))


def test_layers_are_true_to_the_voxels(made):
    image, labels, store = made
    shown = slices.viewer(image, labels, store, None, 10**9)
    assert (shown["width"], shown["height"], shown["n"]) == (50, 40, 70)
    assert len(shown["z"]) == slices.MOST_SLICES
    assert (shown["z"][0], shown["z"][-1]) == (0, 69)
    index = 20
    z = shown["z"][index]
    picture = {name: decoded(uris[index]) for name, uris in shown["layers"].items()}
    box = Box.of_shape((1, 40, 50), (z, 0, 0))
    truth, found = labels.read(box)[0], np.asarray(class_labels(store, None)[z])
    colours = np.array(class_colours(3))
    assert (picture["segmentation"][..., :3][found > 0] == colours[found[found > 0]]).all()
    assert (picture["segmentation"][..., 3] == 255 * (found > 0)).all()
    assert ((picture["errors"][..., 3] > 0) == ((truth != found) & (truth != 255))).all()
    assert (picture["labels"][-1, :, 3] == 255).all()  # ignored voxels are grey
    assert np.corrcoef(picture["image"].ravel(), image.read(box)[0].ravel())[0, 1] > 0.9


def test_without_labels_there_are_no_errors(made):
    image, _, store = made
    assert set(slices.viewer(image, None, store, None, 10**9)["layers"]) == {
        "image", "segmentation", "uncertainty",
    }  # fmt: skip


def test_pictures_shrink_until_they_fit(made, monkeypatch):
    image, labels, store = made
    whole = slices.viewer(image, labels, store, None, 10**9)
    n_bytes = sum(len(uri) for uris in whole["layers"].values() for uri in uris)
    small = slices.viewer(image, labels, store, None, n_bytes // 2)
    assert (small["width"], small["height"]) == (25, 20)
    assert sum(len(uri) for uris in small["layers"].values() for uri in uris) <= n_bytes // 2
    monkeypatch.setattr(slices, "MOST_PIXELS", 10)
    assert slices.viewer(image, labels, store, None, 10**9)["width"] == 10


def test_of_large_slices_few_are_read_and_only_their_middle(monkeypatch):
    window, factor, numbers = slices._sampling((1000, 50_000, 60_000))
    assert window.shape == (1, 4096, 4096)
    assert window.start == (0, 22_952, 27_952)
    assert factor == 7
    assert len(numbers) * 4096**2 <= slices.MOST_VOXELS
    assert slices._sampling((1, 30, 20))[2] == [0]


def test_means_of_cells_at_the_ends():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert slices._mean(values, 2).tolist() == [[2.0, 3.5]]
