"""An ``ignore_label`` of the config has its meaning in every stage, from the labels to the scores."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from typer.testing import CliRunner

from genenet.cli.main import app
from genenet.config.model import read_config
from genenet.config.stages import settings_json
from genenet.genes.genome import Genome
from genenet.training.prepared import open_prepared
from tests.support.configs import changed
from tests.support.ensembles import job, write_ensemble
from tests.support.runs import CLASSES, GENOME, blobs

SHAPE = (2, 64, 64)
TRAINING = {"iterations": 6, "batch_size": 2, "threads": 1, "validation_interval": 3, "device": "cpu"}


def command(*words):
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.output + repr(done.exception)


def write_project(ignore_label, dtype):
    """A config.yaml with its images here; return which voxels of the labels are ignored."""
    image, labels = blobs(SHAPE, 1)
    ignored = np.random.default_rng(2).random(SHAPE) < 0.3
    tifffile.imwrite("image.tif", image, photometric="minisblack")
    tifffile.imwrite(
        "labels.tif", np.where(ignored, ignore_label, labels.astype(dtype)), photometric="minisblack"
    )
    files = {"path": "image.tif", "labels": "labels.tif"}
    data = {"classes": CLASSES, "ignore_label": ignore_label, "voxel_size_nm": [40, 10, 10]}
    data |= {"train": [files], "validation": [files], "test": [], "volumes": {"whole": files}}
    values = {**changed("training", TRAINING), "data": data}
    Path("config.yaml").write_text(yaml.safe_dump(values))
    return ignored


def scores_of(ignore_label, dtype):
    """Run the stages of a search of one genome; return the scores of the training and of a segmentation."""
    ignored = write_project(ignore_label, dtype)
    config = read_config(Path("config.yaml"))
    for stage in ("prepare_train", "prepare_validation", "train", "evaluate_whole"):
        Path(f"{stage}.json").write_text(settings_json(config, stage))
    for split in ("train", "validation"):
        command("prepare", "--settings", f"prepare_{split}.json", "--out", f"{split}.zarr.zip")
    (image,) = open_prepared(Path("train.zarr.zip")).images
    np.testing.assert_array_equal(image.labels[...] == 255, ignored)
    Genome("tiny", {"net": GENOME}).write(Path("genome.json"))
    inputs = ("--genome", "genome.json", "--train", "train.zarr.zip", "--validation", "validation.zarr.zip")
    command("train", *inputs, "--settings", "train.json", "--out", "run")
    write_ensemble(Path("ensemble"))
    job(Path()).run()
    evaluate = ("--settings", "evaluate_whole.json", "--out", "scores.json")
    command("evaluate", "--segmentation", "a.ome.zarr", *evaluate)
    trained = json.loads(Path("run/scores.json").read_text())["validation"]
    segmented = json.loads(Path("scores.json").read_text())
    assert trained["n_voxels"] == segmented["n_voxels"] == np.count_nonzero(~ignored)
    return trained, segmented


@pytest.mark.slow
def test_from_the_config_to_the_scores(tmp_path, monkeypatch):
    """Labels of int16 with -1 give bit for bit what labels of uint8 with 255 give."""
    found = []
    for ignore_label, dtype in ((-1, "int16"), (255, "uint8")):
        folder = tmp_path / dtype
        folder.mkdir()
        monkeypatch.chdir(folder)
        found.append(scores_of(ignore_label, dtype))
    assert found[0] == found[1]
