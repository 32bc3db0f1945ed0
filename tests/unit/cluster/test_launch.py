"""Search without Snakemake: what is written for Slurm, and how a job's slices go. No cluster."""

import json
import os
import pickle
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from genenet.cluster import container, launch, submitit_job, submitit_launcher, workflow
from genenet.cluster.submit_options import Options
from genenet.cluster.submitit_job import TrainingJob, is_fresh
from genenet.cluster.submitit_launcher import (
    choose_cluster,
    sbatch_options,
    slurm_parameters,
    submit_array,
)
from genenet.config.model import check_config
from genenet.core.errors import InputError
from genenet.core.paths import ResultPaths

RESULTS = ResultPaths(Path("results"))
TINY = Path(__file__).parents[2] / "workflow/tiny.yaml"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Slurm's programs, pretended: returns a function that writes one."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def program(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    program("srun", "exit 1")
    program("sbatch", 'cp "$1" submitted.sh; env > environment; echo "Submitted batch job 7"')
    return program


def trainings(n=3):
    return [
        TrainingJob(f"r0/{i:03d}", ["true"], str(Path.cwd()), [], [f"nowhere{i}"], f"{i}.log")
        for i in range(n)
    ]


def test_options_of_sbatch_are_read_as_they_are_written():
    assert sbatch_options("") == {}
    assert sbatch_options("gpus=v100x:1") == {"gpus": "v100x:1"}
    assert sbatch_options("--gres=gpu:v100x:1,lscratch:100 --exclusive") == {
        "gres": "gpu:v100x:1,lscratch:100",
        "exclusive": True,
    }
    assert sbatch_options("constraint='a=b|c'") == {"constraint": "a=b|c"}


def test_all_trainings_are_one_array(slurm, tmp_path):
    options = Options(partition="gpu", account="lab", gpu="gres=gpu:k80:1,lscratch:10", minutes=30, jobs=2)
    jobs = submit_array(trainings(), tmp_path / "logs", slurm_parameters(options, 4))
    assert [(name, each.run) for name, each in jobs.items()] == [
        ("7_0", "r0/000"),
        ("7_1", "r0/001"),
        ("7_2", "r0/002"),
    ]
    lines = (tmp_path / "submitted.sh").read_text().splitlines()
    for option in (
        *("account=lab", "partition=gpu", "gres=gpu:k80:1,lscratch:10", "array=0-2%2", "requeue"),
        *("time=30", "mem=16G", "cpus-per-task=4", "signal=USR2@90", "job-name=genenet-submit"),
    ):
        assert f"#SBATCH --{option}" in lines
    assert not any("wckey" in line for line in lines)
    (step,) = [line for line in lines if line.startswith("srun ")]
    assert "--cpus-per-task=4" in step
    assert f"{sys.executable} -u -m submitit.core._submit" in step
    assert sorted(p.name for p in (tmp_path / "logs").glob("*.pkl")) == [
        f"7_{i}_submitted.pkl" for i in range(3)
    ]


def test_what_isnt_given_is_slurms_own_default(slurm, tmp_path):
    submit_array(trainings(), tmp_path / "logs", slurm_parameters(Options(), 1))
    text = (tmp_path / "submitted.sh").read_text()
    assert "#SBATCH --array=0-2%3\n" in text
    assert not any(word in text for word in ("partition", "account", "gpu", "gres"))


def test_a_short_slice_still_trains_before_the_signal():
    assert slurm_parameters(Options(minutes=1), 1)["signal_delay_s"] == 15
    assert slurm_parameters(Options(minutes=240), 1)["signal_delay_s"] == 90


def test_from_within_a_job_its_variables_arent_handed_on(slurm, tmp_path, monkeypatch):
    kept = {"SLURM_CONF": "/x/slurm.conf", "SBATCH_ACCOUNT": "lab"}
    hidden = {"SLURM_JOB_ID": "3", "SLURM_MEM_PER_NODE": "5", "SRUN_CPUS_PER_TASK": "1"}
    for name, value in {**kept, **hidden}.items():
        monkeypatch.setenv(name, value)
    submit_array(trainings(1), tmp_path / "logs", slurm_parameters(Options(), 1))
    seen = dict(line.partition("=")[::2] for line in (tmp_path / "environment").read_text().splitlines())
    assert {name: seen.get(name) for name in kept} == kept
    assert not hidden.keys() & seen.keys()
    assert os.environ["SLURM_MEM_PER_NODE"] == "5"


