import csv
import dataclasses
import functools
import json
import re
import resource
import shlex
import signal
import socket
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from genenet.core.errors import InputError
from genenet.genes.genome import read_genome
from genenet.metrics.contingency import Contingency
from genenet.training import checkpoint, learner
from genenet.training.probabilities import open_probabilities
from genenet.training.tensorboard import Board
from genenet.training.trainer import Diverged
from tests.support import runs
from tests.support.search import ROOT
from tests.support.trainers import run_of, train, trainer

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
    unmeasured = {"seconds": 0, "prediction": 0}
    assert {**scores, **unmeasured} == {**again, **unmeasured}


@pytest.mark.process
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


@pytest.mark.process
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
    runs.wait(process, is_time)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


@pytest.mark.process
def test_the_compiler_is_imported_only_where_it_compiles(undisturbed, tmp_path):
    """It takes as long as torch itself, in each process; torch's own optimisers import it."""
    _, command, reference = undisturbed
    module = "torch._dynamo"
    options = command[len(runs.genenet()) :]
    stopped = runs.run_without(module, *options, "--out", tmp_path, "--stop-after-minutes", "0.0001")
    assert "a checkpoint is kept" in stopped.stderr
    done = runs.run_without(module, *options, "--out", tmp_path)
    assert "continuing from iteration 1 of 40" in done.stderr
    assert_same(tmp_path, reference)


@pytest.mark.process
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
    assert "continuing from iteration" in done.stderr
    assert_same(run, reference)


@pytest.mark.process
def test_out_of_time_it_exits_with_75_and_goes_on(undisturbed, tmp_path):
    _, command, reference = undisturbed
    first = runs.run([*command, "--out", tmp_path, "--stop-after-minutes", "0.0001"])
    assert first.returncode == 75
    assert "time is over at iteration 1; a checkpoint is kept" in first.stderr
    assert not (tmp_path / "scores.json").exists()
    assert runs.run([*command, "--out", tmp_path]).returncode == 0
    assert_same(tmp_path, reference)


@pytest.mark.process
def test_a_corrupt_checkpoint_falls_back_and_ends_the_same(undisturbed, tmp_path):
    _, command, reference = undisturbed
    for _ in range(3):
        runs.run([*command, "--out", tmp_path, "--stop-after-minutes", "0.0001"])
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-7])
    done = runs.run([*command, "--out", tmp_path])
    assert "checkpoint.pt is damaged" in done.stderr
    assert "continuing from iteration 2 of 40" in done.stderr
    assert_same(tmp_path, reference)


def changed(run, folder, **training):
    """The run with other settings."""
    settings = json.loads(run.settings.read_text())
    settings["training"] |= training
    path = folder / "changed.json"
    path.write_text(json.dumps(settings))
    return dataclasses.replace(run, settings=path)


@pytest.mark.process
def test_other_settings_begin_anew(undisturbed, tmp_path):
    run = run_of(undisturbed[0], tmp_path)
    assert run.run()
    assert changed(run, tmp_path, iterations=5).run()
    assert json.loads(run.files.scores.read_text())["iterations"] == 5
    aside = [p.name for p in tmp_path.glob("checkpoint.*.pt") if "previous" not in p.name]
    assert len(aside) == 1


def test_a_training_that_diverges_publishes_that(tmp_path):
    genome = {"log_learning_rate": 0, "norm": 0, "dropout_rate": 0, "log_gamma2": 0}
    runs.make(tmp_path, genome, optimiser={"kind": "sgd"}, iterations=500)
    assert run_of(tmp_path, tmp_path / "run").run()
    scores = json.loads((tmp_path / "run/scores.json").read_text())
    assert scores["status"] == "diverged"
    assert re.fullmatch(r"the loss was (nan|inf) at iteration \d+", scores["reason"])
    assert all((tmp_path / "run" / name).exists() for name in OUTPUTS)
    assert weights(tmp_path / "run") == {}


def test_weights_that_a_last_step_ruined_are_not_kept():
    t = trainer(iterations=1, optimiser={"kind": "sgd"})
    t.base_rate = 1e38
    with pytest.raises(Diverged, match="the network's output isn't finite after iteration 1"):
        train(t)
    assert t.history == []


TOO_LARGE = """
    import contextlib, logging, resource
    from pathlib import Path
    from tests.support.trainers import run_of

    def show(trainer):
        if trainer.iteration == 1:
            used = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if "VmSize" in line)
            resource.setrlimit(resource.RLIMIT_AS, (used + ({limit} << 20),) * 2)

    logging.basicConfig(level=logging.INFO)
    assert run_of(Path({folder!r}), Path({folder!r}) / "run").run(show=lambda name: contextlib.nullcontext(show))
"""


@pytest.mark.process
@pytest.mark.parametrize(("limit", "status"), [(1000, "ok"), (100, "out_of_memory")])
def test_out_of_memory_tries_halves_and_then_publishes_that(tmp_path, limit, status):
    genome = {"n_convkernels": 32, "input_size": 300, "log_lambda2": -3}
    runs.make(tmp_path, genome, iterations=3, batch_size=8, precision="float32", checkpoint_seconds=60)
    code = textwrap.dedent(TOO_LARGE).format(folder=str(tmp_path), limit=limit)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "a batch of 8 doesn't fit in memory" in done.stderr
    assert (
        "from now on batches are computed in two halves, and batch normalisation of each half" in done.stderr
    )
    scores = json.loads((tmp_path / "run/scores.json").read_text())
    assert scores["status"] == status
    assert "memory" in (scores["reason"] or "memory")


