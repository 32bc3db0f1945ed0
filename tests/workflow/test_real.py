"""The whole workflow on real electron microscopy, with a budget of a minute each."""

import json

import numpy as np
import pytest
import tifffile

from tests.support.required import require_data
from tests.support.search import Search


@pytest.fixture(autouse=True)
def data():
    require_data()


def scores(search, name):
    return json.loads((search.results / name).read_text())


def test_platelet(tmp_path):
    search = Search(tmp_path, "platelet.yaml", "quick.yaml")
    search.snakemake()
    ensemble = scores(search, "ensemble/ensemble.json")
    # one class everywhere scores 0; a network that only tells cells from background about 0.5
    assert ensemble["validation"]["ari"] > 0.4
    assert ensemble["baselines"]["unet2015"] > 0
    assert tifffile.imread(search.results / "segmentations/slice.tif").shape == (800, 800)


def test_flyem(tmp_path):
    search = Search(tmp_path, "flyem.yaml", "quick.yaml")
    search.snakemake()
    test = scores(search, "test_scores.json")
    assert test["ari"] > 0.3
    # the test images, scored in memory, are the volume that was segmented in blocks by two jobs
    segmented = scores(search, "segmentations/test_crop/scores.json")
    assert segmented["n_voxels"] == test["n_voxels"] == 48 * 160 * 160
    assert segmented["ari"] == pytest.approx(test["ari"], abs=1e-3)
    labels = tifffile.imread(search.results / "segmentations/test_crop.tif")
    truth = tifffile.imread(require_data() / "flyem/flyem_crop_test_boundary.tif")
    assert np.mean(labels == truth) == pytest.approx(segmented["accuracy"])
