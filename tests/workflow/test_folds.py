"""A search with cross-validation (``data.folds``): what runs, what is made, and what reruns what."""

import csv
import json
import subprocess

import numpy as np
import pytest
import torch
import yaml

from genenet.core.geometry import Box
from genenet.ensembles.ensemble import load_ensemble
from genenet.ensembles.scoring import evaluate_ensemble
from genenet.genes.genome import read_genome
from genenet.genes.plan import plan
from genenet.networks.predictor import Predictor
from genenet.networks.weights import load_network
from genenet.training.prepared import open_prepared
from genenet.training.probabilities import open_probabilities
from genenet.volumes.base import ArrayVolume
from tests.support.runs import genenet
from tests.support.search import CONFIGS, Search

pytestmark = pytest.mark.xdist_group("folds")
RUNS = ("r0/000", "r0/001")


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """The tiny search with two genomes in two folds of one phantom, without its baseline, and with one control."""
    search = Search(tmp_path_factory.mktemp("folds"))
    values = yaml.safe_load((CONFIGS / "tiny.yaml").read_text())
    del values["baselines"]
    values["data"] |= {"validation": [], "folds": 2, "normalisation": "image"}
    values["search"]["n_genomes"] = 2
    values["segmentation"]["jobs"] = 1
    values["ensemble"] = {"max_size": 2, "size": 2}
    values["controls"] = {"seeds": 2}
    search.add("folds.yaml", yaml.safe_dump(values))
    search.before = search.planned()
    search.output = search.snakemake()
    return search


def read(searched, name):
    return json.loads((searched.results / name).read_text())


def test_each_genome_and_the_control_are_trained_in_each_fold(searched):
    expected = {"prepare": 3, "prepare_fold": 4, "generate": 2, "train": 6, "join": 3, "select": 1, "pick": 1}
    assert {rule: searched.before[rule] for rule in expected} == expected


def predicted(searched, run, fold, image):
    """The probabilities that the network of a fold gives an image of its validation."""
    genome = read_genome(searched.results / f"genomes/{run}.json")
    weights = searched.results / f"runs/{run}/folds/{fold}/model.safetensors"
    network = load_network(genome, plan(genome.net, 7), weights)
    loaded, volume = load_ensemble(searched.results / "ensemble"), ArrayVolume(image.image[...])
    rule = loaded.normalisation.of(image.statistics)
    return Predictor([network], torch.device("cpu")).probabilities(volume, rule, Box.of_shape(volume.shape))


@pytest.mark.parametrize("run", RUNS)
def test_joined_probabilities_are_those_of_the_network_that_didnt_learn_from_the_image(searched, run):
    validation = open_prepared(searched.results / "data/validation.zarr.zip")
    train = [open_prepared(searched.results / f"data/folds/{fold}/train.zarr.zip") for fold in (0, 1)]
    assert [image.name for image in validation.images] == [train[1].images[0].name, train[0].images[0].name]
    with open_probabilities(searched.results / f"runs/{run}/validation.zarr.zip") as stored:
        for fold, (array, image) in enumerate(zip(stored.arrays, validation.images, strict=True)):
            with open_probabilities(searched.results / f"runs/{run}/folds/{fold}/validation.zarr.zip") as own:
                np.testing.assert_array_equal(array[...], own.arrays[0][...])
            mine = predicted(searched, run, fold, image)
            other = predicted(searched, run, 1 - fold, image)
            levels = array[...].astype(np.float32) / 255
            assert np.abs(levels - mine).max() < 0.51 / 255
            assert np.abs(levels - other).max() > 0.01


def test_the_ensemble_has_the_networks_of_all_folds(searched):
    ensemble = read(searched, "ensemble/ensemble.json")
    with (searched.results / "ranking.csv").open() as file:
        ranked = [row["run"] for row in csv.DictReader(file)]
    members = [(member["run"], member["weight"]) for member in ensemble["members"]]
    assert members == [(f"{run}/folds/{fold}", 0.5) for run in ranked for fold in (0, 1)]
    assert ensemble["validation"]["n_voxels"] == 2 * 128 * 128
    data, device = searched.results / "data/test.zarr.zip", torch.device("cpu")
    found = evaluate_ensemble(searched.results / "ensemble", data, device)
    assert read(searched, "test_scores.json")["confusion"] == found.confusion


def test_control_report_and_summary_know_the_folds(searched):
    control = read(searched, "controls/best.json")
    assert [each["status"] for each in control["trainings"]] == ["ok", "ok"]
    assert control["validation"]["n_voxels"] == 2 * 128 * 128
    assert control["test"]["n_voxels"] == 128 * 128
    page = (searched.results / "report.html").read_text()
    assert "Cross-validation with 2 folds: each part" in page
    assert "The chosen ensemble has 2\nmembers of 2 networks each, one of each fold" in page
    assert "ensemble of 4 networks (2 genomes, 2 folds): validation ARI" in searched.output


def test_only_what_a_setting_concerns_runs_again(searched):
    assert searched.planned() == {}
    planned = searched.planned("ensemble: {size: 1}")
    assert planned["select"] == planned["segment"] == 1
    assert not planned.keys() & {"train", "join", "prepare", "prepare_fold"}
    planned = searched.planned("search: {n_genomes: 3}")
    # the best network may be another one then, so the control is planned as well
    assert (planned["train"], planned["join"], planned["generate"]) == (2 + 2, 1 + 1, 1)
    planned = searched.planned("ensemble: {refit: true}")
    assert planned["refit"] == 2
    assert not planned.keys() & {"train", "join", "prepare_fold"}


def test_a_fold_that_was_given_up_is_named_and_retried_alone(searched):
    scores = searched.results / "runs/r0/001/folds/1/scores.json"
    values = json.loads(scores.read_text())
    given_up = {"status": "unfinished", "reason": "the disk is full", "validation": None}
    scores.write_text(json.dumps({**values, **given_up}))
    searched.snakemake("results/ranking.csv")
    with (searched.results / "ranking.csv").open() as file:
        rows = {row["run"]: row for row in csv.DictReader(file)}
    assert (rows["r0/000"]["status"], rows["r0/001"]["status"]) == ("ok", "unfinished")
    assert rows["r0/001"]["reason"] == "fold 1 unfinished: the disk is full"
    runs = [member["run"] for member in read(searched, "ensemble/ensemble.json")["members"]]
    assert runs == ["r0/000/folds/0", "r0/000/folds/1"]
    done = subprocess.run(
        genenet("retry", "results"), cwd=searched.folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[0] == "r0/001/folds/1: unfinished: the disk is full"
    planned = searched.planned()
    assert (planned["train"], planned["join"], planned["select"]) == (1 + 2, 1 + 1, 1)  # two of the control
    searched.snakemake()
    assert searched.planned() == {}
    assert len(read(searched, "ensemble/ensemble.json")["members"]) == 4
