"""The whole workflow on a tiny phantom, and what reruns what."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import zarr
from sklearn.metrics import adjusted_rand_score

from genenet.config.model import check_config
from genenet.config.planned_runs import runs
from genenet.core.geometry import Box
from genenet.ensembles.ensemble import load_ensemble
from genenet.ensembles.scoring import evaluate_ensemble
from genenet.training.prepared import open_prepared
from genenet.training.probabilities import open_probabilities
from genenet.volumes.base import ArrayVolume
from tests.support.search import ROOT, Search

pytestmark = pytest.mark.xdist_group("tiny")
AFTER_SELECT = {"select": 1, "test": 1, "segment": 2, "export": 1, "evaluate": 1, "report": 1, "all": 1}
AFTER_SEGMENT = {"segment": 2, "export": 1, "evaluate": 1, "report": 1, "all": 1}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    search = Search(tmp_path_factory.mktemp("tiny"), "tiny.yaml")
    search.output = search.snakemake()
    return search


def test_the_road_leads_to_ranking_ensemble_segmentation_and_report(tiny):
    with (tiny.results / "ranking.csv").open() as file:
        ranking = list(csv.DictReader(file))
    assert [row["status"] for row in ranking] == ["ok"] * 4
    aris = [float(row["validation_ari"]) for row in ranking]
    assert aris == sorted(aris, reverse=True)
    ensemble = json.loads((tiny.results / "ensemble/ensemble.json").read_text())
    assert ensemble["dtypes"] == ["uint8"]
    best = [row["run"] for row in ranking if not row["run"].startswith("baselines/")][:2]
    assert [m["run"] for m in ensemble["members"]] == best
    labels = tifffile.imread(tiny.results / "segmentations/demo.tif")
    assert labels.shape == (3, 100, 120)
    assert (
        zarr.open(tiny.results / "segmentations/demo.ome.zarr")["labels/segmentation/0"][:] == labels
    ).all()
    assert "<html" in (tiny.results / "report.html").read_text()
    assert "n_voxels" in json.loads((tiny.results / "test_scores.json").read_text())


def test_all_strategies_are_compared_on_validation_and_test_images(tiny):
    entries = json.loads((tiny.results / "ensemble_strategies.json").read_text())["strategies"]
    assert [(e["strategy"], e["chosen"]) for e in entries] == [
        ("best_n", True), ("greedy", False), ("weighted", False),
    ]  # fmt: skip
    assert all(e["seconds_per_megavoxel"] > 0 for e in entries)
    test = json.loads((tiny.results / "test_scores.json").read_text())
    assert {name: s["n_voxels"] for name, s in test["strategies"].items()} == {
        "greedy": 128 * 128,
        "weighted": 128 * 128,
    }
    with (tiny.results / "anytime.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["iterations"]) for row in rows][-1] == 3 * 20


def stored_and_predicted(search, ensemble, validation):
    """The weighted mean of the members' stored probabilities, that of the loaded networks, and the labels."""
    loaded, (image,) = load_ensemble(search.results / "ensemble"), open_prepared(validation).images
    volume = ArrayVolume(image.image[...])
    predicted = loaded.predictor(torch.device("cpu")).probabilities(
        volume, loaded.normalisation.of(image.statistics), Box.of_shape(volume.shape)
    )
    stored = np.zeros_like(predicted)
    for member in ensemble["members"]:
        with open_probabilities(search.results / f"runs/{member['run']}/validation.zarr.zip") as file:
            stored += member["weight"] * file.arrays[0][...].astype(np.float32) / 255
    return stored, predicted, image.labels[...]


@pytest.mark.parametrize("strategy", ["greedy", "weighted"])
def test_an_ensemble_with_weights_scores_as_was_promised(tiny, strategy, tmp_path):
    """The loaded ensemble on the validation images, beside what was computed from their stored probabilities."""
    tiny = tiny.copied(tmp_path)
    tiny.add("strategy.yaml", f"ensemble: {{strategy: {strategy}, size: auto}}")
    assert "r0_000" not in tiny.snakemake("results/ranking.csv"), "nothing is trained again"
    ensemble = json.loads((tiny.results / "ensemble/ensemble.json").read_text())
    assert ensemble["strategy"] == strategy
    assert sum(m["weight"] for m in ensemble["members"]) == pytest.approx(1)
    validation = tiny.results / "data/validation.zarr.zip"
    found = evaluate_ensemble(tiny.results / "ensemble", validation, torch.device("cpu"))
    stored, predicted, labels = stored_and_predicted(tiny, ensemble, validation)
    assert np.abs(stored - predicted).max() < 0.51 / 255  # stored in 255 steps
    for probabilities, ari in ((stored, ensemble["validation"]["ari"]), (predicted, found.ari)):
        score = adjusted_rand_score(labels.ravel(), probabilities.argmax(axis=0).ravel())
        assert ari == pytest.approx(score, abs=0.005)  # equal probabilities may be ordered otherwise


