"""What we add to Snakemake's Slurm plugin; on a real cluster in tests/cluster."""

import asyncio
import base64
import json
import os
import sys
import zlib
from types import SimpleNamespace

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
    ran = []
    monkeypatch.setattr(os, "execvp", lambda *arguments: ran.append(arguments))
    monkeypatch.setattr(sys, "argv", ["snakemake"])
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    slurm_plugin.become_own_array_task()
    assert ran == []
    assert sys.argv == ["snakemake"]


@pytest.fixture
def plugin(monkeypatch):
    """The plugin, put back afterwards."""
    import snakemake_executor_plugin_slurm as plugin

    for name in ("query_job_status_sacct", "pending_jobs_for_rule", "get_submit_command", "query_job_status"):
        monkeypatch.setattr(plugin, name, getattr(plugin, name))
    monkeypatch.setattr(plugin.Executor, "_submit_array_jobs", plugin.Executor._submit_array_jobs)
    return plugin


def test_the_installed_versions_are_those_that_were_tried():
    pytest.importorskip("snakemake_executor_plugin_slurm")
    assert slurm_plugin.installed() == slurm_plugin.TRIED


@pytest.mark.parametrize("versions", [{"snakemake-executor-plugin-slurm": "2.9.0"}, {}])
def test_other_versions_arent_touched(plugin, monkeypatch, versions):
    monkeypatch.setattr(slurm_plugin, "installed", lambda: versions and {**slurm_plugin.TRIED, **versions})
    before = dict(vars(plugin))
    slurm_plugin.correct()
    assert dict(vars(plugin)) == before


def test_with_other_versions_arrays_are_off_and_one_line_says_so(monkeypatch):
    executor = SimpleNamespace(array_jobs={"train"})
    assert slurm_plugin.turn_off_arrays(executor) == ""
    assert executor.array_jobs == {"train"}
    newer = {**slurm_plugin.TRIED, "snakemake-executor-plugin-slurm": "2.9.0"}
    monkeypatch.setattr(slurm_plugin, "installed", lambda: newer)
    line = slurm_plugin.turn_off_arrays(executor)
    assert executor.array_jobs == set()
    assert line.startswith("snakemake-executor-plugin-slurm 2.9.0 wasn't tested with genenet: ")
    assert "pip install snakemake-executor-plugin-slurm==2.8.0 snakemake-exec" in line
    assert "\n" not in line


def snakemake_job(threads=1, **resources):
    """A job as the plugin sees it: Snakemake's own resources, with their attributes."""
    items = SimpleNamespace(**resources)
    items.get = lambda name, default=None: resources.get(name, default)
    items.keys = resources.keys
    return SimpleNamespace(resources=items, threads=threads, name="train")


def test_jobs_that_ask_for_different_resources_are_different_arrays(plugin, monkeypatch):
    submitted = []
    monkeypatch.setattr(plugin.Executor, "_submit_array_jobs", lambda _, jobs: submitted.append(jobs))
    executor = SimpleNamespace(_submit_job=submitted.append)
    slurm_plugin.separate_arrays_by_resources(plugin)
    small, large = (
        [snakemake_job(mem_mb=1000) for _ in range(3)],
        [snakemake_job(mem_mb=2000) for _ in range(2)],
    )
    other, long = snakemake_job(mem_mb=1000, slurm_account="lab2"), snakemake_job(mem_mb=1000, runtime=5)
    plugin.Executor._submit_array_jobs(executor, [small[0], large[0], other, *small[1:], long, large[1]])
    assert submitted == [small, large, other, long]


def test_the_plugin_is_asked_for_states_of_array_tasks(plugin):
    assert "--format=JobIdRaw,State" in plugin.query_job_status_sacct(
        "x"
    )  # else the correction isn't needed any more
    slurm_plugin.correct()
    assert "--format=JobID,State" in plugin.query_job_status_sacct("x")


def test_only_nodes_are_excluded(plugin, monkeypatch):
    asked = []
    monkeypatch.setattr(
        plugin, "get_submit_command", lambda *_, **options: asked.append(options["failed_nodes"])
    )
    slurm_plugin.correct()
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
    slurm_plugin.correct()
    assert asyncio.run(plugin.query_job_status("sacct", None)) == known
