"""Blocks of prepared images: those of files that folds cut are the blocks of the uncut files."""

from types import SimpleNamespace

import numpy as np
import pytest

from genenet.config.folds import FoldPlan
from genenet.core.geometry import Box
from genenet.ensembles.intervals import blocks_of, parts_of
from genenet.metrics.intervals import ImagePart
from genenet.training.prepare import prepare
from genenet.training.prepared import open_prepared
from tests.unit.training.test_prepare import make_settings, pair, write


def counted(prepared):
    """The tables of the blocks, of predictions that are a function of the voxels."""
    blocks = blocks_of(prepared)
    for index, image in enumerate(prepared.images):
        for z in range(image.labels.shape[0]):
            blocks.add(index, z, image.labels[z : z + 1], image.image[z : z + 1] % 3)
    return blocks


def test_folds_by_region_have_the_blocks_of_the_uncut_images(tmp_path):
    """One image is cut along z, the region of the other one along x."""
    first, second = (pair(shape, seed) for seed, shape in enumerate([(7, 40, 48), (1, 40, 90)]))
    region = (None, None, (10, 90))
    images = [write(tmp_path, *first, "a"), write(tmp_path, *second, "b", region=region)]
    prepare(make_settings(*images), tmp_path / "uncut.zarr.zip")
    plan = FoldPlan(n=5, by="region")
    settings = make_settings(*images, split="validation", folds=plan, smallest_input_voxels=8)
    prepare(settings, tmp_path / "folds.zarr.zip")
    uncut, cut = (open_prepared(tmp_path / f"{name}.zarr.zip") for name in ("uncut", "folds"))
    assert (len(uncut.images), len(cut.images)) == (2, 10)
    expected, found = counted(uncut), counted(cut)
    assert len(expected.stacked()) == 2 * 2 + 2 * 3
    assert found.block == expected.block
    assert np.array_equal(found.stacked(), expected.stacked())


@pytest.mark.parametrize("n", [1, 3])
def test_whole_images_of_one_name_stay_apart(n):
    image = SimpleNamespace(name="a.tif", volume=SimpleNamespace(shape=(1, 50, 60)))
    parts = parts_of(SimpleNamespace(images=[image] * n))
    assert parts == [ImagePart(index, Box.of_shape((1, 50, 60))) for index in range(n)]


def test_regions_are_in_the_voxels_of_a_file_that_was_resampled():
    """Every other voxel of a file's y and x is kept."""
    regions = {
        "a.tif[4:6, 100:200, :]": (2, 50, 80),
        "a.tif[6:7, 200:300, :]": (1, 50, 80),
        "b.tif": (1, 9, 9),
    }
    images = [
        SimpleNamespace(name=name, volume=SimpleNamespace(shape=shape)) for name, shape in regions.items()
    ]
    assert parts_of(SimpleNamespace(images=images)) == [
        ImagePart(0, Box((0, 0, 0), (2, 50, 80))),
        ImagePart(0, Box((2, 50, 0), (3, 100, 80))),
        ImagePart(1, Box((0, 0, 0), (1, 9, 9))),
    ]