def test_slurms_refusal_is_one_line(slurm, tmp_path, capsys):
    said = "sbatch: error: invalid partition specified: nope\\nsbatch: error: Batch job submission failed: Invalid"
    slurm("sbatch", f"printf '{said}' >&2; exit 1")
    with pytest.raises(
        InputError, match=r"^Slurm doesn't take the trainings: invalid .*nope Batch .*Invalid$"
    ):
        submit_array(trainings(), tmp_path / "logs", slurm_parameters(Options(partition="nope"), 1))
    assert capsys.readouterr().err == ""


def test_an_ended_job_without_results_counts_after_two_looks(slurm, monkeypatch):
    monkeypatch.setattr(submitit_launcher, "POLL_SECONDS", 0)
    slurm("squeue", "echo 8_4; test -e gone || echo 7_1; touch gone")
    jobs = {f"7_{i}": each for i, each in enumerate(trainings(2))}
    assert [each.run for each in submitit_launcher.ended_jobs(jobs)] == ["r0/000", "r0/001"]


def test_while_slurm_doesnt_answer_nothing_has_ended(slurm, monkeypatch):
    monkeypatch.setattr(submitit_launcher, "POLL_SECONDS", 0)
    slurm("squeue", "echo >> asked; test $(wc -l < asked) -gt 5")
    jobs = {f"7_{i}": each for i, each in enumerate(trainings(2))}
    assert len(list(submitit_launcher.ended_jobs(jobs))) == 2
    assert len(Path("asked").read_text().splitlines()) > 6


def test_a_result_that_is_there_has_ended_whatever_slurm_says(slurm, monkeypatch):
    monkeypatch.setattr(submitit_launcher, "POLL_SECONDS", 0)
    slurm("squeue", "exit 1")
    Path("nowhere0").touch()
    assert len(list(submitit_launcher.ended_jobs({"7": trainings(1)[0]}))) == 1


def test_the_cluster_is_slurm_where_it_is(slurm, monkeypatch, tmp_path):
    assert choose_cluster(Options()) == "slurm"
    assert choose_cluster(Options(cluster="local")) == "local"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert choose_cluster(Options()) == "local"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options(cluster="lsf"), "--cluster lsf: use slurm or local"),
        (Options(cluster="slurm"), "sbatch and srun aren't on the PATH"),
        (Options(cluster="local", wait=False), "--no-wait: local processes are started by this command"),
    ],
)
def test_a_cluster_that_cant_be(options, said, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=said):
        choose_cluster(options)


def test_without_submitit_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError, match=r"pip install genenet\[workflow\]"):
        choose_cluster(Options(cluster="local"))


