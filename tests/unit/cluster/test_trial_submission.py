"""What Slurm is asked before anything is submitted; a real Slurm is asked in tests/cluster."""

from types import SimpleNamespace

import pytest

from genenet.cluster.trial_submission import sbatch_command, try_submission
from genenet.core.errors import InputError

pytest.importorskip("snakemake_executor_plugin_slurm")


@pytest.fixture
def executor(monkeypatch, tmp_path):
    """The plugin's own executor, without a cluster; Slurm's programs write down how they are called."""
    from snakemake_executor_plugin_slurm import Executor, ExecutorSettings

    (tmp_path / "bin").mkdir()
    program(tmp_path, "sbatch", 'echo "$@" >> asked; exit 0')
    program(tmp_path, "sacctmgr", "echo lab; echo lab2")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.chdir(tmp_path)
    made = Executor.__new__(Executor)
    made.run_uuid, made._partitions, made._fallback_account_arg = "genenet_1", None, None
    made.logger = SimpleNamespace(warning=print, debug=print)
    made.workflow = SimpleNamespace(workdir_init="/a b", executor_settings=ExecutorSettings(requeue=True))
    return made


def program(folder, name, script):
    (folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin" / name).chmod(0o755)


def job(rule="train", threads=2, **resources):
    resources = {"slurm_account": "lab", "slurm_partition": "gpu", **resources}
    items = SimpleNamespace(**resources)
    items.get = lambda name, default=None: resources.get(name, default)
    return SimpleNamespace(resources=items, threads=threads, rule=SimpleNamespace(name=rule), is_local=False)


@pytest.mark.parametrize(
    ("resources", "options"),
    [
        ({"slurm_account": "lab,lab2"}, ["-A lab "]),
        ({"runtime": 240, "mem_mb": 16000}, ["-t 240", "--mem 16000", "--cpus-per-task=2", "--requeue"]),
        ({"mem_mb_per_cpu": 2000, "mem_mb": 9}, ["--mem-per-cpu 2000"]),
        ({"clusters": "big"}, ["--clusters big"]),
        ({"nodes": 2, "tasks": 3}, ["--nodes=2", "--ntasks=3"]),
        ({"gres": "gpu:v100x:1", "tasks": 1}, ["--gres=gpu:v100x:1", "--ntasks-per-gpu=1"]),
        ({"gpu": 1, "gpu_model": "k80"}, ["--gpus=k80:1"]),
        ({"slurm_extra": "--gres\\=gpu:v100x:1,lscratch:100"}, ["--gres\\=gpu:v100x:1,lscratch:100"]),
        ({"qos": "high", "constraint": "a|b"}, ["--qos=high", "-C 'a|b'"]),
    ],
)
def test_slurm_is_asked_what_the_plugin_will_ask(executor, resources, options):
    command = sbatch_command(executor, job(**resources))
    for option in options:
        assert option in command
    assert "-D '/a b'" in command


def test_one_job_of_each_rule_is_tried_and_nothing_twice(executor, tmp_path):
    try_submission(executor, [job(), job(), job("segment"), job("test", threads=1)])
    asked = (tmp_path / "asked").read_text().splitlines()
    assert len(asked) == 2
    assert all(line.endswith("--test-only --wrap=true") for line in asked)


def test_local_jobs_are_not_tried(executor, tmp_path):
    local = job()
    local.is_local = True
    try_submission(executor, [local])
    assert not (tmp_path / "asked").exists()


def test_slurms_reason_is_one_line(executor, tmp_path):
    program(tmp_path, "sbatch", "echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1")
    with pytest.raises(
        InputError, match=r"^Slurm doesn't take jobs of rule train: invalid part.*correct the profile"
    ):
        try_submission(executor, [job()])


@pytest.mark.parametrize(
    ("resources", "reason"),
    [
        ({"slurm_account": "theirs"}, "The given account theirs appears to be invalid"),
        ({"slurm_extra": "--gres=gpu:1 --time=9"}, "option is not allowed in the 'slurm_extra' parameter"),
        ({"gres": "gpu:1,lscratch:1"}, "Invalid GRES format"),
    ],
)
def test_what_the_plugin_refuses_is_one_line(executor, resources, reason):
    with pytest.raises(InputError, match=rf"Slurm doesn't take jobs of rule train: .*{reason}"):
        try_submission(executor, [job(**resources)])
