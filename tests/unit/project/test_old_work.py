"""What version 0.1.0 has made stays usable: its config, ensemble, segmentation and half-finished training.

``tests/data/version_0.1`` is the results folder of that version. Each test works on a copy. What a later version
can't continue with, it must refuse, or begin again, with one line that says so.
"""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from genenet.config.model import check_config
from genenet.config.settings import ImageFiles, SegmentSettings
from genenet.config.stages import settings_json
from genenet.core.errors import InputError
from genenet.core.paths import ResultPaths
from genenet.ensembles.ensemble import load_ensemble
from genenet.genes.genome import read_genome
from tests.support.ensembles import CPU, arrays
from tests.support.runs import genenet, run

OLD = Path(__file__).parents[2] / "data/version_0.1"
IMAGE = "results/phantoms/2x96x96-seed3/image.tif"
IMAGE_TIME = 1795984933960675963  # of modification, in ns, when it was segmented: the store's fingerprint depends on it
STORE = "results/segmentations/demo.ome.zarr"
STAGES = ("train", "select", "segment_demo", "evaluate_demo", "report")


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A folder with the old config.yaml and results/, and settings as today's workflow would write them."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(OLD / "search", "results")
    for path in Path("results").rglob("*"):  # as on the disk where it was made: inputs are older than results
        is_input = path.parts[1] in ("settings", "phantoms", "data", "genomes")
        time = IMAGE_TIME + (0 if is_input else 60 * 10**9)
        os.utime(path, ns=(time, time))
    values = today()
    Path("config.yaml").write_text(yaml.safe_dump(values))
    config = check_config(values)
    for stage in STAGES:
        Path("settings").mkdir(exist_ok=True)
        Path(f"settings/{stage}.json").write_text(settings_json(config, stage))
    return tmp_path


def today():
    """The old config.yaml as it has to be written today."""
    values = yaml.safe_load((OLD / "config.yaml").read_text())
    refused = refusal(values)
    if refused:  # a key that was renamed, if the message names it
        assert "\n" not in refused
        assert "batch_norm" in refused
        region = values["search"]["regions"]["net"]
        assert region.pop("batch_norm") == [False, True]
        region["norm"] = ["none", "batch"]
    return values


def refusal(values):
    """Return the message by which a config is refused; nothing if it isn't."""
    try:
        check_config(values)
    except InputError as error:
        return str(error)
    return ""


def says(*arguments, **options):
    """Run genenet; it must succeed. Return what it printed."""
    done = run(genenet(*arguments), **options)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def segment(out, *more):
    return says("segment", "--ensemble", "results/ensemble", "--out", out, *more)


def label_files():
    """The time of each file that holds labels of the old store, by its name."""
    return {path: path.stat().st_mtime_ns for path in Path(STORE, "labels/segmentation/0/c").rglob("*/*/*")}


def agree(found, old):
    """Whether labels are the old ones, but for the few voxels that another processor rounds another way."""
    return found.shape == old.shape and np.mean(found == old) > 0.999


def test_the_config_is_read_or_refused_with_one_line():
    config = check_config(today())
    assert config.search.n_genomes == 2
    assert list(config.data.volumes) == ["demo"]
    assert config.segmentation.block == (1, 64, 64)


@pytest.mark.parametrize("name", ["r0/000", "r0/001", "baselines/unet2015"])
def test_the_genomes_are_read(name):
    genome = read_genome(ResultPaths(OLD / "search").genome(name))
    assert genome.net.value("n_stacks") >= 1


@pytest.mark.process
def test_the_ensemble_segments_the_image_as_it_did(old):
    from genenet.segmentation.job import SegmentationJob

    settings = SegmentSettings.model_validate_json(Path("settings/segment_demo.json").read_text())
    ensemble = load_ensemble(Path("results/ensemble"))
    assert [len(ensemble.networks), len(ensemble.classes)] == [2, 7]
    source = ImageFiles(image=[Path(IMAGE)], labels=None, region=None)
    SegmentationJob(ensemble, source, settings.segmentation, CPU, Path("new.ome.zarr")).run()
    (channels, labels), (old_channels, old_labels) = arrays("new.ome.zarr"), arrays(STORE)
    assert len(np.unique(old_labels)) >= 4
    assert agree(labels, old_labels)
    np.testing.assert_allclose(channels.astype(float), old_channels.astype(float), atol=2)