@pytest.mark.process
def test_two_processes_on_one_run_take_turns(undisturbed, tmp_path):
    _, command, reference = undisturbed
    start = functools.partial(
        subprocess.Popen, [*command, "--out", tmp_path], stderr=subprocess.PIPE, text=True
    )
    with start() as first:
        lock = tmp_path / "lock"
        runs.wait(first, lambda: lock.exists() and lock.stat().st_size)
        assert first.poll() is None
        first.send_signal(signal.SIGSTOP)  # it has the lock, and time for the other to meet it
        with start() as second:
            waits = second.stderr.readline()
            first.send_signal(signal.SIGCONT)
            first.communicate()
            messages = second.stderr.read()
    assert first.returncode == second.returncode == 0, messages
    assert f"lock: another process works here (process {first.pid} on {socket.gethostname()})" in waits
    assert "continuing from iteration 40 of 40" in messages
    assert_same(tmp_path, reference)


def limit_files(process, size):
    """From now on, what a process writes beyond ``size`` bytes of a file fails, as on a full disk."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.process
def test_a_disk_that_is_full_for_a_while_costs_checkpoints_and_not_the_training(tmp_path):
    command = runs.make(tmp_path, iterations=200, validation_interval=20)
    reference, run = tmp_path / "reference", tmp_path / "run"
    assert runs.run([*command, "--out", reference]).returncode == 0
    messages = []
    with subprocess.Popen([*command, "--out", run], stderr=subprocess.PIPE, text=True) as process:
        runs.wait(process, lambda: iteration_of(run) >= 30)
        assert process.poll() is None
        limit_files(process, 0)
        for line in process.stderr:
            messages.append(line)
            if "progress.csv can't be written" in line:
                break
        kept = iteration_of(run)
        limit_files(process, resource.RLIM_INFINITY)
        messages += process.stderr.readlines()
    assert process.returncode == 0, messages
    assert kept >= 30
    lost = r"checkpoint\.pt can't be written \(\[Errno 27\] File too large"
    kept_is_named = f"training continues, and the checkpoint of iteration {kept} is kept"
    assert any(re.search(lost, m) and kept_is_named in m for m in messages), messages
    assert not list(run.glob(".*"))
    assert_same(run, reference)


FULL_DISK = """
    mount -t tmpfs -o size=1m none {disk} || exit 99
    cp -r {run}/. {disk}
    head -c $(( $(df --output=avail -B1 {disk} | tail -1) - 16384 )) /dev/zero > {disk}/ballast
    {train}; code=$?
    rm {disk}/ballast
    cp -r {disk}/. {run}
    exit $code
"""


@pytest.mark.process
def test_the_older_checkpoint_outlives_a_full_disk(undisturbed, tmp_path):
    """A small disk in memory, with room for all files but a checkpoint."""
    _, command, reference = undisturbed
    run, disk = tmp_path / "run", tmp_path / "disk"
    disk.mkdir()
    stopped = [*command, "--stop-after-minutes", "0.0001", "--out"]
    assert runs.run([*stopped, run]).returncode == 75
    kept = (run / "checkpoint.pt").read_bytes()
    script = FULL_DISK.format(run=run, disk=disk, train=shlex.join([*stopped, str(disk)]))
    done = runs.run(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script])
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip(f"nobody may mount a file system here: {done.stderr.strip()}")
    assert done.returncode == 75
    assert "checkpoint.pt can't be written (" in done.stderr
    assert "the checkpoint of iteration 1 is kept" in done.stderr
    assert "No space left on device" in done.stderr
    assert (run / "checkpoint.pt").read_bytes() == kept
    done = runs.run([*command, "--out", run])
    assert "continuing from iteration 1 of 40" in done.stderr
    assert_same(run, reference)


@pytest.mark.process
def test_the_history_goes_to_tensorboard_whole_after_an_interruption_too(undisturbed, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = run_of(undisturbed[0], tmp_path)
    run = changed(run, tmp_path, tensorboard=True)
    asked = iter([None] * 14 + ["that's enough"])
    assert not run.run(lambda: next(asked))
    assert run.run()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    measured = {"training_loss", "learning_rate", "validation_ari", "seconds", "validation_mean_iou"}
    assert set(events.Tags()["scalars"]) == measured
    shown = {e.step: e.value for e in events.Scalars("validation_ari")}
    assert shown == pytest.approx(
        {int(r["iteration"]): float(r["validation_ari"]) for r in rows_of(tmp_path)}
    )


def test_without_tensorboard_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"pip install 'genenet\[tensorboard\]'"):
        Board(tmp_path)


def test_after_a_validation_a_gpus_unused_memory_is_for_others(monkeypatch):
    """Each time, but not after steps."""
    given_back = []
    monkeypatch.setattr(learner, "give_back_unused", given_back.append)
    t = train(trainer(iterations=10, validation_interval=5))
    assert given_back == [t.device] * len(t.history)