def test_it_ends_with_the_ranking_and_where_things_are(tiny):
    end = tiny.output.splitlines()[-30:]
    text = "\n".join(end)
    assert "r0/000" in text
    assert "ensemble of 2 networks: validation ARI" in text
    assert "results/report.html" in text
    assert "results/segmentations/demo.tif" in text
    assert "20/20  ARI" in tiny.output  # progress of a training


def test_snakemakes_own_report_says_what_the_rules_took(tiny):
    tiny.snakemake("--report", "workflow.html")
    assert '"train"' in (tiny.results.parent / "workflow.html").read_text()


def test_a_second_run_does_nothing(tiny):
    assert tiny.planned() == {}


@pytest.mark.parametrize(
    ("overlay", "jobs"),
    [
        ("ensemble: {size: 1}", {"settings": 1, **AFTER_SELECT}),
        ("segmentation: {turns: true}", {"settings": 1, **AFTER_SEGMENT}),
        ("search: {n_genomes: 4}", {"generate": 1, "train": 1, **AFTER_SELECT}),
        ("training: {iterations: 30}", {"settings": 1, "train": 4, **AFTER_SELECT}),
        (
            "data: {volumes: {more: {phantom: {shape: [1, 64, 64], seed: 5}}}}",
            {"settings": 3, "phantom": 1, "segment": 2, "export": 1, "evaluate": 1, "report": 1, "all": 1},
        ),
        (
            "segmentation: {postprocessing: {min_size_voxels: 5, objects: [mitochondrion]}}",
            {"settings": 3, "postprocess": 1, "export": 1, "evaluate": 1, "report": 1, "all": 1},
        ),
        ("container: nowhere.sif", {}),
    ],
)
def test_a_changed_setting_reruns_its_stage_and_what_follows(tiny, overlay, jobs):
    assert tiny.planned(overlay) == jobs


def test_post_processing_can_be_switched_on_changed_and_off(tiny):
    plain = tifffile.imread(tiny.results / "segmentations/demo.tif")
    tiny.add(
        "post.yaml",
        "segmentation: {postprocessing: {min_size_voxels: 9, fill_holes: [cell], objects: [cell, mitochondrion]}}",
    )
    tiny.snakemake()
    store = zarr.open(tiny.results / "segmentations/demo.ome.zarr")
    cleaned = tifffile.imread(tiny.results / "segmentations/demo.tif")
    assert (store["labels/cleaned/0"][:] == cleaned).all()
    assert (store["labels/segmentation/0"][:] == plain).all()
    assert (cleaned != plain).any()
    with (tiny.results / "segmentations/demo.objects.csv").open() as file:
        objects = list(csv.DictReader(file))
    assert len(objects) == store["labels/objects/0"][:].max() > 0
    assert tiny.planned() == {}
    again = {"settings": 1, "postprocess": 1, "export": 1, "evaluate": 1, "report": 1, "all": 1}
    assert tiny.planned("segmentation: {postprocessing: {connectivity: 26}}") == again
    tiny.configs.pop()
    tiny.snakemake()
    assert (tifffile.imread(tiny.results / "segmentations/demo.tif") == plain).all()
    assert tiny.planned() == {}


def test_one_more_genome_trains_only_that_one(tiny):
    weights = {
        run: (tiny.results / f"runs/{run}/model.safetensors").stat().st_mtime_ns
        for run in ("r0/000", "r0/002")
    }
    tiny.add("more.yaml", "search: {n_genomes: 4}")
    output = tiny.snakemake()
    assert "r0_003" in output
    assert "r0_000" not in output
    for run, before in weights.items():
        assert (tiny.results / f"runs/{run}/model.safetensors").stat().st_mtime_ns == before
    assert tiny.planned() == {}


