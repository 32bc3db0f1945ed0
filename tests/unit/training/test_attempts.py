"""Attempts at a training: which count, and when it is given up."""

import json
import signal
import subprocess

import pytest

from genenet.training.attempts import Attempts
from tests.support import runs


@pytest.fixture
def attempts(tmp_path):
    return Attempts(tmp_path / "attempts.json", "settings")


def crash(attempts, iteration, reached=None):
    with (
        pytest.raises(ValueError, match="it broke"),
        attempts.attempt(iteration, lambda: reached or iteration),
    ):
        raise ValueError("it broke")


def test_two_crashes_at_the_same_place_are_hopeless(attempts):
    crash(attempts, 10)
    assert attempts.hopeless(10) is None
    crash(attempts, 10, reached=17)
    assert (
        "2 attempts without progress beyond iteration 10; the last: ValueError: it broke"
        in attempts.hopeless(10)
    )


def test_progress_is_hope(attempts):
    crash(attempts, 10)
    crash(attempts, 10)
    assert attempts.hopeless(11) is None


def test_so_are_other_settings(attempts):
    crash(attempts, 10)
    crash(attempts, 10)
    assert Attempts(attempts.path, "others").hopeless(10) is None


def test_stopping_and_finishing_are_no_crashes(attempts):
    crash(attempts, 10)
    with attempts.attempt(10, lambda: 10):
        pass
    assert attempts.hopeless(10) is None
    attempts.stopped(10)
    assert attempts.hopeless(10) is None


def test_after_it_was_given_up_it_counts_anew(attempts):
    crash(attempts, 0)
    crash(attempts, 0)
    attempts.give_up(0)
    assert attempts.hopeless(0) is None
    crash(attempts, 0)
    assert attempts.hopeless(0) is None


def test_a_killed_process_leaves_an_attempt_without_an_end(attempts):
    for _ in range(2):
        attempts._begin(3)
    again = Attempts(attempts.path, "settings")
    assert "killed" in again.hopeless(3)
    assert [entry["exit"] for entry in again.entries] == [None, None]


def test_a_damaged_file_starts_a_new_count(attempts):
    attempts.path.write_text("{")
    assert Attempts(attempts.path, "settings").hopeless(0) is None


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    return runs.make(tmp_path_factory.mktemp("attempts"))


@pytest.mark.process
def test_a_training_that_crashes_twice_without_progress_is_published_as_failed(command, tmp_path):
    (tmp_path / "progress.csv").mkdir()  # in the way, so every attempt ends before its first iteration
    first, second, third = (runs.run([*command, "--out", tmp_path]) for _ in range(3))
    assert (first.returncode, second.returncode, third.returncode) == (1, 1, 0)
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["status"] == "failed"
    assert "2 attempts without progress beyond iteration 0; the last: IsADirectoryError" in scores["reason"]
    for name in ("model.safetensors", "history.csv", "validation.zarr.zip"):
        assert (tmp_path / name).exists()
    kinds = [
        entry["exit"].split(":")[0]
        for entry in json.loads((tmp_path / "attempts.json").read_text())["attempts"]
    ]
    assert kinds == ["IsADirectoryError", "IsADirectoryError", "given up"]


@pytest.mark.process
def test_a_genome_that_no_input_fits_is_infeasible(tmp_path):
    command = runs.make(tmp_path, genome={"input_size": 24, "n_stacks": 4})
    done = runs.run([*command, "--out", tmp_path / "run"])
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "run/scores.json").read_text())
    assert scores["status"] == "infeasible"
    assert "input_size 24 is too small" in scores["reason"]
    assert scores["n_parameters"] is None


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_asked_to_stop_it_keeps_a_checkpoint_and_exits_with_75(tmp_path, number):
    command = runs.make(tmp_path, iterations=100_000, validation_interval=20, checkpoint_seconds=1000)
    out = tmp_path / "run"
    process = subprocess.Popen([*command, "--out", out], stderr=subprocess.PIPE, text=True)
    runs.wait(process, (out / "progress.csv").exists)
    process.send_signal(number)
    _, messages = process.communicate()
    assert process.returncode == 75, messages
    assert f"{number.name} received at iteration" in messages
    (entry,) = json.loads((out / "attempts.json").read_text())["attempts"]
    assert entry["exit"] == "stopped"
    assert entry["ended_at_iteration"] >= 20