def test_the_command_line_is_the_rules(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    each = launch.training_job(ResultPaths(Path("results")), "r0/003", ["genenet"])
    assert " ".join(each.command) == (
        "genenet train --genome results/genomes/r0/003.json --train results/data/train.zarr.zip"
        " --validation results/data/validation.zarr.zip --settings results/settings/train.json"
        " --out results/runs/r0/003 --log results/logs/train/r0/003.log"
    )


def test_each_fold_is_a_training_with_its_own_images():
    values = yaml.safe_load(TINY.read_text())
    del values["data"]["validation"]
    values["data"]["folds"] = 2
    config = check_config({**values, "search": {**values["search"], "n_genomes": 1}})
    names = launch.independent_runs(config)
    assert names == [f"{run}/folds/{fold}" for run in ("r0/000", "baselines/unet2015") for fold in (0, 1)]
    job = launch.training_job(RESULTS, names[1], ["genenet"])
    assert " ".join(job.command) == (
        "genenet train --genome results/genomes/r0/000.json --train results/data/folds/1/train.zarr.zip"
        " --validation results/data/folds/1/validation.zarr.zip --settings results/settings/train.json"
        " --out results/runs/r0/000/folds/1 --log results/logs/train/r0/000/folds/1.log"
    )


def test_in_a_container(slurm, tmp_path):
    slurm("apptainer", "exit 0")
    assert container.command_inside("a.sif", "--nv --bind '/data/a b'") == [
        *("apptainer", "exec", "--home", str(tmp_path), "--nv", "--bind", "/data/a b", "a.sif")
    ]
    assert [sys.executable, "-m", "genenet"] == launch.OWN_PROGRAM


def test_the_container_is_the_configs_unless_another_is_given():
    assert Options().image("a.sif") == "a.sif"
    assert Options(container="b.sif").image("a.sif") == "b.sif"
    assert Options(container="").image("a.sif") is None
    assert Options().image(None) is None


def test_fresh_is_all_there_and_not_older_than_inputs(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    assert not is_fresh([old], [])
    for path, when in ((old, 1000), (new, 2000)):
        path.touch()
        os.utime(path, (when, when))
    assert is_fresh([old], [])
    assert is_fresh([new], [old])
    assert is_fresh([new], [new])
    assert not is_fresh([new, old], [new])
    assert not is_fresh([new], [old, tmp_path / "nowhere"])


def test_controls_of_the_best_network_are_left_to_the_workflow():
    """They can't begin before the networks are ranked; those of baselines can."""
    config = check_config({**yaml.safe_load(TINY.read_text()), "controls": {"seeds": 2}})
    baselines = ["baselines/unet2015", "controls/unet2015_2", "controls/unet2015_long"]
    assert launch.independent_runs(config) == ["r0/000", "r0/001", "r0/002", *baselines]
    job = launch.training_job(RESULTS, "controls/unet2015_long", ["genenet"])
    assert "results/settings/train_long.json" in job.inputs
    assert "results/genomes/controls/unet2015_long.json" in job.inputs


def test_an_image_that_isnt_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = yaml.safe_load(TINY.read_text())
    values["data"]["train"] = [{"path": "nowhere.tif", "labels": "labels.tif"}]
    Path("config.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match=r"^nowhere\.tif: no such file"):
        launch.submit(Path("config.yaml"), Options(cluster="local"))


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("Error in rule prepare\ngenenet: error: a.tif: bad\n\n  genenet: error: a.tif: bad", ["a.tif: bad"]),
        (
            "LockException:\nError: Directory cannot be locked. Please make sure that no other Snakemake",
            ["another Snakemake works in this folder; wait for it (after a crash: snakemake --unlock)"],
        ),
        ("one\n\ntwo", ["the workflow failed:", "one", "two"]),
    ],
)
def test_of_snakemakes_output_the_errors_are_shown(output, said):
    assert workflow.errors_in(output) == said


def test_without_the_checkout_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(workflow, "PROJECT", tmp_path)
    with pytest.raises(
        InputError, match=r"workflow/Snakefile: no such file; install genenet from its checkout"
    ):
        workflow.make(["x"], Path("config.yaml"), None, "")


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between attempts, which take no time here."""
    taken = []
    pause = submitit_job.pause_seconds
    monkeypatch.setattr(submitit_job, "pause_seconds", lambda *args: taken.append(pause(*args)) or 0)
    return taken


def child(tmp_path, *exits):
    """A training whose child exits with these codes, one after the other; a negative one is a signal."""
    script = (
        "import os, sys, pathlib; p = pathlib.Path('runs'); n = len(p.read_text()) if p.exists() else 0;"
        f"p.write_text('x' * (n + 1)); code = {exits}[n];"
        "os.kill(os.getpid(), -code) if code < 0 else sys.exit(code)"
    )
    return TrainingJob("r0/000", [sys.executable, "-c", script], str(tmp_path), [], ["nowhere"], "t.log")


def n_runs(tmp_path):
    return len((tmp_path / "runs").read_text())


def test_a_training_that_fails_is_started_again_until_it_publishes_that(tmp_path, pauses):
    child(tmp_path, 1, -signal.SIGKILL, 74, 2, 0)()
    assert n_runs(tmp_path) == 5
    (tmp_path / "runs").unlink()
    with pytest.raises(RuntimeError, match=r"r0/000: failed 5 times \(the last: 9\); see t.log"):
        child(tmp_path, 1, 1, 74, 2, 9, 0)()  # it can't even publish
    assert n_runs(tmp_path) == 5
    assert pauses == [10, 20, 40, 80] * 2


def test_pauses_grow_to_five_minutes():
    pauses = [submitit_job.pause_seconds(failures, 10) for failures in range(1, 9)]
    assert pauses == [10, 20, 40, 80, 160, 300, 300, 300]
    assert submitit_job.pause_seconds(4, 0) == 0


@pytest.mark.process
def test_only_failures_in_a_row_without_progress_count(tmp_path, pauses):
    """Each attempt adds an iteration and fails; later ones add none."""
    script = (
        "import pathlib, sys; from genenet.core.attempts import Attempts;"
        "p = pathlib.Path('runs'); n = len(p.read_text()) if p.exists() else 0; p.write_text('x' * (n + 1));"
        "Attempts(pathlib.Path('attempts.json'), 'x')._begin(min(n, 2)); sys.exit(74)"
    )
    job = TrainingJob("r0/000", [sys.executable, "-c", script], str(tmp_path), [], ["nowhere"], "t.log")
    with pytest.raises(RuntimeError, match="failed 5 times"):
        job()
    assert n_runs(tmp_path) == 2 + 5
    assert pauses == [10] * 3 + [20, 40, 80]


def test_an_error_of_the_machine_returns_the_job_to_slurms_queue(tmp_path, pauses, monkeypatch):
    """As submitit does it: its handler of the signal takes the checkpoint, and ends this process."""
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    each, seen = child(tmp_path, 1, 74, 1, 74, 0), []

    def handler(*_):
        seen.append(pickle.loads(pickle.dumps(each.checkpoint())).function)
        raise OSError("the disk is full") if len(seen) > 1 else SystemExit

    before = signal.signal(signal.SIGUSR2, handler)
    try:
        with pytest.raises(SystemExit):
            each()
        assert n_runs(tmp_path) == 2
        assert (seen[0].failures, seen[0].command) == (2, each.command)
        seen[0]()  # on another node; this time the job can't be returned, and the training is started again
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert n_runs(tmp_path) == 5
    assert pauses == [10, 40, 80]


def test_ctrl_c_ends_the_job(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        child(tmp_path, 130, 0)()
    assert n_runs(tmp_path) == 1


def test_a_stopped_training_goes_on_if_the_job_does(tmp_path, monkeypatch, pauses):
    monkeypatch.setattr(submitit_job, "OUTLIVED_SECONDS", 0)
    child(tmp_path, 75, -signal.SIGUSR2, 1, 128 + signal.SIGTERM, 75, 75, 0)()
    assert n_runs(tmp_path) == 7


def test_a_finished_training_isnt_run(tmp_path):
    each = child(tmp_path, 0)
    (tmp_path / "nowhere").touch()
    each()
    assert not (tmp_path / "runs").exists()


@pytest.mark.process
def test_a_checkpoint_stops_the_child_and_can_be_pickled(tmp_path):
    """As submitit's handler of signals calls it: in the thread that waits for the child."""
    script = (
        "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(75)); "
        "pathlib.Path('ready').touch(); time.sleep(60)"
    )
    each = TrainingJob("r0/000", [sys.executable, "-c", script], str(tmp_path), [], ["nowhere"], "t.log")
    seen = []

    def handler(*_):
        seen.append(pickle.loads(pickle.dumps(each.checkpoint())).function)
        raise SystemExit

    before = signal.signal(signal.SIGUSR2, handler)

    def ask():
        while not (tmp_path / "ready").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGUSR2)

    threading.Thread(target=ask, daemon=True).start()
    try:
        with pytest.raises(SystemExit):
            each()
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert each.child.returncode == 75
    assert seen[0].command == each.command
    assert seen[0].child is None


