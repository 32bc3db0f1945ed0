"""Predicted beside real scores, and which hyperparameters matter for the scores of a search."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from genenet.config.model import check_config
from genenet.core.paths import ResultPaths
from genenet.genes.generation import draw
from genenet.genes.genome import Genome
from genenet.genes.prediction import PredictedScore
from genenet.search import importance, surrogate
from genenet.search.importance import importances, what_matters
from genenet.search.predictions import Agreement, agreement, predicted, rank_correlation
from genenet.status.status import as_json, read_status
from genenet.status.view import print_status
from genenet.training.outcome_reader import read_outcomes
from tests.support.results import Search, ok
from tests.unit.search.test_surrogate import SETTINGS, optimum

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    monkeypatch.setattr(surrogate, "N_TREES", 20)
    monkeypatch.setattr(importance, "N_SHUFFLES", 5)


def drawn(n):
    return [draw(SETTINGS.feasible_regions(), 1, index) for index in range(n)]


@pytest.mark.parametrize("levels", [3, 100])
def test_the_rank_correlation_is_that_of_scipy(levels):
    a, b = RNG.integers(0, levels, (2, 40)).tolist()
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)


def test_without_three_different_genomes_there_is_no_rank_correlation():
    assert rank_correlation([1, 2], [1, 2]) is None
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None


def search_of(folder, runs, predictions=(), metric="ari"):
    """Trainings with their scores; those of later rounds with predictions."""
    search = Search(folder, runs={run: ok(score) for run, score in runs.items()})
    search.write()
    for run, mean in predictions:
        said = PredictedScore(metric=metric, mean=mean, deviation=0.1)
        Genome(run, {"net": {"input_size": 60, "n_stacks": 1}}, prediction=said).write(
            Path(search.paths.genome(run))
        )
    return read_outcomes(search.paths, list(runs))


def test_predictions_are_compared_with_the_scores_of_their_metric(tmp_path):
    runs = {"r0/000": 0.5, "r1/000": 0.6, "r1/001": 0.7, "r1/002": 0.9, "baselines/unet2015": 0.6}
    means = [("r1/000", 0.5), ("r1/001", 0.8), ("r1/002", 0.7)]
    outcomes = search_of(tmp_path / "a", runs, means)
    assert sorted((run.run, mean) for run, mean in predicted(outcomes, "ari")) == means
    found = agreement(outcomes, "ari")
    assert found == Agreement(3, pytest.approx(0.5), pytest.approx((0.1 + 0.1 + 0.2) / 3))
    assert found.text == "rank correlation with the real scores 0.50, mean error 0.133 (3 genomes)"
    assert agreement(outcomes, "mean_iou") is None
    assert agreement([run for run in outcomes if run.run == "r0/000"], "ari") is None


def test_what_decides_the_scores_matters_most():
    genomes = drawn(60)
    found = importances(genomes, [optimum(genome) for genome in genomes])
    first, second, *others = found.importances
    assert (first.of, second.of) == ("log_learning_rate", "norm")
    assert first.mean > 0.05
    assert second.mean > 0.003
    assert all(abs(each.mean) < second.mean / 2 for each in others)
    assert found.rank_correlation > 0.8
    assert found.n == 60


def test_of_luck_nothing_matters():
    found = importances(drawn(60), RNG.normal(0.8, 0.02, 60).tolist())
    assert abs(found.rank_correlation) < 0.4
    assert found.importances[0].mean < 0.004


def test_few_or_equal_scores_say_nothing(tmp_path):
    few = {f"r0/{index:03d}": 0.5 for index in range(19)}
    assert what_matters(search_of(tmp_path / "few", few), "ari") is None
    equal = {f"r0/{index:03d}": 0.5 for index in range(20)}
    assert what_matters(search_of(tmp_path / "equal", equal), "ari") is None


def test_baselines_do_not_count_and_a_lost_genome_is_no_crash(tmp_path):
    scores = {f"r0/{index:03d}": float(RNG.random()) for index in range(20)}
    outcomes = search_of(tmp_path, {**scores, "baselines/unet2015": 0.5})
    assert what_matters(outcomes, "ari").n == 20
    Path(ResultPaths(tmp_path / "results").genome("r0/003")).unlink()
    assert what_matters(outcomes, "ari") is None
    assert what_matters([replace(run, run="baselines/unet2015") for run in outcomes], "ari") is None


def test_status_compares_them(tmp_path, capsys):
    """Only in a search by a surrogate model: in others no genome has a prediction, and none is looked for."""
    runs = {**{f"r0/{index:03d}": 0.5 for index in range(3)}, "r1/000": 0.6, "r1/001": 0.7, "r1/002": 0.9}
    search_of(tmp_path, runs, [("r1/000", 0.5), ("r1/001", 0.8), ("r1/002", 0.7)])
    phantom = {"phantom": {"shape": [1, 64, 64], "seed": 1}}
    images = {"train": [phantom], "validation": [phantom]}
    values = {
        "results": str(tmp_path / "results"),
        "data": {"classes": ["a", "b"], "voxel_size_nm": [1, 1, 1], **images},
        "search": {"strategy": "surrogate", "n_genomes": [3, 3]},
        "training": {"iterations": 30, "validation_interval": 10},
    }
    found = read_status(check_config(values))
    print_status(found)
    text = "rank correlation with the real scores 0.50, mean error 0.133 (3 genomes)"
    assert text in capsys.readouterr().out
    assert as_json(found)["predictions"]["n"] == 3
    evolved = read_status(check_config({**values, "search": {"strategy": "evolution", "n_genomes": [3, 3]}}))
    assert as_json(evolved)["predictions"] is None
