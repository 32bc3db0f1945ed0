"""The members of an ensemble trained anew on all labelled images: settings, receipts, the ensemble's folder, retry."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from genenet.config.model import check_config
from genenet.config.planned_runs import refit_ranks
from genenet.config.settings import TrainSettings
from genenet.config.stages import REFIT_REPEAT, labelled_images, stage_settings
from genenet.core.atomic_files import read_json, write_json
from genenet.core.attempt_records import read_attempts
from genenet.core.errors import InputError
from genenet.ensembles.description import read_description
from genenet.ensembles.ensemble import load_ensemble
from genenet.ensembles.refit import RefitReceipt, read_receipt, refit, refit_ensemble
from genenet.genes.genome import Genome
from genenet.genes.plan import plan
from genenet.networks.weights import save_weights
from genenet.search.retry import find
from genenet.status.refits import read_refits
from genenet.training.prepared import open_prepared
from genenet.training.prepared_images import read_images
from genenet.training.scores import read_scores
from genenet.training.trainer import Trainer
from tests.support import runs
from tests.support.refits import Selected
from tests.support.trainers import train, trainer

PHANTOM = {"phantom": {"shape": [1, 64, 64], "seed": 1}}
DATA = {
    "classes": runs.CLASSES,
    "voxel_size_nm": [40, 10, 10],
    "train": [PHANTOM],
    "validation": [{"phantom": {"shape": [1, 64, 64], "seed": 2}}],
}
NET = {"n_convkernels": 2, "n_stacks": 1, "n_convlayers": 1, "input_size": 40}


def config(**ensemble):
    return check_config({"data": DATA, "search": {"n_genomes": 5}, "ensemble": {"refit": True, **ensemble}})


@pytest.mark.parametrize(
    ("ensemble", "n"), [({}, 5), ({"max_size": 3}, 3), ({"size": 2}, 2), ({"refit": False}, 0)]
)
def test_there_is_a_refit_for_each_member_that_there_may_be(ensemble, n):
    assert refit_ranks(config(**ensemble)) == [f"{rank:03d}" for rank in range(n)]


def test_a_refit_has_all_images_its_own_random_numbers_and_the_last_weights():
    wanted = config()
    assert [image.phantom.seed for image in labelled_images(wanted, "refit")] == [1, 2]
    train_, refit_ = (stage_settings(wanted, stage) for stage in ("train", "refit"))
    assert isinstance(refit_, TrainSettings)
    assert refit_.repeat > 1000  # more than any baseline has seeds
    assert (refit_.training.stopping.patience, refit_.training.stopping.weights) == (None, "last")
    changed = {"repeat": train_.repeat, "training": train_.training}
    assert refit_.model_copy(update=changed) == train_
    prepared = stage_settings(wanted, "prepare_refit")
    assert len(prepared.images) == 2


def test_a_training_on_all_images_keeps_the_last_weights_and_has_no_score():
    t = trainer(stopping={"weights": "last"})
    t.validation = []
    train(t)
    assert [row.iteration for row in t.history] == [5, 10, 15, 20]
    assert all(np.isnan(row.validation_ari) and np.isnan(row.validation_mean_iou) for row in t.history)
    own = t.network.state_dict()
    assert all(torch.equal(t.best[name], own[name]) for name in own)


@pytest.fixture
def selected(tmp_path):
    return Selected(tmp_path)


def test_the_ensemble_has_the_new_weights_and_keeps_members_scores_and_shares(selected):
    refit_ensemble(selected.paths, selected.settings)
    assert selected.ensemble_is_new() == [True] * 3
    before = read_description(Path(selected.paths.selected) / "ensemble.json")
    found = read_description(Path(selected.paths.ensemble) / "ensemble.json")
    assert (found.members, found.validation) == (before.members, before.validation)
    assert found.refit.refitted == ["r0/005", "r0/004", "r0/003"]
    assert found.refit.failed == {}
    data = open_prepared(Path(selected.paths.data("refit")))
    assert found.class_voxels.train == data.class_counts
    assert found.class_voxels.validation == before.class_voxels.validation
    assert found.normalisation.mean == data.mean != before.normalisation.mean
    assert load_ensemble(Path(selected.paths.ensemble)).weights == [1, 2, 3]
    written = json.loads(Path(selected.paths.refits).read_text())
    assert written == found.refit.model_dump(mode="json")


@pytest.mark.parametrize(
    ("before", "after", "kept"), [(6, 6, True), (6, 7, False), (9, 6, True), (6, None, True)]
)
def test_the_predictions_of_networks_that_were_trained_for_less_are_no_reference(
    selected, before, after, kept
):
    """They would lead to false warnings, since badly trained networks are less certain."""
    path = Path(selected.paths.selected) / "ensemble.json"
    predictions = {"class_shares": [0.5, 0.4, 0.1], "uncertainty": 0.3}
    write_json(path, {**read_json(path), "reference": {"images": [], "validation": predictions}})
    for run, iterations in (("r0/005", before), ("refit/000", after)):
        scores = {"status": "ok", "iterations": iterations, "validation": {}}
        write_json(selected.paths.run(run).scores, scores)
    refit_ensemble(selected.paths, selected.settings)
    found = read_description(Path(selected.paths.ensemble) / "ensemble.json").reference
    assert len(found.images) == 1
    assert (found.validation and found.validation.model_dump()) == (predictions if kept else None)


def test_a_member_whose_refit_failed_keeps_its_weights_and_that_is_said(selected, caplog):
    selected.fail(1)
    refit_ensemble(selected.paths, selected.settings)
    assert selected.ensemble_is_new() == [True, False, True]
    found = read_description(Path(selected.paths.ensemble) / "ensemble.json").refit
    assert found.refitted == ["r0/005", "r0/003"]
    assert found.failed == {"r0/004": "failed: the disk is full"}
    assert "the refit of r0/004 failed (failed: the disk is full); it keeps its former weights" in caplog.text


def test_one_refit_replaces_the_networks_of_all_folds(selected):
    selected.fold(0, 2)
    selected.fold(2, 2)  # the entries of r0/004 follow the two of r0/005
    refit_ensemble(selected.paths, selected.settings)
    found = read_description(Path(selected.paths.ensemble) / "ensemble.json")
    assert found.runs == found.refit.refitted == ["r0/005", "r0/004", "r0/003"]
    assert [(each.run, each.weight, each.validation_ari) for each in found.members] == [
        ("r0/005", 1.0, 0.4),
        ("r0/004", 2.0, 0.4),
        ("r0/003", 3.0, None),
    ]
    for rank, member in enumerate(found.members):
        new = selected.paths.run(f"refit/{rank:03d}").weights.read_bytes()
        assert (Path(selected.paths.ensemble) / member.folder / "model.safetensors").read_bytes() == new
    assert load_ensemble(Path(selected.paths.ensemble)).weights == [1, 2, 3]


def test_if_a_refit_failed_the_networks_of_all_its_folds_stay(selected):
    selected.fold(0, 2)
    selected.fail(0)
    refit_ensemble(selected.paths, selected.settings)
    found = read_description(Path(selected.paths.ensemble) / "ensemble.json")
    assert [member.run for member in found.members] == [
        "r0/005/folds/0",
        "r0/005/folds/1",
        "r0/004",
        "r0/003",
    ]
    assert (list(found.refit.failed), found.n_folds) == (["r0/005"], 2)
    assert found.size_text == "4 networks (3 genomes, 2 folds)"
    before = Path(selected.paths.selected) / "members/0_1/model.safetensors"
    after = Path(selected.paths.ensemble) / found.members[1].folder / "model.safetensors"
    assert after.read_bytes() == before.read_bytes()
    assert load_ensemble(Path(selected.paths.ensemble)).weights == [0.5, 0.5, 2, 3]


def test_with_one_normalisation_for_all_no_member_is_changed_if_one_failed(tmp_path, caplog):
    selected = Selected(tmp_path, "training")
    before = read_description(Path(selected.paths.selected) / "ensemble.json")
    selected.fail(2, "diverged")
    refit_ensemble(selected.paths, selected.settings)
    assert selected.ensemble_is_new() == [False] * 3
    found = read_description(Path(selected.paths.ensemble) / "ensemble.json")
    assert found.model_copy(update={"refit": None}) == before
    assert (found.refit.refitted, list(found.refit.failed)) == ([], ["r0/003"])
    assert "all members keep their former weights" in caplog.text


def test_receipts_of_another_selection_are_refused(selected):
    selected.receive(0, member="r0/009", genome="0" * 12, status="ok")
    with pytest.raises(InputError, match="the refits are those of another selection"):
        refit_ensemble(selected.paths, selected.settings)


def test_a_rank_without_a_member_ends_at_once_and_leaves_no_earlier_results(selected):
    old = selected.paths.run("refit/003")
    old.folder.mkdir(parents=True)
    old.scores.write_text("{}")
    assert refit(selected.paths, "003", Path("none.json"))
    assert read_receipt(Path(selected.paths.refit("003"))) == RefitReceipt(status="empty")
    assert not old.scores.exists()


def test_a_failed_refit_is_retried_and_the_ensemble_is_made_again(selected):
    files = selected.paths.run("refit/001")
    write_json(files.scores, {"status": "unfinished", "reason": "the disk is full"})
    (work,) = find(selected.paths, ("unfinished",))
    assert (work.name, work.obstacle) == ("refit/001", "")
    again = {selected.paths.refit("001"), selected.paths.refits, selected.paths.report}
    assert {str(path) for path in work.files} == again | set(files.outputs())


def test_status_reads_the_refits_of_members_only(selected):
    wanted = config().model_copy(update={"results": selected.paths.results})
    assert [outcome.run for outcome in read_refits(wanted, selected.paths)] == [
        "refit/000",
        "refit/001",
        "refit/002",
    ]


@pytest.mark.slow
def test_a_refit_trains_on_all_images_as_long_as_the_member_and_is_not_repeated(selected):
    paths, entry = (
        selected.paths,
        read_description(Path(selected.paths.selected) / "ensemble.json").members[0],
    )
    genome = Genome(entry.run, {"net": NET})
    genome.write(Path(paths.genome(entry.run)))
    write_json(paths.run(entry.run).scores, {"status": "ok", "iterations": 6, "validation": {"ari": 0.5}})
    training = {"iterations": 99, "batch_size": 2, "threads": 1, "validation_interval": 3, "device": "cpu"}
    values = {"training": {**training, "precision": "float32", "stopping": {"weights": "last"}}}
    settings = TrainSettings(seed=1, repeat=REFIT_REPEAT, normalisation="training", **values)
    write_json(Path(paths.settings("refit")), settings.model_dump(mode="json"))

    assert refit(paths, "000", Path(paths.settings("refit")))
    receipt, files = read_receipt(Path(paths.refit("000"))), paths.run("refit/000")
    assert (receipt.member, receipt.genome, receipt.status) == (entry.run, genome.id, "ok")
    scores = read_scores(files.scores)
    assert (scores.iterations, scores.best_iteration, scores.ari) == (6, 6, None)
    weights, attempts = files.weights.read_bytes(), len(read_attempts(files.attempts))

    data = open_prepared(Path(paths.data("refit")))
    (images,) = read_images((data,), data.rule(settings.normalisation), 1e9)
    short = settings.training.model_copy(update={"iterations": 6})
    network_plan = plan(genome.net, len(runs.CLASSES))
    alone = Trainer(
        genome, network_plan, images, [], data.class_counts, short, 1, torch.device("cpu"), REFIT_REPEAT
    )
    train(alone)
    save_weights(alone.network.state_dict(), genome.id, Path(paths.results) / "alone.safetensors")
    assert (Path(paths.results) / "alone.safetensors").read_bytes() == weights

    Path(paths.refit("000")).unlink()
    assert refit(paths, "000", Path(paths.settings("refit")))
    assert files.weights.read_bytes() == weights
    again = read_attempts(files.attempts)[attempts:]
    assert [each.began_at_iteration for each in again] in ([], [6])
