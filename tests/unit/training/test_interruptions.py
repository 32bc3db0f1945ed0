"""A training that is killed and asked to stop, again and again, ends as if nothing had happened."""

import csv
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from genenet.training import checkpoint
from genenet.training.stopping import Stop
from tests.support import runs
from tests.support.trainers import run_of

ITERATIONS = 1000
INTERRUPTIONS = 50
REAL = 10  # so many of them hit a real `genenet train`, the others a process that was forked
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1)
RECIPE = {
    "iterations": ITERATIONS,
    "validation_interval": 50,
    "checkpoint_seconds": 0.02,
    "sampling": {"rare_classes": 0.3},
    "augmentation": {"elastic_voxels": 2, "noise": 0.2, "blur_voxels": 0.5, "contrast": 0.2},
    "optimiser": {"kind": "adamw", "weight_decay": 0.01, "gradient_clip": 1.0, "ema_decay": 0.98},
    "schedule": {"kind": "one_cycle"},
    "loss": {"kind": "dice_cross_entropy"},
}


def train(folder, out):
    """What `genenet train` does, in this process."""
    with Stop().on_signals() as stop:
        finished = run_of(folder, out).run(stop)
    sys.exit(0 if finished else 75)


class Real:
    """A real process."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self.pid = self.process.pid

    def is_alive(self):
        return self.process.poll() is None

    def end(self):
        return self.process.wait()


class Forked:
    """A process that has torch from its birth."""

    def __init__(self, context, folder, out):
        self.process = context.Process(target=train, args=(folder, out))
        self.process.start()
        self.pid = self.process.pid

    def is_alive(self):
        return self.process.is_alive()

    def end(self):
        self.process.join()
        return self.process.exitcode


def iteration_of(out):
    rows = out / "attempts.json"
    try:
        return checkpoint._read(out / "checkpoint.pt")["iteration"] if rows.exists() else 0
    except (OSError, checkpoint.Damaged):  # not there yet, or being replaced
        return 0


def outcome(run):
    with (run / "history.csv").open() as file:
        history = [{**row, "seconds": 0} for row in csv.DictReader(file)]
    scores = {**json.loads((run / "scores.json").read_text()), "seconds": 0, "prediction": 0}
    return (run / "model.safetensors").read_bytes(), history, scores


@pytest.mark.process
def test_fifty_kills_and_signals_at_random_moments_change_nothing(tmp_path):
    rng = random.Random(1)
    command = runs.make(tmp_path, {"dropout_rate": 0.2}, **RECIPE)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(runs.FORK_SERVER)
    assert Forked(context, tmp_path, tmp_path / "undisturbed").end() == 0
    out, killed = tmp_path / "run", []
    for k in range(INTERRUPTIONS):
        is_real = k % (INTERRUPTIONS // REAL) == 0
        process = Real([*command, "--out", out]) if is_real else Forked(context, tmp_path, out)
        # a kill before any progress counts as a crash, of which two in a row are given up: every other one waits
        reached = (k + 1) * ITERATIONS // (INTERRUPTIONS + 5) if k % 2 else 0
        while process.is_alive() and iteration_of(out) < reached:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 0.15 if is_real else 0.05))
        number = SIGNALS[k % 3]
        assert process.is_alive(), f"over after {k} interruptions"
        os.kill(process.pid, number)
        killed.append(process.end())
    assert {-signal.SIGKILL, 75} <= set(killed)
    assert Forked(context, tmp_path, out).end() == 0
    attempts = json.loads((out / "attempts.json").read_text())["attempts"]
    assert attempts[-1]["exit"] == "finished"
    assert max(a["began_at_iteration"] for a in attempts) > 0.9 * ITERATIONS
    assert outcome(out) == outcome(tmp_path / "undisturbed")