def publish(folder, run, **scores):
    """A finished training."""
    out = ResultPaths(Path("results")).run(run)
    out.folder.mkdir(parents=True)
    for path in out.outputs():
        (folder / path).touch()
    out.scores.write_text(json.dumps(scores))
    return TrainingJob(run, [], str(folder), [], out.outputs(), f"{run}.log")


def test_the_summary_says_what_failed_and_why(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    good = publish(tmp_path, "r0/000", status="ok", validation={"ari": 0.51})
    diverged = publish(tmp_path, "r0/001", status="diverged", reason="loss is nan")
    failed = publish(tmp_path, "r0/002", status="failed", reason="given up")
    lost, told = trainings(2)
    Path("1.log").write_text("--- first\ngenenet: error: old\n\n--- second\ngenenet: error: new\n")
    assert launch.print_summary([good, diverged], RESULTS, "slurm")
    assert capsys.readouterr().out.splitlines()[:2] == [
        "1 of 2 trainings ok",
        "  r0/001: diverged: loss is nan; see r0/001.log",
    ]
    assert not launch.print_summary([good, failed], RESULTS, "slurm")
    assert not launch.print_summary([lost, told], RESULTS, "slurm")
    lines = capsys.readouterr().out.splitlines()
    assert "  r0/002: failed: given up; see r0/002.log" in lines
    assert "  r0/000: crashed: ended without a result; see 0.log" in lines
    assert "  r0/001: crashed: new; see 1.log" in lines
