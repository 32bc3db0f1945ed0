"""What we add to Snakemake's Slurm plugin; on a real cluster in tests/cluster."""

import asyncio
import base64
import json
import os
import sys
import zlib

import pytest

from genenet.cluster import slurm_plugin


@pytest.fixture
def payload():
    lines = {"2": "snakemake two", "3": "snakemake 'three'"}
    packed = {task: zlib.compress(line.encode(), level=9).hex() for task, line in lines.items()}
    return base64.b64encode(json.dumps(packed).encode()).decode()


def test_an_arrays_lines_are_read(payload):
    assert slurm_plugin.array_commands(payload) == {"2": "snakemake two", "3": "snakemake 'three'"}


@pytest.mark.parametrize(("task", "becomes"), [("1", []), ("3", ["snakemake 'three'"]), (None, [])])
def test_a_task_but_the_first_becomes_its_own(monkeypatch, payload, task, becomes):
    ran = []
    monkeypatch.setattr(os, "execvp", lambda _, arguments: ran.append(arguments[2]))
    monkeypatch.setattr(sys, "argv", ["snakemake", f"--slurm-jobstep-array-execs={payload}"])
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "1")
    if task:
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
    slurm_plugin.become_own_array_task()
    assert ran == becomes


def test_outside_of_arrays_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["snakemake"])
    slurm_plugin.become_own_array_task()


def test_options_of_sbatch_are_those_of_the_plugin():
    resources = {
        "slurm_account": "lab",
        "slurm_partition": "gpu",
        "runtime": 240,
        "mem_mb": 16000,
        "slurm_extra": r"--gres\=gpu:v100x:1,lscratch:100",
    }
    options = slurm_plugin.submit_options(resources, 2)
    assert options == [
        *("--account=lab", "--partition=gpu", "--time=240", "--mem=16000", "--cpus-per-task=2"),
        "--gres=gpu:v100x:1,lscratch:100",
    ]
    assert "--gpus=k80:1" in slurm_plugin.submit_options({"gpu": 1, "gpu_model": "k80"}, 1)


@pytest.fixture
def plugin(monkeypatch):
    """The plugin, put back afterwards."""
    import snakemake_executor_plugin_slurm as plugin

    for name in ("query_job_status_sacct", "pending_jobs_for_rule", "get_submit_command", "query_job_status"):
        monkeypatch.setattr(plugin, name, getattr(plugin, name))
    return plugin


def test_the_plugin_is_asked_for_states_of_array_tasks(plugin):
    assert "--format=JobIdRaw,State" in plugin.query_job_status_sacct(
        "x"
    )  # else there's nothing to mend any more
    slurm_plugin.mend()
    assert "--format=JobID,State" in plugin.query_job_status_sacct("x")


def test_only_nodes_are_excluded(plugin, monkeypatch):
    asked = []
    monkeypatch.setattr(
        plugin, "get_submit_command", lambda *_, **options: asked.append(options["failed_nodes"])
    )
    slurm_plugin.mend()
    for nodes in ({"None assigned", "cn12"}, set(), None):
        plugin.get_submit_command("job", {}, settings=None, failed_nodes=nodes)
    assert asked == [{"cn12"}, set(), set()]


@pytest.mark.parametrize(
    ("answer", "known"), [((None, None), ({}, 0.0)), (({"4_1": "RUNNING"}, 0.1), ({"4_1": "RUNNING"}, 0.1))]
)
def test_no_answer_is_no_news(plugin, monkeypatch, answer, known):
    async def query(command, logger):
        return answer

    monkeypatch.setattr(plugin, "query_job_status", query)
    slurm_plugin.mend()
    assert asyncio.run(plugin.query_job_status("sacct", None)) == known
