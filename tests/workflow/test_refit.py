"""A search whose members are trained anew on all labelled images (``ensemble.refit``): what runs, and what is made."""

import json

import pytest
import torch
import yaml

from genenet.ensembles.scoring import evaluate_ensemble
from genenet.report.report import number
from genenet.training.prepared import open_prepared
from tests.support.results import Page
from tests.support.search import CONFIGS, Search

pytestmark = pytest.mark.xdist_group("refit")
OFF, ON = "ensemble: {refit: false}", "ensemble: {refit: true}"


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """The tiny search without its baseline and third genome, with at most two members, and one control."""
    search = Search(tmp_path_factory.mktemp("refit"))
    values = yaml.safe_load((CONFIGS / "tiny.yaml").read_text())
    del values["baselines"]
    values["search"]["n_genomes"] = 2
    values["segmentation"]["jobs"] = 1
    values["ensemble"] = {"max_size": 2, "size": "auto"}
    values["controls"] = {"seeds": 2}
    search.add("small.yaml", yaml.safe_dump(values))
    search.before = {name: search.planned(text) for name, text in (("off", OFF), ("on", ON))}
    search.plain = search.planned()
    search.add("refit.yaml", ON)
    search.output = search.snakemake()
    return search


def described(searched, folder):
    return json.loads((searched.results / folder / "ensemble.json").read_text())


def test_refits_are_planned_only_if_they_are_asked_for(searched):
    off, on = searched.before["off"], searched.before["on"]
    assert searched.plain == off
    assert "refit" not in off
    more = {rule: n - off.get(rule, 0) for rule, n in on.items() if n != off.get(rule, 0)}
    # settings: refit and prepare_refit
    assert more == {"refit": 2, "refit_ensemble": 1, "prepare": 1, "settings": 2}


def test_the_ensemble_has_the_weights_that_all_images_gave(searched):
    before, after = described(searched, "selected"), described(searched, "ensemble")
    assert after["members"] == before["members"]
    assert after["validation"] == before["validation"]
    runs = [member["run"] for member in after["members"]]
    assert after["refit"] == json.loads((searched.results / "refits.json").read_text())
    assert (after["refit"]["refitted"], after["refit"]["failed"]) == (runs, {})
    for rank, member in enumerate(after["members"]):
        new, old, own = (
            (searched.results / folder / "model.safetensors").read_bytes()
            for folder in (
                f"ensemble/{member['folder']}",
                f"selected/{member['folder']}",
                f"runs/refit/{rank:03d}",
            )
        )
        assert new == own != old
        scores = json.loads((searched.results / f"runs/refit/{rank:03d}/scores.json").read_text())
        assert (scores["status"], scores["best_iteration"], scores["volumes"]) == ("ok", 20, [])
    train, validation, both = (
        open_prepared(searched.results / f"data/{split}.zarr.zip")
        for split in ("train", "validation", "refit")
    )
    assert both.class_counts == [
        a + b for a, b in zip(train.class_counts, validation.class_counts, strict=True)
    ]
    assert after["class_voxels"]["train"] == both.class_counts


def test_a_rank_without_a_member_ends_with_an_empty_receipt(searched):
    n = len(described(searched, "ensemble")["members"])
    receipts = [json.loads((searched.results / f"refits/{rank:03d}.json").read_text()) for rank in range(2)]
    assert [receipt["status"] for receipt in receipts] == ["ok"] * n + ["empty"] * (2 - n)


def test_the_test_images_are_scored_before_and_after_the_refit(searched):
    scores = json.loads((searched.results / "test_scores.json").read_text())
    data, device = searched.results / "data/test.zarr.zip", torch.device("cpu")
    new, old = (
        evaluate_ensemble(searched.results / folder, data, device).confusion
        for folder in ("ensemble", "selected")
    )
    assert (scores["confusion"], scores["before_refit"]["confusion"]) == (new, old)
    assert new != old
    page = (searched.results / "report.html").read_text()
    assert "Before the refit: ARI" in page
    assert "On the test images, the refit changed ARI by " in page
    assert "the members were trained anew on training and validation images together" in page
    assert "trained anew on all labelled images; the scores are from before" in searched.output


def test_the_control_is_compared_with_the_ensemble_before_the_refit(searched):
    """Its networks learned from the training images only."""
    test = json.loads((searched.results / "test_scores.json").read_text())
    rows = Page((searched.results / "report.html").read_text()).rows["compared"]
    (ours,) = (row for row in rows if row[0].endswith("before the refit"))
    control = json.loads((searched.results / "controls/best.json").read_text())
    (of_control,) = (row for row in rows if row[0].endswith("ensemble of 2 seeds"))
    for row, scores in ((ours, test["before_refit"]), (of_control, control["test"])):
        assert row[3:5] == [number(scores[name]) for name in ("ari", "mean_iou")]


def test_other_settings_dont_refit(searched):
    assert searched.planned() == {}
    planned = searched.planned("segmentation: {turns: true}")
    assert planned["segment"] == 1
    assert not planned.keys() & {"train", "select", "refit", "refit_ensemble", "test"}
    planned = searched.planned(OFF)
    assert planned["select"] == planned["segment"] == 1
    assert not planned.keys() & {"train", "refit", "refit_ensemble", "prepare"}


def test_longer_refits_train_no_genome_again(searched):
    planned = searched.planned("training: {refit_iterations: 30}")
    assert (planned["refit"], planned["refit_ensemble"]) == (2, 1)
    assert not planned.keys() & {"train", "select", "prepare"}
