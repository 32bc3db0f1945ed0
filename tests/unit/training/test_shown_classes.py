"""Which classes the labels of a split must show, and what is said of those that they don't show."""

import logging

import numpy as np
import pytest

from genenet.core.errors import InputError
from genenet.training.prepare import prepare
from genenet.training.prepared import open_prepared
from tests.unit.training.test_prepare import make_settings, pair, write


def prepared(folder, split, *shown):
    """Prepare two images whose labels show the classes ``shown``, the first one only the first of them."""
    image, labels = pair((1, 40, 50), n_classes=len(shown))
    images = [
        write(folder, image, np.full_like(labels, shown[0]), "a"),
        write(folder, image, np.take(shown, labels).astype(np.uint8), "b"),
    ]
    prepare(make_settings(*images, split=split), folder / f"{split}.zarr.zip")
    return open_prepared(folder / f"{split}.zarr.zip")


def test_validation_labels_of_one_class_are_refused(tmp_path):
    message = (
        f"^{tmp_path}/a-labels.tif and {tmp_path}/b-labels.tif: the validation labels show one class only, cell, "
        "so that no ARI is defined and no network can be ranked; choose an image or region with at least two classes$"
    )
    with pytest.raises(InputError, match=message):
        prepared(tmp_path, "validation", 1)
    assert not (tmp_path / "validation.zarr.zip").exists()


def test_two_classes_in_all_images_together_are_enough(tmp_path):
    assert prepared(tmp_path, "validation", 0, 2).class_counts[1] == 0


@pytest.mark.parametrize(
    ("split", "shown", "level", "message"),
    [
        (
            "train",
            (0, 1),
            logging.WARNING,
            "class organelle has no voxel in the training labels: networks can't learn it",
        ),
        (
            "train",
            (1,),
            logging.WARNING,
            "classes background and organelle have no voxel in the training labels: networks can't learn them",
        ),
        ("validation", (1, 2), logging.INFO, "class background has no voxel in the validation labels"),
        (
            "test",
            (2,),
            logging.WARNING,
            "the test labels show one class only, organelle: their ARI isn't defined",
        ),
    ],
)
def test_classes_without_voxels_are_named(tmp_path, caplog, split, shown, level, message):
    caplog.set_level(logging.INFO)
    prepared(tmp_path, split, *shown)
    assert (level, message) in [(record.levelno, record.getMessage()) for record in caplog.records]


def test_nothing_is_said_of_labels_that_show_all_classes(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for split in ("train", "validation", "test"):
        prepared(tmp_path, split, 0, 1, 2)
    assert not caplog.records
