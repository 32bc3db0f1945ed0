"""How trainings end, as processes: what they publish and exit with, and what the next start does."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from genenet.core import exit_codes
from genenet.core.attempt_records import read_attempts
from genenet.core.errors import InputError, MachineError
from genenet.core.paths import ResultPaths
from genenet.core.resources import available_cores
from genenet.training.scores import read_scores
from tests.support import runs
from tests.support.trainers import run_of


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


def start(command, out):
    """A training as a user starts it in a terminal: it hears Ctrl-C."""
    return subprocess.Popen(
        [*command, "--out", out],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.mark.process
def test_ctrl_c_in_the_first_seconds_again_and_again_then_it_trains(command, tmp_path):
    for n_times in (1, 1, 2):  # the last time impatiently
        process = start(command, tmp_path)
        runs.wait(process, (tmp_path / "lock").exists)
        for _ in range(n_times):
            process.send_signal(signal.SIGINT)
        process.communicate()
        assert process.returncode in (130, -signal.SIGINT)
        assert not (tmp_path / "scores.json").exists()
    done = runs.run([*command, "--out", tmp_path])
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "scores.json").read_text())["status"] == "ok"


@pytest.mark.process
def test_images_that_cannot_be_read_are_the_users_and_unfinished_after_three(tmp_path):
    command = runs.make(tmp_path)
    images, out = tmp_path / "train.zarr.zip", tmp_path / "run"
    good = images.read_bytes()
    images.write_bytes(good[:100])
    codes = [runs.run([*command, "--out", out]).returncode for _ in range(3)]
    assert codes == [2, 2, 0]
    scores = json.loads((out / "scores.json").read_text())
    assert scores["status"] == "unfinished"
    assert "train.zarr.zip" in scores["reason"]
    images.write_bytes(good)
    assert runs.run([*command, "--out", out]).returncode == 0
    assert json.loads((out / "scores.json").read_text())["status"] == "ok"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("genome.json", "{", "not a JSON file"),
        ("genome.json", '{"format": "genenet.genome/99"}', "format is 'genenet.genome/99'"),
        ("genome.json", None, "no such file"),
        ("train.json", "[", "not a JSON file"),
        ("train.json", '{"seed": 1}', "normalisation: is missing"),
        ("train.json", None, "no such file"),
    ],
)
def test_a_broken_genome_or_settings_file_is_the_users_and_unfinished_after_three(
    tmp_path, name, content, problem
):
    runs.make(tmp_path, iterations=2, validation_interval=2)
    run, path = run_of(tmp_path, tmp_path / "run"), tmp_path / name
    good = path.read_text()
    path.unlink() if content is None else path.write_text(content)
    for _ in range(2):
        with pytest.raises(InputError, match=problem) as caught:
            run.run()
        assert caught.value.status == exit_codes.USER_ERROR
    assert run.run()
    scores = read_scores(run.files.scores)
    assert scores.status == "unfinished"
    assert problem in scores.reason
    assert all(Path(output).exists() for output in run.files.outputs())
    path.write_text(good)
    assert run.run()
    assert read_scores(run.files.scores).is_ok


@pytest.mark.process
def test_a_rung_whose_genome_is_broken_is_given_up_too(tmp_path):
    runs.make(tmp_path, iterations=4, validation_interval=2)
    paths = ResultPaths(tmp_path / "results")
    genome = Path(paths.genome("r0/000"))
    for source, target in (
        *(("genome.json", genome), ("train.json", paths.settings("train"))),
        *((f"{split}.zarr.zip", paths.data(split)) for split in ("train", "validation")),
    ):
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / source, target)
    genome.write_text("{")
    command = runs.genenet(
        *("rung", "--results", paths.results, "--round", 0, "--iterations", 2, "--slot", 0),
        *("--settings", paths.settings("train")),
    )
    assert [runs.run(command).returncode for _ in range(3)] == [2, 2, 0]
    slot, scores = Path(paths.slot(0, 2, "000")), paths.run("r0/000").scores
    assert json.loads(slot.read_text())["status"] == read_scores(scores).status == "unfinished"
    shutil.copy(tmp_path / "genome.json", genome)
    assert runs.run(command).returncode == 0
    assert json.loads(slot.read_text())["status"] == "ok"


def test_a_checkpoint_that_cannot_be_read_is_the_machines_and_is_kept(tmp_path):
    runs.make(tmp_path, iterations=6, validation_interval=2)
    run = run_of(tmp_path, tmp_path / "run")
    asked = iter([None, None, "enough"])
    assert not run.run(lambda: next(asked))
    path, elsewhere = run.files.checkpoint, tmp_path / "elsewhere.pt"
    path.rename(elsewhere)
    path.mkdir()  # as if the disk had failed: an OSError
    for _ in range(4):
        with pytest.raises(MachineError, match="is a directory") as caught:
            run.run()
        assert caught.value.status == exit_codes.MACHINE
        assert not run.files.scores.exists()
    path.rmdir()
    elsewhere.rename(path)
    assert run.run()
    attempts = read_attempts(run.files.attempts)
    assert [each.ending for each in attempts] == ["stopped", *["machine"] * 4, "finished"]
    assert attempts[-1].began_at_iteration == 3
    assert read_scores(run.files.scores).is_ok


TRAIN = """
import sys
from pathlib import Path
from genenet.core.errors import MachineError
from genenet.core.lock import Timing
from genenet.core.paths import RunPaths
from genenet.training.run import TrainingRun
folder, out = map(Path, sys.argv[1:])
files = [folder / name for name in ("genome.json", "train.zarr.zip", "validation.zarr.zip", "train.json")]
run = TrainingRun(*files, RunPaths(out))
try:
    run.run(timing=Timing(heartbeat=0.05, stale_after=1.0, poll=0.05))
