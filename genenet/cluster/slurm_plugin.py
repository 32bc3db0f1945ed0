"""What a search needs of Snakemake's Slurm plugin beyond what it does."""

from __future__ import annotations

import base64
import json
import os
import shlex
import subprocess
import sys
import zlib
from collections.abc import Iterable
from typing import Any

from genenet.core.errors import InputError


def mend() -> None:
    """Mend four things in the plugin (snakemake-executor-plugin-slurm 2.8), all seen on a real cluster.

    Of a rule with more ready jobs than the limit lets through at a time, it waits for the others before it
    submits an array, and never submits those it was given; they hold their places, and in the end nothing
    runs any more (its issue 473). Told that no others are ready, it doesn't wait.

    It asks sacct for raw job ids, in which tasks of an array have numbers of their own, finds none of the
    tasks, and takes the state of the one whose number is the array's for all. Plain ids name the tasks.

    Of a job that Slurm requeues because its node failed, it takes the node "None assigned", and every
    submission after that is refused. Only names that can be nodes are excluded.

    If accounting doesn't answer a few times, it forgets all jobs, and waits for them forever. No answer now
    means that no states are known now, and it asks again.
    """
    try:
        import snakemake_executor_plugin_slurm as plugin
    except ImportError:  # not on a cluster
        return
    query, command, answer = plugin.query_job_status_sacct, plugin.get_submit_command, plugin.query_job_status

    async def states(*args: Any) -> tuple[dict[str, str], float]:
        known, seconds = await answer(*args)
        return ({}, 0.0) if known is None else (known, seconds)

    def submit_command(*args: Any, failed_nodes: Iterable[str] | None = None, **options: Any) -> Any:
        nodes = {node for node in failed_nodes or () if node.isprintable() and not node.startswith("None")}
        return command(*args, failed_nodes=nodes, **options)

    plugin.pending_jobs_for_rule = lambda dag, rule_name: 0
    plugin.query_job_status_sacct = lambda runid: query(runid).replace("JobIdRaw", "JobID")
    plugin.get_submit_command = submit_command
    plugin.query_job_status = states


def become_own_array_task() -> None:
    """In a task of a job array but the first: replace this Snakemake, which is the first task's, by the task's own.

    The plugin starts every task with the Snakemake of the array's first job, and lets it start the task's. That
    deletes the first job's outputs, once more when the task fails, also if they have long been finished
    (snakemake-executor-plugin-slurm-jobstep 0.6).
    """
    own, first = (os.environ.get(f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "MIN"))
    payload = [a.partition("=")[2] for a in sys.argv if a.startswith("--slurm-jobstep-array-execs=")]
    if not payload or own is None or own == first:
        return
    command = array_commands(payload[0])[own]
    os.execvp("sh", ["sh", "-c", command])


def array_commands(payload: str) -> dict[str, str]:
    """Return the shell lines of an array's tasks from what the plugin packs into its submission."""
    packed: dict[str, str] = json.loads(base64.b64decode(payload))
    return {task: zlib.decompress(bytes.fromhex(line)).decode() for task, line in packed.items()}


def try_submission(jobs: Iterable[Any]) -> None:
    """Ask Slurm whether it would take one of Snakemake's ``jobs`` of each rule, before any is submitted.

    Raises:
        InputError: If not, such as for an unknown partition, a refused account, or more than any node has.
    """
    one_of_each = {job.rule.name: job for job in jobs if not job.is_local}
    asked: set[tuple[str, ...]] = set()
    outside = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_JOB")}
    for name, job in one_of_each.items():
        options = submit_options(job.resources, job.threads)
        if tuple(options) in asked:
            continue
        asked.add(tuple(options))
        command = ["sbatch", "--test-only", *options, "--wrap=true"]
        done = subprocess.run(command, env=outside, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = " ".join(
                done.stderr.replace("sbatch: error: ", "").replace("allocation failure: ", "").split()
            )
            raise InputError(
                f"Slurm doesn't take jobs of rule {name}: {reason} (asked for {shlex.join(options)}; mend the profile)"
            )


def submit_options(resources: Any, threads: int) -> list[str]:
    """Return the options of sbatch for a job's ``resources``, as the plugin translates them."""
    named = {
        "--account": resources.get("slurm_account"),
        "--partition": resources.get("slurm_partition"),
        "--time": resources.get("runtime"),
        "--mem": resources.get("mem_mb"),
        "--constraint": resources.get("constraint"),
        "--qos": resources.get("qos"),
        "--cpus-per-task": threads,
        "--gres": resources.get("gres"),
        "--gpus": ":".join(str(resources.get(k)) for k in ("gpu_model", "gpu") if resources.get(k)),
    }
    options = [f"{option}={value}" for option, value in named.items() if value]
    return options + shlex.split(str(resources.get("slurm_extra") or ""))
