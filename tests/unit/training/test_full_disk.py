"""A disk that is full at a checkpoint: a real small file system, filled to the page."""

import errno
import json
import subprocess

import pytest
import torch

from genenet.training import checkpoint
from tests.support import runs
from tests.support.disks import fill, small_disk

STATE = {"fingerprint": "a" * 64, "token": "t", "weights": {f"w{i}": torch.arange(700.0) for i in range(12)}}
PAGE = 4096


@pytest.mark.process
def test_wherever_the_disk_ends_the_last_checkpoint_stays(tmp_path):
    """At some bytes torch says OSError, at others ``RuntimeError: … unexpected pos``."""
    with small_disk(tmp_path / "disk", 1) as disk:
        path = disk / "checkpoint.pt"
        checkpoint.save(path, {**STATE, "iteration": 1})
        n_pages = path.stat().st_size // PAGE
        assert n_pages > 5
        for spare in range(n_pages):
            ballast = fill(disk, spare * PAGE)
            with pytest.raises(OSError, match="No space left") as full:
                checkpoint.save(path, {**STATE, "iteration": 2})
            assert full.value.errno == errno.ENOSPC
            assert checkpoint.load(path, "a" * 64)["iteration"] == 1
            ballast.unlink()
        checkpoint.save(path, {**STATE, "iteration": 2})
        assert checkpoint.load(path, "a" * 64)["iteration"] == 2
        assert sorted(file.name for file in disk.iterdir()) == ["checkpoint.previous.pt", "checkpoint.pt"]


@pytest.mark.process
def test_training_continues_from_memory_and_says_so_once(tmp_path):
    command = runs.make(tmp_path, iterations=600, validation_interval=20, checkpoint_seconds=0.05)
    undisturbed = runs.run([*command, "--out", tmp_path / "undisturbed"])
    assert undisturbed.returncode == 0, undisturbed.stderr
    with small_disk(tmp_path / "disk", 4) as disk:
        out = disk / "run"
        process = subprocess.Popen([*command, "--out", out], stderr=subprocess.PIPE, text=True)
        runs.wait(process, (out / "checkpoint.previous.pt").exists)
        ballast = fill(disk)
        began = checkpoint.load(out / "checkpoint.pt", fingerprint(out))["iteration"]
        log = []
        while "can't be written" not in (line := process.stderr.readline()):
            assert line, log
            log.append(line)
        log.append(line)
        while " 300/600" not in (line := process.stderr.readline()):  # much later it still trains
            assert line, log
            log.append(line)
        assert process.poll() is None
        kept = checkpoint.load(out / "checkpoint.pt", fingerprint(out))["iteration"]
        assert began <= kept < 300
        ballast.unlink()
        log += process.communicate()[1].splitlines()
        assert process.returncode == 0, log
        said = [line for line in log if "checkpoint.pt can't be written" in line]
        assert len(said) == 1
        assert "No space left on device" in said[0]
        assert "training continues, and the checkpoint of iteration" in said[0]
        assert weights(out) == weights(tmp_path / "undisturbed")


@pytest.mark.process
def test_a_disk_that_stays_full_is_the_machines_and_loses_nothing(tmp_path):
    command = runs.make(tmp_path, iterations=200, validation_interval=20, checkpoint_seconds=0.05)
    with small_disk(tmp_path / "disk", 4) as disk:
        out = disk / "run"
        process = subprocess.Popen([*command, "--out", out], stderr=subprocess.PIPE, text=True)
        runs.wait(process, (out / "checkpoint.previous.pt").exists)
        ballast = fill(disk)
        _, said = process.communicate()
        assert process.returncode == 74, said
        assert "no space left on the device" in said.splitlines()[-1]
        assert "bug in genenet" not in said
        assert not (out / "scores.json").exists()
        ballast.unlink()
        again = runs.run([*command, "--out", out])
        assert again.returncode == 0, again.stderr
        assert "continuing from iteration" in again.stderr
        assert json.loads((out / "scores.json").read_text())["status"] == "ok"


@pytest.mark.process
def test_a_disk_that_is_full_from_the_start_is_the_machines(tmp_path):
    command = runs.make(tmp_path, iterations=20)
    with small_disk(tmp_path / "disk", 4) as disk:
        ballast, out = fill(disk), disk / "run"
        for spare_pages in (0, 1, 2):  # not even a lock; a lock; a lock and a record
            ballast.unlink()
            ballast = fill(disk, spare_pages * PAGE)
            done = runs.run([*command, "--out", out])
            assert done.returncode == 74, done.stderr
            assert "no space left on the device" in done.stderr.splitlines()[-1]
        ballast.unlink()
        done = runs.run([*command, "--out", out])
        assert done.returncode == 0, done.stderr
        assert json.loads((out / "scores.json").read_text())["status"] == "ok"


def fingerprint(out):
    return json.loads((out / "attempts.json").read_text())["attempts"][-1]["fingerprint"]


def weights(out):
    return (out / "model.safetensors").read_bytes()
