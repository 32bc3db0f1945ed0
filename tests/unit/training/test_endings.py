"""How trainings end, as processes: what they publish and exit with, and what the next start does."""

import json
import signal
import subprocess

import pytest

from tests.support import runs


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    return runs.make(tmp_path_factory.mktemp("attempts"))


@pytest.mark.process
def test_a_training_whose_disk_fails_five_times_without_progress_is_published_as_unfinished(
    command, tmp_path
):
    (tmp_path / "progress.csv").mkdir()  # in the way, so every attempt ends before its first iteration
    codes = [runs.run([*command, "--out", tmp_path]).returncode for _ in range(5)]
    assert codes == [74, 74, 74, 74, 0]
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["status"] == "unfinished"
    assert "5 attempts without progress beyond iteration 0; the last: IsADirectoryError" in scores["reason"]
    for name in ("model.safetensors", "history.csv", "validation.zarr.zip"):
        assert (tmp_path / name).exists()
    kinds = [
        entry["exit"].split(":")[0]
        for entry in json.loads((tmp_path / "attempts.json").read_text())["attempts"]
    ]
    assert kinds == ["IsADirectoryError"] * 5 + ["given up"]


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
