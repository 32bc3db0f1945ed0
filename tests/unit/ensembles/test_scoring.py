"""Scores on prepared images are those of the segmentation, also where norms need statistics of the volume."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from sklearn.metrics import adjusted_rand_score

from genenet.core.paths import ResultPaths
from genenet.ensembles.description import EnsembleScores, StrategiesFile, StrategyEntry, WeightedRun
from genenet.ensembles.ranking import write_ranking
from genenet.ensembles.scoring import evaluate_ensemble, evaluate_means, evaluate_others
from genenet.training.outcome_reader import read_outcomes
from genenet.training.scores import Scores
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
    for each in (of_ensemble, *found.values()):
        assert each.blocks.tables.sum(axis=0).tolist() == each.confusion
    assert found["both"].blocks == of_ensemble.blocks


def test_the_best_network_and_every_seed_of_a_baseline_are_scored_beside_the_strategies(search, tmp_path):
    """Each by its own name, from the ranking; a strategy's ensemble keeps no counts."""
    copied = {"baselines/unet2015": RUNS[1], "baselines/unet2015_2": RUNS[0]}
    for name, run in copied.items():
        for place in (search.genome, lambda name: str(search.run(name).weights)):
            (tmp_path / place(name)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(place(run), place(name))
    aris = {RUNS[0]: 0.5, RUNS[1]: 0.7, "baselines/unet2015": 0.6, "baselines/unet2015_2": 0.4}
    for run, ari in aris.items():
        facts = {"name": run, "genome": "0" * 12, "status": "ok", "validation": {"ari": ari}}
        Scores.model_validate(facts).write(search.run(run).scores)
        search.run(run).history.write_text("iteration,training_loss,learning_rate,validation_ari,seconds\n")
    write_ranking(Path(search.ranking), read_outcomes(search, list(aris)))
    members = [WeightedRun(run=run, weight=0.5) for run in RUNS]
    entries = [
        StrategyEntry(strategy=name, chosen=name == "best_n", members=members, validation=EnsembleScores())
        for name in ("best_n", "greedy")
    ]
    StrategiesFile(strategies=entries).write(Path(search.strategies))
    found = evaluate_others(search, tmp_path / "ensemble", tmp_path / "test.zarr.zip", CPU)
    assert list(found.strategies) == ["greedy"]
    assert list(found.networks) == [RUNS[1], "baselines/unet2015", "baselines/unet2015_2"]
    assert found.networks["baselines/unet2015"] == found.networks[RUNS[1]]  # the same weights
    assert found.networks["baselines/unet2015_2"] != found.networks[RUNS[1]]
    ensemble = evaluate_ensemble(tmp_path / "ensemble", tmp_path / "test.zarr.zip", CPU)
    assert found.strategies["greedy"].confusion == ensemble.confusion


def test_without_a_ranking_no_network_is_scored(search, tmp_path):
    found = evaluate_others(search, tmp_path / "ensemble", tmp_path / "test.zarr.zip", CPU)
    assert (found.strategies, found.networks) == ({}, {})