def test_a_search_goes_on_from_the_members_of_another_with_other_classes(tiny, tmp_path):
    """Only the members, with their weights; other weights there start it again, and copied files don't."""
    tiny = tiny.copied(tmp_path)
    tiny.add(
        "further.yaml",
        "{results: further, search: {from: results, members: true, n_genomes: 2}, training: {iterations: 10}, "
        "baselines: {unet2015: null}, data: {classes: [background, platelet, mitochondrion, alpha granule, "
        "canalicular vessel, dense granule body, dense granule core], test: [], volumes: {}}}",
    )
    tiny.snakemake("further/report.html")
    report = (tiny.folder / "further/report.html").read_text()
    assert "Rounds of labelling" in report
    assert "<td>results</td>" in report
    members = json.loads((tiny.results / "ensemble/ensemble.json").read_text())["members"]
    for index, member in enumerate(members):
        scores = json.loads((tiny.folder / f"further/runs/r0/00{index}/scores.json").read_text())
        assert (scores["genome"], scores["iterations"]) == (member["genome"], 10)
        inherited = scores["inherited"]
        assert (inherited["run"], inherited["start"], inherited["iterations"]) == (
            member["run"],
            "results",
            20,
        )
        assert (inherited["new_head"], inherited["fresh"]) == (True, 1)
    assert (
        "the classes are others (new: platelet; before: cell)"
        in (tiny.folder / "further/logs/train/r0/000.log").read_text()
    )
    weights = tiny.results / "runs/r0/000/model.safetensors"
    os.utime(weights)
    assert tiny.planned(target="further/ranking.csv") == {}
    weights.write_bytes(weights.read_bytes() + b"x")
    again = {"settings": 1, "start_weights": 1, "member": 2, "train": 2, "select": 1}
    assert tiny.planned(target="further/ranking.csv") == again


def test_baselines_are_ranked_beside_the_genomes_each_of_its_seeds(tiny):
    tiny.add(
        "baselines.yaml",
        "baselines: {unet2015: {n_seeds: 2}, ciresan2012: {n_convkernels: 2, n_hidden: 4, input_size: 100}, "
        "resenc: {n_convkernels: 2, max_convkernels: 4, n_stacks: 2, input_size: 64}}",
    )
    extra = {"settings": 3, "baseline": 3, "train": 3}
    assert tiny.planned() == {**extra, **AFTER_SELECT}
    tiny.snakemake("results/ranking.csv")
    with (tiny.results / "ranking.csv").open() as file:
        ranking = {row["run"]: row for row in csv.DictReader(file)}
    first, second, window, residual = (
        ranking[f"baselines/{name}"] for name in ("unet2015", "unet2015_2", "ciresan2012", "resenc")
    )
    assert {row["status"] for row in (first, second, window, residual)} == {"ok"}
    assert first["genome"] == second["genome"]
    # after so few iterations both may score 0, but their weights differ
    weights = [
        tiny.results / f"runs/baselines/{name}/model.safetensors" for name in ("unet2015", "unet2015_2")
    ]
    assert weights[0].read_bytes() != weights[1].read_bytes()
    assert window["n_parameters"] == "379"
    assert residual["n_parameters"] == "1685"
    tiny.configs.pop()


def test_each_shell_line_works_when_pasted(tmp_path):
    """Into an empty folder, in the order of the dry run: the whole search, without Snakemake."""
    search = Search(tmp_path, "tiny.yaml")
    search.add("one.yaml", "{search: {n_genomes: 1}, baselines: {unet2015: null}, segmentation: {jobs: 1}}")
    output = search.snakemake("--dry-run", "--printshellcmds", "--quiet", "reason")
    commands = [line.split("Shell command: ")[-1].strip() for line in output.splitlines()]
    commands = [command for command in commands if command.startswith("genenet ")]
    order = [
        "settings",
        "phantom",
        "prepare",
        "generate",
        "train",
        "select",
        "segment",
        "export",
        "evaluate",
        "report",
    ]
    assert {command.split()[1] for command in commands} == set(order)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command in sorted(commands, key=lambda c: order.index(c.split()[1])):
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stderr)
    assert (search.results / "report.html").exists()
    assert (search.results / "logs/train/r0/000.log").read_text().count("ARI") == 2


