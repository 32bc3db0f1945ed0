"""The metric of the selection: which networks come first, how many are chosen, and what the files say."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.random import PCG64, Generator
from sklearn.metrics import jaccard_score

from genenet.config.ensemble import EnsembleSettings
from genenet.config.selection_metrics import SELECTION_METRICS
from genenet.config.settings import ImageFiles, PrepareSettings, SelectSettings
from genenet.core.atomic_files import read_csv
from genenet.core.outputs import Outputs
from genenet.core.paths import ResultPaths
from genenet.ensembles import claims
from genenet.ensembles.curve import Point, best_size
from genenet.ensembles.description import read_description
from genenet.ensembles.ranking import read_runs
from genenet.ensembles.select import select
from genenet.ensembles.selection import Sample, greedy
from genenet.genes.genome import Genome
from genenet.metrics.ambiguity import Decomposition
from genenet.metrics.contingency import Contingency, scores
from genenet.training.prepare import prepare
from genenet.training.prepared import open_prepared
from genenet.training.probabilities import write_probabilities

CLASSES = ["ground", "cell", "granule"]


def truth():
    """Mostly ground, a fifth cell, 2 % granules."""
    labels = np.zeros((1, 50, 50), np.uint8)
    labels[:, :10] = 1
    labels[:, 20:25, :10] = 2
    return labels


def without_granules(labels):
    """All right, but for the granules, which it takes for ground."""
    return np.where(labels == 2, 0, labels)


def with_granules(labels):
    """Finds each granule, and takes much of the ground for cell."""
    found = labels.copy()
    found[:, 40:] = 1
    return found


def levels_of(found, level=255):
    """Stored probabilities (C, Z, Y, X) of a network that is sure."""
    return np.where(found == np.arange(3)[:, None, None, None], np.uint8(level), np.uint8(0))


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A search of two networks: r0/000 has the higher ARI, r0/001 the higher mean IoU."""
    paths = ResultPaths(tmp_path_factory.mktemp("searched") / "results")
    labels = truth()
    write_images(paths, labels)
    checksum = open_prepared(Path(paths.data("validation"))).checksum
    for index, predict in enumerate((without_granules, with_granules)):
        run, genome = f"r0/{index:03d}", Genome(f"r0_{index:03d}", {"net": {"n_convkernels": 4 + index}})
        genome.write(Path(paths.genome(run)))
        files = paths.run(run)
        files.folder.mkdir(parents=True)
        files.weights.write_bytes(b"")
        levels = levels_of(predict(labels))
        write_probabilities(files.validation, checksum, Outputs(CLASSES), [(labels.shape, [(0, levels)])])
        measured = scores(counts(predict))
        values = {"status": "ok", "name": genome.name, "genome": genome.id, "validation": measured}
        files.scores.write_text(json.dumps({**values, "seconds": 1.0, "iterations": 10, "n_parameters": 9}))
    return paths


def write_images(paths, labels):
    folder = Path(paths.data("x")).parent
    folder.mkdir(parents=True)
    image = np.random.default_rng(0).integers(0, 255, labels.shape).astype(np.uint8)
    for name, data in (("image", image), ("labels", labels)):
        tifffile.imwrite(folder / f"{name}.tif", data)
    files = ImageFiles(image=[folder / "image.tif"], labels=[folder / "labels.tif"], region=None)
    settings = PrepareSettings(images=[files], classes=CLASSES, ignore_label=None, voxel_size_nm=(40, 10, 10))
    for split in ("train", "validation"):
        prepare(settings, Path(paths.data(split)))


@pytest.mark.parametrize(("metric", "best"), [("ari", 0), ("mean_iou", 1), ("both", 0)])
def test_ranking_ensemble_and_claims_follow_the_metric(searched, metric, best, caplog):
    settings = EnsembleSettings(metric=metric, size=1)
    caplog.set_level("INFO")
    select(searched, ["r0/000", "r0/001"], SelectSettings(normalisation="volume", ensemble=settings))
    rows = read_csv(Path(searched.ranking))
    assert [row["run"] for row in rows] == [f"r0/{index:03d}" for index in (best, 1 - best)]
    ensemble = read_description(Path(searched.ensemble) / "ensemble.json")
    assert ensemble.metric == metric
    said = "on the validation images, granule is never predicted, although the labels contain it"
    assert (said in caplog.text) is (best == 0)
    assert [member.run for member in ensemble.members] == [f"r0/{best:03d}"]
    assert ensemble.blocks.tables.sum(axis=0).tolist() == ensemble.validation.confusion
    (lead,) = ensemble.intervals  # over its only member
    assert (lead.low, lead.high, lead.n_blocks) == (0, 0, len(ensemble.blocks.counts))
    none = f"No difference is shown between the ensemble and the best network (r0/{best:03d}): their "
    assert none in caplog.text
    assert "on the validation images: ARI" in caplog.text
    (last,) = [row for row in read_csv(Path(searched.anytime)) if row["n_trained"] == "2"]
    assert float(last["best_ari"]) == float(rows[0]["validation_ari"])
    assert float(last["best_mean_iou"]) == float(rows[0]["mean_iou"])
    assert float(last["ensemble_mean_iou"]) == pytest.approx(ensemble.validation.mean_iou)

    runs = read_runs(searched, {f"r0/{best:03d}"})
    baseline = replace(runs[1], run="baselines/unet2015")
    _, single, unet = claims.contenders(ensemble, [*runs, baseline])
    score, other = (run.score(metric) for run in runs)
    assert (single.score, single.lead.value) == (score, 0)
    assert unet.lead.value == pytest.approx(score - other)
    (beaten,) = claims.beaten(runs, [unet], metric)
    assert (beaten.n, beaten.lead) == (1, pytest.approx(score - other))


def counts(predict):
    """The contingency of a network's prediction."""
    contingency = Contingency.empty(3)
    contingency.add(truth(), predict(truth()))
    return contingency


def test_the_size_is_where_the_metric_is_highest():
    curve = [Point(counts(predict), Decomposition()) for predict in (without_granules, with_granules)]
    sizes = {name: best_size(curve, "auto", name) for name in SELECTION_METRICS}
    assert sizes == {"ari": 1, "mean_iou": 2, "both": 1}
    assert best_size(curve, 2, "ari") == 2


def test_greedy_adds_the_network_that_raises_the_metric():
    labels = truth()
    networks = np.stack([levels_of(without_granules(labels), 180), levels_of(with_granules(labels))])
    voxels = Sample(labels.ravel(), networks.reshape(2, 3, -1))
    found = with_granules(labels).ravel()
    expected = jaccard_score(labels.ravel(), found, average="macro")
    assert voxels.score(networks[1].reshape(3, -1).astype(np.int32), "mean_iou") == pytest.approx(expected)
    rng = Generator(PCG64(0))
    assert greedy(voxels, 2, rng) == {0: 1}  # it starts with the first, and the second costs ARI
    assert 1 in greedy(voxels, 2, rng, "mean_iou")