@pytest.mark.process
def test_the_store_is_resumed(old):
    _, expected = arrays(STORE)
    before = label_files()
    lost = Path(STORE, "labels/segmentation/0/c/1/0/1")
    lost.unlink()
    assert not agree(arrays(STORE)[1], expected)
    segment(STORE, "--settings", "settings/segment_demo.json", "--receipt", "receipt.json")
    receipt = json.loads(Path("receipt.json").read_text())
    assert (receipt["written"], receipt["kept"]) == (1, len(before) - 1)
    assert agree(arrays(STORE)[1], expected)
    after = label_files()
    assert [path for path in before if after[path] != before[path]] == [lost]


@pytest.mark.process
def test_the_store_is_exported_and_scored(old):
    says("export", STORE, "--labels", "segmentation", "--tiff", "demo.tif")
    np.testing.assert_array_equal(
        tifffile.imread("demo.tif"), tifffile.imread("results/segmentations/demo.tif")
    )
    says("evaluate", "--segmentation", STORE, "--settings", "settings/evaluate_demo.json", "--out", "s.json")
    scores, old_scores = (
        json.loads(Path(name).read_text()) for name in ("s.json", "results/segmentations/demo/scores.json")
    )
    assert scores["ari"] == pytest.approx(old_scores["ari"], abs=1e-12)
    assert scores["confusion"] == old_scores["confusion"]


@pytest.mark.process
def test_the_store_is_post_processed(old):
    says("postprocess", STORE, "--objects", "mitochondrion", "--min-size", "20")
    with Path("results/segmentations/demo.objects.csv").open() as file:
        objects = list(csv.DictReader(file))
    assert {row["class"] for row in objects} == {"mitochondrion"}
    assert min(int(row["volume_voxels"]) for row in objects) >= 20


def test_the_store_is_viewed(old):
    pytest.importorskip("neuroglancer")
    from genenet.segmentation.viewing import view

    layers = [layer.name for layer in view(Path(STORE)).state.layers]
    assert layers == ["uncertainty", "segmentation"]


@pytest.mark.process
def test_status_shows_the_finished_search(old):
    found = json.loads(says("status", "config.yaml", "--json"))
    text = json.dumps(found)
    for name, ari in (("r0/000", "0.213"), ("r0/001", "0.503")):
        assert name in text
        assert ari in text
    assert "r0/001" in says("status", "config.yaml")


@pytest.mark.process
def test_the_ranking_is_made_again(old):
    with Path("results/ranking.csv").open() as file:
        expected = [(row["run"], row["validation_ari"]) for row in csv.DictReader(file)]
    Path("results/ranking.csv").unlink()
    shutil.rmtree("results/ensemble")
    says(
        *(
            "select",
            "r0:2",
            "baselines/unet2015",
            "--results",
            "results",
            "--settings",
            "settings/select.json",
        )
    )
    with Path("results/ranking.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], row["validation_ari"]) for row in rows] == expected
    members = json.loads(Path("results/ensemble/ensemble.json").read_text())["members"]
    assert [member["run"] for member in members] == ["r0/001", "r0/000"]
    segment("again.ome.zarr", IMAGE)
    assert agree(arrays("again.ome.zarr")[1], arrays(STORE)[1])


@pytest.mark.process
def test_the_report_is_written(old):
    says("report", "--results", "results", "--settings", "settings/report.json", "--out", "report.html")
    page = Path("report.html").read_text()
    assert "r0/001" in page
    assert "0.606" in page  # ARI of the demo's segmentation


@pytest.mark.process
def test_a_half_finished_training_continues_or_says_that_it_begins_again(old):
    """60 of now 80 iterations are in the checkpoint; nothing is published."""
    folder = Path("results/runs/r0/000")
    for name in ("scores.json", "history.csv", "model.safetensors", "validation.zarr.zip"):
        (folder / name).unlink()
    settings = json.loads(Path("settings/train.json").read_text())
    settings["training"]["iterations"] = 80
    Path("settings/train.json").write_text(json.dumps(settings))
    data = [f"results/data/{split}.zarr.zip" for split in ("train", "validation")]
    options = zip(("--train", "--validation"), data, strict=True)
    done = run(
        genenet(
            *("train", "--genome", "results/genomes/r0/000.json", "--settings", "settings/train.json"),
            *("--out", folder, *(part for option in options for part in option)),
        )
    )
    assert "Traceback" not in done.stderr
    if done.returncode:  # refused
        (line,) = (line for line in done.stderr.splitlines() if line.startswith("genenet: error: "))
        assert "checkpoint" in line
        return
    scores = json.loads((folder / "scores.json").read_text())
    assert (scores["status"], scores["iterations"]) == ("ok", 80)
    continued = "from iteration 60 of 80" in done.stderr
    set_aside = [line for line in done.stderr.splitlines() if "checkpoint" in line and "aside" in line]
    assert continued != bool(set_aside), done.stderr