def test_segment_works_without_the_workflow(tiny, tmp_path):
    image = tiny.results / "phantoms/3x100x120-seed3/image.tif"
    out = tmp_path / "alone.ome.zarr"
    command = [sys.executable, "-m", "genenet", "segment", "--ensemble", tiny.results / "ensemble", image]
    options = ["--out", out, "--memory-mb", "400"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    stores = out, tiny.results / "segmentations/demo.ome.zarr"
    alone, ours = (zarr.open(store)["labels/segmentation/0"][:] for store in stores)
    assert (alone != ours).mean() < 1e-3  # near ties, by another block


def test_a_part_that_cant_be_segmented_is_given_up_and_export_says_why(tiny):
    """NaN is found when a block is read. Two retries of the profile are three attempts."""
    image = np.zeros((1, 60, 70), np.float32)
    image[0, 5, 5] = np.nan
    tifffile.imwrite(tiny.folder / "nan.tif", image, photometric="minisblack")
    configs = list(tiny.configs)
    tiny.add("nan.yaml", "data: {volumes: {odd: {path: nan.tif}}}\nsegmentation: {jobs: 2}")
    output = tiny.snakemake("results/segmentations/odd.tif", check=False)
    tiny.configs = configs
    reason = (
        "unfinished: given up after 3 attempts without progress beyond block 0; the last: InputError: nan.tif"
    )
    assert (
        f"genenet: error: results/segmentations/odd.ome.zarr: part 1 of 2 (and 1 more) is {reason}" in output
    ), output
    assert "2 given up; once the cause is removed: genenet retry results" in output
    for number in (1, 2):
        receipt = json.loads((tiny.results / f"segmentations/odd/parts/00{number}-of-002.json").read_text())
        assert receipt["status"] == "unfinished"
    assert not (tiny.results / "segmentations/odd.tif").exists()


def test_a_mistake_in_the_config_is_one_line(tmp_path):
    search = Search(tmp_path, "tiny.yaml")
    search.add("typo.yaml", "training: {iteratons: 5}")
    output = search.snakemake(check=False)
    assert "training.iteratons: unknown key; did you mean iterations?" in output
    assert "Traceback" not in output
    assert not search.results.exists()


MASKED = "{path: grey.tif, mask: grey.tif, voxel_size_nm: [7, 7, 7]}"
UNFIT = {  # more of the config, and the message
    "rgb": ("data: {volumes: {odd: {path: rgb.tif}}}", "rgb.tif: is an RGB image; convert to greyscale"),
    "rescaled with a mask": (
        f"{{data: {{volumes: {{odd: {MASKED}}}}}, segmentation: {{rescale: true}}}}",
        "grey.tif: has labels or a mask, which aren't rescaled with it",
    ),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_a_volume_that_cant_be_segmented_stops_the_search_before_it_begins(tmp_path, kind):
    search = Search(tmp_path, "tiny.yaml")
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((40, 50, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(tmp_path / "grey.tif", np.zeros((40, 50), np.uint8))
    config, message = UNFIT[kind]
    search.add("odd.yaml", config)
    output = search.snakemake(check=False)
    assert f"data.volumes.odd: {message}" in output
    assert "Traceback" not in output
    assert not list(search.results.glob("genomes/*"))
    search.snakemake("results/genomes/r0/000.json")  # nothing of this needs the volume


def test_what_failed_is_said_at_the_end(tmp_path):
    search = Search(tmp_path, "tiny.yaml")
    noise = np.random.default_rng(0).integers(0, 255, (60, 60), np.uint8)
    tifffile.imwrite(tmp_path / "em.tif", noise)
    tifffile.imwrite(tmp_path / "labels.tif", np.full_like(noise, 9))
    search.add("own.yaml", f"data: {{train: [{{path: {tmp_path}/em.tif, labels: {tmp_path}/labels.tif}}]}}")
    output = search.snakemake("results/data/train.zarr.zip", check=False)
    end = "\n".join(output.splitlines()[-8:])
    assert "results/logs/prepare/train.log:genenet: error: " in end
    assert "labels.tif: " in end
    assert "Traceback" not in output
    assert not (search.results / "data/train.zarr.zip").exists()


def test_names_of_runs_have_three_digits_or_more():
    import yaml

    values = yaml.safe_load((ROOT / "tests/workflow/tiny.yaml").read_text())
    values["search"]["n_genomes"] = 1001
    assert runs(check_config(values))[999:1001] == ["r0/999", "r0/1000"]
