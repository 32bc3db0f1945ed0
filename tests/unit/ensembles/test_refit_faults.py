"""Refits that are killed, that fail, and that find the results of an earlier selection in their folder."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from genenet.core.attempt_records import read_attempts
from genenet.core.errors import MachineError
from genenet.ensembles.description import read_description
from genenet.ensembles.refit import read_receipt, refit, refit_ensemble
from genenet.search.retry import find, retry
from genenet.training.scores import read_scores
from genenet.training.stopping import Stop
from tests.support import runs
from tests.support.refits import Selected

ITERATIONS = 400  # so many that a training is killed long before its end


@pytest.fixture
def selected(tmp_path):
    return Selected(tmp_path)


def weights(selected, rank="000"):
    return selected.paths.run(f"refit/{rank}").weights.read_bytes()


def began_at(selected, rank="000"):
    return [each.began_at_iteration for each in read_attempts(selected.paths.run(f"refit/{rank}").attempts)]


@pytest.mark.process
def test_a_refit_that_was_killed_ends_with_the_weights_of_one_that_was_not(tmp_path):
    whole, killed = Selected(tmp_path / "whole"), Selected(tmp_path / "killed")
    for each in (whole, killed):
        each.trained(0, ITERATIONS)
        each.settings_of_refits(checkpoint_seconds=0.1, validation_interval=50, optimiser={"ema_decay": 0.9})
        Path(each.paths.refit("000")).unlink()
    settings, files = Path(killed.paths.settings("refit")), killed.paths.run("refit/000")
    command = runs.genenet("refit", "--results", killed.paths.results, "--rank", 0, "--settings", settings)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    runs.wait(process, files.checkpoint.exists)
    os.kill(process.pid, signal.SIGKILL)
    _, messages = process.communicate()
    assert process.returncode == -signal.SIGKILL, messages
    assert not Path(killed.paths.refit("000")).exists()

    for each in (killed, whole):
        assert refit(each.paths, "000", Path(each.paths.settings("refit")))
    assert weights(killed) == weights(whole)
    assert began_at(whole) == [0]
    (first, second) = began_at(killed)
    assert first == 0 < second < ITERATIONS
    assert read_receipt(Path(killed.paths.refit("000"))) == read_receipt(Path(whole.paths.refit("000")))


@pytest.mark.parametrize(("asked_for", "n"), [(None, 20), (30, 30), (10, 10)])
def test_a_refit_is_as_long_as_the_training_or_as_the_settings_say(selected, asked_for, n):
    selected.trained(0, 20)
    settings = selected.settings_of_refits(refit_iterations=asked_for)
    Path(selected.paths.refit("000")).unlink()
    assert refit(selected.paths, "000", settings)
    assert read_scores(selected.paths.run("refit/000").scores).iterations == n


@pytest.mark.slow
def test_a_refit_whose_time_is_over_has_no_receipt_and_continues(selected):
    selected.trained(0)
    settings, receipt = selected.settings_of_refits(), Path(selected.paths.refit("000"))
    receipt.unlink()
    assert not refit(selected.paths, "000", settings, Stop(0))
    assert not receipt.exists()
    assert refit(selected.paths, "000", settings)
    assert read_receipt(receipt).status == "ok"
    (first, second) = began_at(selected)
    assert first == 0 < second


@pytest.mark.slow
def test_a_refit_that_diverges_changes_nothing_and_the_search_goes_on(selected):
    selected.trained(0, 500, log_learning_rate=0, log_gamma2=0)
    settings = selected.settings_of_refits(optimiser={"kind": "sgd"})
    assert refit(selected.paths, "000", settings)
    receipt = read_receipt(Path(selected.paths.refit("000")))
    assert receipt.status == "diverged"
    assert receipt.reason.startswith("the loss was ")
    # the other two members have the networks that Selected has made
    entry = read_description(Path(selected.paths.selected) / "ensemble.json").members[0]
    selected.receive(0, **{**receipt.model_dump(), "genome": entry.genome})
    refit_ensemble(selected.paths, selected.settings)
    assert selected.ensemble_is_new() == [False, True, True]
    found = read_description(Path(selected.paths.ensemble) / "ensemble.json").refit
    assert found.failed == {"r0/005": f"diverged: {receipt.reason}"}


@pytest.mark.slow
def test_a_refit_whose_disk_always_fails_is_given_up_and_can_be_retried(selected):
    selected.trained(0)
    settings, files = selected.settings_of_refits(), selected.paths.run("refit/000")
    receipt = Path(selected.paths.refit("000"))
    receipt.unlink()
    files.progress.mkdir(parents=True)  # in the way
    for _ in range(4):
        with pytest.raises(MachineError):
            refit(selected.paths, "000", settings)
        assert not receipt.exists()
    assert refit(selected.paths, "000", settings)
    assert read_receipt(receipt).status == "unfinished"
    assert "5 attempts without progress beyond iteration 0" in read_receipt(receipt).reason

    files.progress.rmdir()
    (work,) = find(selected.paths, ("unfinished",))
    assert work.name == "refit/000"
    retry([work])
    assert not receipt.exists()
    assert refit(selected.paths, "000", settings)
    assert read_receipt(receipt).status == "ok"
    assert json.loads(files.scores.read_text())["iterations"] == 6


@pytest.mark.slow
def test_another_selection_uses_a_refit_again_only_for_the_same_member(selected):
    """The members of the first two ranks change places, and then change back."""
    genomes = [selected.trained(rank, n_convkernels=2 + rank) for rank in range(2)]
    settings, path = selected.settings_of_refits(), Path(selected.paths.selected) / "ensemble.json"

    def refit_both():
        for rank in ("000", "001"):
            assert refit(selected.paths, rank, settings)
        receipts = [read_receipt(Path(selected.paths.refit(rank))) for rank in ("000", "001")]
        return [receipt.genome for receipt in receipts], [weights(selected, rank) for rank in ("000", "001")]

    ids, first = refit_both()
    assert ids == [genome.id for genome in genomes]
    n_attempts = len(began_at(selected))
    _, again = refit_both()
    assert again == first
    assert began_at(selected)[n_attempts:] in ([], [6])  # nothing was left to train

    description = json.loads(path.read_text())
    description["members"][:2] = description["members"][1::-1]
    path.write_text(json.dumps(description))
    ids, swapped = refit_both()
    assert ids == [genomes[1].id, genomes[0].id]
    assert swapped == first[::-1]  # a training depends on its genome, not on its rank
    assert began_at(selected)[-1] == 0


@pytest.mark.slow
def test_a_member_that_was_trained_for_longer_is_refitted_for_as_long(selected):
    settings = selected.settings_of_refits()
    found = []
    for iterations in (6, 12, 6):
        selected.trained(0, iterations)
        assert refit(selected.paths, "000", settings)
        scores = json.loads(selected.paths.run("refit/000").scores.read_text())
        assert scores["iterations"] == iterations
        found.append(weights(selected))
    assert found[0] == found[2] != found[1]
    # the schedule doesn't depend on the end, so the longer training continues the shorter one
    assert began_at(selected) == [0, 6, 6]
