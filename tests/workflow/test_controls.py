"""Controls through the whole workflow: their jobs, the table of the report, and what reruns them."""

import json
import re

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score, jaccard_score

from genenet.core.geometry import Box
from genenet.core.paths import ResultPaths
from genenet.ensembles.controls import read_controls
from genenet.ensembles.ensemble import load_ensemble
from genenet.ensembles.intervals import paired_interval
from genenet.ensembles.tested import read_test_scores
from genenet.genes.genome import read_genome
from genenet.genes.plan import plan
from genenet.networks.predictor import Predictor
from genenet.networks.weights import load_network
from genenet.training.prepared import open_prepared
from genenet.training.probabilities import open_probabilities
from tests.support.results import Page
from tests.support.search import Search

pytestmark = pytest.mark.xdist_group("tiny")
SEARCH = """
results: results
data:
  classes: [background, cell, mitochondrion, alpha granule, canalicular vessel, dense granule body, dense granule core]
  voxel_size_nm: [40, 10, 10]
  train: [{phantom: {shape: [2, 128, 128], seed: 1}}]
  validation: [{phantom: {shape: [1, 96, 96], seed: 2}}]
  test: [{phantom: {shape: [1, 80, 96], seed: 4}}]
search:
  seed: 1
  n_genomes: 2
  regions: {net: {n_convkernels: [2, 4], n_stacks: 1, n_convlayers: 1, input_size: 48, log_learning_rate: -2}}
baselines:
  unet2015: {n_convkernels: 1, input_size: 188, log_learning_rate: -2}
training: {iterations: 20, batch_size: 2, threads: 1, validation_interval: 10, device: cpu}
ensemble: {size: 2}
"""
CONTROLS = "controls: {seeds: 2}"
OWN = ["controls/best_2", "controls/unet2015_2", "controls/unet2015_long"]


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    """A finished search with controls; ``before`` is what a dry run planned without and with them."""
    made = Search(tmp_path_factory.mktemp("controls"))
    made.add("search.yaml", SEARCH)
    made.before = made.planned(), made.planned(CONTROLS)
    made.add("controls.yaml", CONTROLS)
    made.snakemake()
    return made


def read(search, name):
    return json.loads((search.results / name).read_text())


def page(search):
    return Page((search.results / "report.html").read_text())


def test_the_config_says_how_many_jobs_they_are(search):
    without, with_controls = search.before
    assert not {"pick", "control", "control_baseline"} & set(without)
    more = {rule: n - without.get(rule, 0) for rule, n in with_controls.items() if n != without.get(rule, 0)}
    # settings: of the second training, the long one, the choice of the best network, and each of three controls
    assert more == {"settings": 6, "pick": 1, "control_baseline": 2, "train": 3, "control": 3}


def test_trainings_of_controls_are_not_ranked(search):
    ranking = (search.results / "ranking.csv").read_text()
    assert sorted(re.findall(r"^\d+,([\w/]+),", ranking, re.M)) == ["baselines/unet2015", "r0/000", "r0/001"]
    assert read(search, "runs/controls/unet2015_long/scores.json")["iterations"] == 2 * 20
    best = re.search(r"^\d+,(r0/00\d),", ranking, re.M)[1]
    copy, genome = (read_genome(search.results / f"genomes/{run}.json") for run in ("controls/best_2", best))
    assert copy == genome
    # the long training begins as the first one of its baseline does, so that it may keep the same weights
    runs = (best, "controls/best_2", "baselines/unet2015", "controls/unet2015_2")
    weights = [search.results / f"runs/{run}/model.safetensors" for run in runs]
    assert len({path.read_bytes() for path in weights}) == 4  # other seeds, other weights


def mean_iou(labels, found):
    classes = np.union1d(labels, found)
    return jaccard_score(labels, found, labels=classes, average=None, zero_division=0).mean()


def by_hand(labels, probabilities):
    """ARI and mean IoU of the mean of networks' probabilities, by scikit-learn."""
    found = np.sum(probabilities, axis=0).argmax(axis=0).ravel()
    return [adjusted_rand_score(labels.ravel(), found), mean_iou(labels.ravel(), found)]


def stored(search, run):
    with open_probabilities(search.results / f"runs/{run}/validation.zarr.zip") as file:
        return file.arrays[0][...].astype(np.int64)


def predicted(search, run, image, norm):
    genome = read_genome(search.results / f"genomes/{run}.json")
    network = load_network(genome, plan(genome.net, 7), search.results / f"runs/{run}/model.safetensors")
    predictor = Predictor([network.without_norms()], torch.device("cpu"))
    return predictor.probabilities(image.volume, norm, Box.of_shape(image.volume.shape))


