"""Scores on prepared images are those of the segmentation, also where norms need statistics of the volume."""

import shutil

import numpy as np
import pytest
import tifffile
import torch
from sklearn.metrics import adjusted_rand_score

from genenet.core.paths import ResultPaths
from genenet.ensembles.scoring import evaluate_ensemble, evaluate_means
from tests.support import runs
from tests.support.ensembles import arrays, job, write_ensemble

CPU = torch.device("cpu")
RUNS = ["r0/000", "r0/001"]


@pytest.fixture
def search(tmp_path):
    """Results of two trainings, their ensemble, and test images."""
    paths = ResultPaths(tmp_path)
    write_ensemble(tmp_path / "ensemble", n_stacks=(1, 0), net={"norm": "instance", "n_convkernels": 4})
    for index, run in enumerate(RUNS):
        member = tmp_path / f"ensemble/members/{index:02d}"
        for name, place in (
            ("genome.json", paths.genome(run)),
            ("model.safetensors", paths.run(run).weights),
        ):
            (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(member / name, tmp_path / place)
    runs.write_split(tmp_path, "test", (2, 70, 90), 4, classes=["background", "cell", "organelle"])
    return paths


def test_scores_are_those_of_the_segmentation(search, tmp_path):
    job(tmp_path, image="test.tif").run()
    _, segmented = arrays(tmp_path / "a.ome.zarr")
    labels = tifffile.imread(tmp_path / "test_labels.tif")
    expected = adjusted_rand_score(labels.ravel(), segmented.ravel())
    of_ensemble = evaluate_ensemble(tmp_path / "ensemble", tmp_path / "test.zarr.zip", CPU)
    means = {"both": dict.fromkeys(RUNS, 0.5), "first": {RUNS[0]: 1.0}, "second": {RUNS[1]: 1.0}}
    found = evaluate_means(search, means, tmp_path / "ensemble", tmp_path / "test.zarr.zip", CPU)
    assert len(np.unique(segmented)) > 1
    assert of_ensemble.ari == pytest.approx(expected, abs=1e-3)
    assert found["both"].confusion == of_ensemble.confusion
    assert found["first"].confusion != found["second"].confusion
