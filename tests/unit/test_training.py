import csv
import dataclasses
import json
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import runs
from genenet import checkpoint
from genenet.config import Training
from genenet.errors import InputError
from genenet.genome import Genome, read_genome
from genenet.images import LabelledArray
from genenet.inference import Normalisation
from genenet.metrics import Contingency
from genenet.paths import RunPaths
from genenet.plan import plan
from genenet.probabilities import open_probabilities
from genenet.stages import TrainSettings, read_settings
from genenet.tensorboard import Board
from genenet.training import Trainer
from genenet.training_run import TrainingRun

OUTPUTS = ("model.safetensors", "history.csv", "validation.zarr.zip", "scores.json")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A folder with a training's inputs, its command, and the run of an undisturbed training."""
    folder = tmp_path_factory.mktemp("training")
    command = runs.make(folder)
    done = runs.run([*command, "--out", folder / "run"])
    assert done.returncode == 0, done.stderr
    return folder, command, folder / "run"


def rows_of(run):
    return list(csv.DictReader((run / "history.csv").read_text().splitlines()))


def weights(run):
    return load_file(run / "model.safetensors")


def assert_same(run, other):
    a, b = weights(run), weights(other)
    assert a.keys() == b.keys()
    assert a
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert (run / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    history, again = ([{**r, "seconds": 0} for r in rows_of(p)] for p in (run, other))
    assert history == again
    scores, again = (json.loads((p / "scores.json").read_text()) for p in (run, other))
    assert {**scores, "seconds": 0} == {**again, "seconds": 0}


def test_a_training_publishes_weights_history_probabilities_and_scores(undisturbed):
    folder, _, run = undisturbed
    assert all((run / name).exists() for name in OUTPUTS)
    rows = rows_of(run)
    assert [int(row["iteration"]) for row in rows] == [10, 20, 30, 40]
    scores = json.loads((run / "scores.json").read_text())
    assert scores["status"] == "ok"
    assert scores["genome"] == read_genome(folder / "genome.json").id
    best = max(rows, key=lambda row: float(row["validation_ari"]))
    assert scores["best_iteration"] == int(best["iteration"])
    assert scores["validation"]["ari"] == pytest.approx(float(best["validation_ari"]))
    assert float(rows[-1]["training_loss"]) < float(rows[0]["training_loss"])


def test_the_scores_are_those_of_the_stored_probabilities(undisturbed):
    _, _, run = undisturbed
    table = Contingency.empty(3)
    with open_probabilities(run / "validation.zarr.zip") as stored:
        table.add(runs.blobs((1, 48, 56), 2)[1], np.asarray(stored.arrays[0][...]).argmax(axis=0))
    scores = json.loads((run / "scores.json").read_text())["validation"]
    assert table.adjusted_rand_index == scores["ari"]


def iteration_of(run):
    try:
        return checkpoint._read(run / "checkpoint.pt")["iteration"]
    except (OSError, checkpoint.Damaged):  # not there yet, or being replaced
        return 0


def kill_when(command, is_time):
    """Start it, kill it when ``is_time()``; return whether it was killed before its end."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not is_time():
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def test_killed_anywhere_and_run_again_it_ends_with_the_same_weights(tmp_path):
    command = runs.make(tmp_path, iterations=400, checkpoint_seconds=0.2)
    reference, run = tmp_path / "reference", tmp_path / "run"
    assert runs.run([*command, "--out", reference]).returncode == 0
    moments = [lambda k=k: iteration_of(run) >= k for k in (1, 150, 300)] + [
        (run / "model.safetensors").exists
    ]
    killed = [kill_when([*command, "--out", run], moment) for moment in moments]
    assert all(killed[:2])  # the last ones may come too late on a slow machine
    done = runs.run([*command, "--out", run])
    assert done.returncode == 0, done.stderr
    assert "going on from iteration" in done.stderr
    assert_same(run, reference)


def test_out_of_time_it_exits_with_75_and_goes_on(undisturbed, tmp_path):
    _, command, reference = undisturbed
    first = runs.run([*command, "--out", tmp_path, "--stop-after-minutes", "0.0001"])
    assert first.returncode == 75
    assert "time is over at iteration 1; a checkpoint is kept" in first.stderr
    assert not (tmp_path / "scores.json").exists()
    assert runs.run([*command, "--out", tmp_path]).returncode == 0
    assert_same(tmp_path, reference)


def test_a_corrupt_checkpoint_falls_back_and_ends_the_same(undisturbed, tmp_path):
    _, command, reference = undisturbed
    for _ in range(3):
        runs.run([*command, "--out", tmp_path, "--stop-after-minutes", "0.0001"])
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-7])
    done = runs.run([*command, "--out", tmp_path])
    assert "checkpoint.pt is damaged" in done.stderr
    assert "going on from iteration 2 of 40" in done.stderr
    assert_same(tmp_path, reference)


def test_other_settings_begin_anew(undisturbed, tmp_path):
    run = run_of(undisturbed[0], tmp_path)
    assert run.run()
    shorter = run.settings.model_copy(
        update={"training": run.settings.training.model_copy(update={"iterations": 5})}
    )
    assert TrainingRun(run.genome, run.train, run.validation, shorter, run.files).run()
    assert json.loads(run.files.scores.read_text())["iterations"] == 5
    aside = [p.name for p in tmp_path.glob("checkpoint.*.pt") if "previous" not in p.name]
    assert len(aside) == 1


def run_of(folder, out):
    settings = read_settings(folder / "train.json", TrainSettings)
    images = folder / "train.zarr.zip", folder / "validation.zarr.zip"
    return TrainingRun(read_genome(folder / "genome.json"), *images, settings, RunPaths(out))


def test_a_training_that_diverges_publishes_that(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "current_learning_rate", lambda self: 1e30)
    assert run_of(undisturbed[0], tmp_path).run()
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["status"] == "diverged"
    assert "the loss was nan at iteration" in scores["reason"]
    assert all((tmp_path / name).exists() for name in OUTPUTS)
    assert weights(tmp_path) == {}


def test_out_of_memory_publishes_that(undisturbed, tmp_path, monkeypatch):
    def full(self):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Trainer, "step", full)
    assert run_of(undisturbed[0], tmp_path).run()
    assert json.loads((tmp_path / "scores.json").read_text())["status"] == "out_of_memory"


def trainer(genome=None, **values):
    g = Genome("t", {"net": {**runs.GENOME, "dropout_rate": 0, **(genome or {})}})
    image, labels = runs.blobs((1, 40, 40), 3)
    data = [LabelledArray("a", image, labels, Normalisation.of_volume(image.mean(), image.std()))]
    settings = Training(iterations=5, batch_size=2, threads=1, validation_interval=5, device="cpu", **values)
    counts = np.bincount(labels.ravel(), minlength=3)
    return Trainer(g, plan(g.net, 3), data, data, counts, settings, 0, torch.device("cpu"))


def test_a_class_that_never_occurs_has_weight_0():
    assert trainer().learner.loss.class_weights[2] == 0


def test_the_learning_rate_decays_exponentially():
    t = trainer({"log_learning_rate": -2, "decay_rate": 0.5, "decay_steps": 10})
    assert t.current_learning_rate() == pytest.approx(0.01)
    t.iteration = 20
    assert t.current_learning_rate() == pytest.approx(0.0025)


def test_adam_is_the_genomes():
    group = trainer({"log_alpha1": -0.5, "log_alpha2": -2}).learner.optimiser.param_groups[0]
    assert group["betas"] == pytest.approx((1 - 10**-0.5, 0.99))


def test_penalties_are_part_of_what_is_minimised():
    free, bound = trainer(), trainer({"log_gamma2": -1, "log_learning_rate": -1.5})
    for t in (free, bound):
        for _ in t.run():
            pass
    norms = [
        sum(p.square().sum().item() for n, p in t.network.named_parameters() if "conv.weight" in n)
        for t in (free, bound)
    ]
    assert norms[1] < norms[0]


def test_a_disk_that_is_full_costs_the_checkpoint_and_not_the_training(undisturbed, tmp_path):
    _, command, reference = undisturbed
    size = (
        2 * (reference / "model.safetensors").stat().st_size
    )  # a checkpoint is larger, what is published smaller
    limited = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))}
    done = runs.run([*command, "--out", tmp_path], **limited)
    assert done.returncode == 0, done.stderr
    assert "the checkpoint of iteration 1 can't be written" in done.stderr
    assert "File too large" in done.stderr
    assert not list(tmp_path.glob("*checkpoint*"))
    assert_same(tmp_path, reference)


def test_the_older_checkpoint_outlives_a_full_disk(undisturbed, tmp_path):
    _, command, reference = undisturbed
    runs.run([*command, "--out", tmp_path, "--stop-after-minutes", "0.0001"])
    kept = (tmp_path / "checkpoint.pt").read_bytes()
    limited = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (len(kept) // 2,) * 2)}
    stopped = runs.run([*command, "--out", tmp_path, "--stop-after-minutes", "0.0001"], **limited)
    assert stopped.returncode == 75
    assert (tmp_path / "checkpoint.pt").read_bytes() == kept
    done = runs.run([*command, "--out", tmp_path])
    assert "going on from iteration 1 of 40" in done.stderr
    assert_same(tmp_path, reference)


def test_the_history_goes_to_tensorboard_whole_after_an_interruption_too(undisturbed, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = run_of(undisturbed[0], tmp_path)
    training = run.settings.training.model_copy(update={"tensorboard": True})
    run = dataclasses.replace(run, settings=run.settings.model_copy(update={"training": training}))
    asked = iter([None] * 14 + ["that's enough"])
    assert not run.run(lambda: next(asked))
    assert run.run()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {"training_loss", "learning_rate", "validation_ari", "seconds"}
    shown = {e.step: e.value for e in events.Scalars("validation_ari")}
    assert shown == pytest.approx(
        {int(r["iteration"]): float(r["validation_ari"]) for r in rows_of(tmp_path)}
    )


def test_without_tensorboard_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"pip install 'genenet\[tensorboard\]'"):
        Board(tmp_path)