def test_the_table_of_the_report_is_that_of_the_stored_probabilities(search):
    rule = load_ensemble(search.results / "ensemble").normalisation
    validation, test = (open_prepared(search.results / f"data/{s}.zarr.zip") for s in ("validation", "test"))
    (shown,), (tested,) = validation.images, test.images
    members = [m["run"] for m in read(search, "ensemble/ensemble.json")["members"]]
    best = members[0]
    rows = {row[0]: row[1:] for row in page(search).rows["compared"][1:]}
    networks = {
        "Ensemble of 2 networks": members,
        f"Best single network, {best}": [best],
        "U-Net 2015": ["baselines/unet2015"],
        f"{best}, ensemble of 2 seeds": [best, OWN[0]],
        "U-Net 2015, ensemble of 2 seeds": ["baselines/unet2015", OWN[1]],
        "U-Net 2015, one training of 40 iterations": [OWN[2]],
    }
    assert list(rows) == list(networks)
    seconds = {run: read(search, f"runs/{run}/scores.json")["seconds"] for run in ["r0/000", "r0/001", *OWN]}
    seconds["baselines/unet2015"] = read(search, "runs/baselines/unet2015/scores.json")["seconds"]
    whole = seconds["r0/000"] + seconds["r0/001"]
    norm = rule.of(tested.statistics)
    for title, runs in networks.items():
        on_validation = by_hand(shown.labels[...], [stored(search, run) for run in runs])
        on_test = by_hand(tested.labels[...], [predicted(search, run, tested, norm) for run in runs])
        own = sum(seconds[run] for run in runs)
        from_search = whole + sum(seconds[run] for run in runs if run in OWN)
        in_all = from_search if runs[0].startswith("r0/") else own
        *scores, own_text, in_all_text = rows[title]
        numbers = [float(text.replace("−", "-")) for text in scores]
        assert numbers[:2] == pytest.approx(on_validation, abs=0.00051), title
        assert numbers[2:] == pytest.approx(on_test, abs=0.0015), (
            title
        )  # sums in another order may break ties
        assert (own_text, in_all_text) == (f"{round(own)}", f"{round(in_all)}")


def test_the_verdict_is_about_the_test_images(search):
    paths, text = ResultPaths(search.results), page(search).text
    controls = read_controls(paths, ("best", "unet2015", "unet2015_long"))
    ensemble, wins = read_test_scores(search.results / "test_scores.json"), {}
    for metric in ("ari", "mean_iou"):
        best = max(controls, key=lambda control: control.test.metrics[metric]).test
        between = paired_interval(ensemble.blocks, [best.blocks], metric, best.without)
        wins[metric] = between.low > 0 and ensemble.metrics[metric] > best.metrics[metric]
    assert ("Variety doesn't beat the controls" in text) == (not any(wins.values()))
    assert ("Variety beats the controls:" in text) == all(wins.values())
    lead = abs(ensemble.ari - max(control.test.ari for control in controls))
    assert f"on the test images the ensemble is {lead:.3f} ARI" in text


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_first_screen_compares_with_network_baseline_and_controls_on_either_set_of_images(search, split):
    """Images of 96 x 96 and of 80 x 96 voxels have 3 x 3 blocks of at most 32 x 32."""
    shown = page(search)
    rows = [row[1] for row in shown.rows[f"leads-{split}"][1:]]
    best = read(search, "ensemble/ensemble.json")["members"][0]["run"]
    assert rows == [
        f"Best single network, {best}",
        "U-Net 2015 (baseline)",
        f"Control: {best}, ensemble of 2 seeds",
        "Control: U-Net 2015, ensemble of 2 seeds",
        "Control: U-Net 2015, one training of 40 iterations",
    ]
    assert "not known" not in str(shown.rows[f"leads-{split}"])
    assert shown.text.count("they come from only 9 blocks (fewer than 20)") == 2
    for name, has_others in (("best", True), ("unet2015", True), ("unet2015_long", False)):
        scores = read(search, f"controls/{name}.json")[split]
        assert len(scores["blocks"]["counts"]) == 9
        assert len(scores["without"]) == 2 * has_others


def test_another_ensemble_of_the_same_networks_has_the_same_controls(search):
    jobs = {"settings": 1, "select": 1, "test": 1, "report": 1, "all": 1}
    assert search.planned("ensemble: {size: 1}") == jobs
    by_iou = search.planned("ensemble: {metric: mean_iou}")
    assert by_iou == {**jobs, "settings": 2, "pick": 1, "train": 1, "control": 1}  # it may be another network


def test_another_network_may_be_the_best(search):
    """Its seeds are trained again, or only published again if it is the same; the long training continues."""
    jobs = search.planned("search: {n_genomes: 3}")
    assert {rule: jobs[rule] for rule in ("generate", "train", "pick", "control")} == {
        "generate": 1,
        "train": 3,
        "pick": 1,
        "control": 2,
    }


def test_more_seeds_train_only_the_new_ones_and_a_failed_one_is_named(search):
    """Neither the ranking nor the ensemble is made again."""
    paths = ResultPaths(search.results)
    weights = {path: path.stat().st_mtime_ns for path in search.results.glob("runs/*/*/model.safetensors")}
    kept = [search.results / name for name in ("ranking.csv", "ensemble/ensemble.json")]
    before = [path.stat().st_mtime_ns for path in kept]
    failed = {"status": "diverged", "reason": "the loss was nan"}
    facts = read(search, "runs/controls/unet2015_2/scores.json")
    paths.run("controls/unet2015_2").scores.write_text(json.dumps({**facts, **failed, "validation": None}))
    search.add("controls.yaml", "controls: {seeds: 3}")
    search.configs.pop()
    jobs = search.planned()
    assert jobs == {
        "settings": 3,
        "pick": 1,
        "control_baseline": 1,
        "train": 2,
        "control": 2,
        "report": 1,
        "all": 1,
    }
    search.snakemake()
    after = {path: path.stat().st_mtime_ns for path in search.results.glob("runs/*/*/model.safetensors")}
    assert {path.parent.name for path in after.keys() - weights.keys()} == {"best_3", "unet2015_3"}
    assert all(after[path] == time for path, time in weights.items())
    assert [path.stat().st_mtime_ns for path in kept] == before
    titles = [row[0] for row in page(search).rows["compared"]]
    assert "U-Net 2015, ensemble of 2 of 3 seedscontrols/unet2015_2 diverged: the loss was nan" in titles
    assert "controls/unet2015_2" in page(search).text.split("Failures")[-1]