except MachineError as error:
    print(error, file=sys.stderr)
    sys.exit(error.status)
"""


@pytest.mark.process
def test_who_was_suspended_and_lost_the_lock_stops_before_it_writes(tmp_path):
    """In another PID namespace, as on another node: its process can't be seen, only its heartbeat."""
    namespace = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if not shutil.which("unshare") or subprocess.run([*namespace, "true"], check=False).returncode:
        pytest.skip("unshare --pid isn't allowed here")
    runs.make(tmp_path, iterations=400, validation_interval=20, checkpoint_seconds=0.02)
    out = tmp_path / "run"
    train = [sys.executable, "-c", TRAIN, str(tmp_path), str(out)]
    first = subprocess.Popen([*namespace, *train], stderr=subprocess.PIPE, text=True)
    runs.wait(first, (out / "checkpoint.previous.pt").exists)
    (inner,) = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    os.kill(int(inner), signal.SIGSTOP)
    second = subprocess.run(train, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    assert "taking over from a process that is gone" in second.stderr
    before = {path.name: path.read_bytes() for path in out.iterdir() if not path.name.startswith(".")}
    os.kill(int(inner), signal.SIGCONT)
    _, said = first.communicate()
    assert first.returncode == 74, said
    assert "another process has taken over, since this one was suspended for too long" in said
    after = {path.name: path.read_bytes() for path in out.iterdir() if not path.name.startswith(".")}
    assert after == before
    endings = [a["ending"] for a in json.loads((out / "attempts.json").read_text())["attempts"]]
    assert endings == [None, "finished"]


@pytest.mark.process
def test_three_starts_without_the_gpu_that_was_granted_then_the_right_machine(tmp_path, monkeypatch):
    command = [*runs.make(tmp_path, device="auto"), "--out", tmp_path / "run"]
    with monkeypatch.context() as job:
        job.setenv("SLURM_JOB_ID", "1")
        job.setenv("SLURM_JOB_GPUS", "0")
        job.setenv("CUDA_VISIBLE_DEVICES", "")  # torch finds none, even on a machine that has one
        for _ in range(3):
            done = runs.run(command)
            assert done.returncode == 74
            assert "genenet: error: Slurm granted this job a GPU, but torch" in done.stderr
            assert not (tmp_path / "run/scores.json").exists()
    assert [a.ending for a in read_attempts(tmp_path / "run/attempts.json")] == ["machine"] * 3
    done = runs.run(command)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run/scores.json").read_text())["status"] == "ok"


@pytest.mark.process
@pytest.mark.skipif(available_cores() < 2, reason="needs two cores, to take one away")
def test_three_starts_on_too_few_cores_then_the_right_machine(tmp_path):
    command = [*runs.make(tmp_path, threads=2), "--out", tmp_path / "run"]
    core = min(os.sched_getaffinity(0))
    for _ in range(3):
        few = runs.run(command, preexec_fn=lambda: os.sched_setaffinity(0, {core}))
        assert few.returncode == 74
        assert "genenet: error: training.threads is 2, but this job may use 1 core(s)" in few.stderr
        assert not (tmp_path / "run/scores.json").exists()
    done = runs.run(command)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run/scores.json").read_text())["status"] == "ok"
