"""Corrections of Snakemake's Slurm plugin, for the versions that they were written for.

The plugin, snakemake-executor-plugin-slurm, submits jobs and asks Slurm for their states. Inside each job, its
companion snakemake-executor-plugin-slurm-jobstep starts a second Snakemake, which runs the job's rule. Every function
here corrects one fault that was seen on a real cluster, and names the report of it. In other versions nothing is
changed, and job arrays, which don't work without the corrections, are turned off (``turn_off_arrays``).
"""

from __future__ import annotations

import base64
import json
import os
import sys
import zlib
from collections.abc import Iterable
from importlib import metadata
from typing import Any

PLUGIN = "snakemake-executor-plugin-slurm"
JOBSTEP = "snakemake-executor-plugin-slurm-jobstep"
TRIED = {PLUGIN: "2.8.0", JOBSTEP: "0.6.1"}  # the corrections were written for these and tried with them


def installed() -> dict[str, str]:
    """Return the versions of the plugin's two packages; empty where it isn't installed, as on a laptop."""
    try:
        return {name: metadata.version(name) for name in TRIED}
    except metadata.PackageNotFoundError:
        return {}


def correct() -> None:
    """Apply all corrections to the plugin of this process, if its version is one that they were written for."""
    if installed() != TRIED:
        return
    import snakemake_executor_plugin_slurm as plugin

    submit_arrays_without_waiting(plugin)
    separate_arrays_by_resources(plugin)
    ask_for_states_of_array_tasks(plugin)
    exclude_only_nodes(plugin)
    wait_for_accounting(plugin)


def turn_off_arrays(executor: Any) -> str:
    """Let the plugin's ``executor`` submit each job alone, if its version wasn't tried.

    Returns:
        One line that says so; empty if the version was tried.
    """
    found = installed()
    if found == TRIED:
        return ""
    executor.array_jobs = set()
    others = ", ".join(f"{name} {version}" for name, version in found.items() if version != TRIED[name])
    wanted = " ".join(f"{name}=={version}" for name, version in TRIED.items())
    return f"{others} wasn't tested with genenet: jobs are submitted one by one, not as arrays (pip install {wanted})"


def submit_arrays_without_waiting(plugin: Any) -> None:
    """Submit the jobs of a rule as soon as Snakemake offers them, without waiting for the rule's others.

    The plugin drops jobs that it is offered while more of the same rule are ready, and Snakemake never offers them
    again; they keep their places among ``jobs:`` until no place is left and nothing runs. Told that no others are
    ready, the plugin doesn't wait.

    Version 2.8.0; https://github.com/snakemake/snakemake-executor-plugin-slurm/issues/473
    """
    plugin.pending_jobs_for_rule = lambda dag, rule_name: 0


def separate_arrays_by_resources(plugin: Any) -> None:
    """Submit jobs of one rule that ask for different resources as different arrays.

    The plugin submits all as one array with the resources of the first. A job that ran out of memory and is retried
    with ``mem_mb: 8000 * attempt`` may so get the memory of a first attempt, again and again.

    Version 2.8.0; compare https://github.com/snakemake/snakemake-executor-plugin-slurm/issues/470
    """
    submit = plugin.Executor._submit_array_jobs
    nothing = dict.fromkeys(
        ("run_uuid", "slurm_logfile", "comment_str", "account", "partition", "workdir"), ""
    )

    def options(job: Any) -> tuple[str, ...]:
        """Return what a job asks for: options of sbatch; account and partition aren't among them."""
        named = (str(job.resources.get(name)) for name in ("slurm_account", "slurm_partition"))
        return (plugin.get_submit_command(job, nothing), plugin.set_gres_string(job), *named)

    def submit_array_jobs(executor: Any, jobs: list[Any]) -> None:
        groups: dict[tuple[str, ...], list[Any]] = {}
        for job in jobs:
            groups.setdefault(options(job), []).append(job)
        for alike in groups.values():
            if len(alike) == 1:
                executor._submit_job(alike[0])
            else:
                submit(executor, alike)

    plugin.Executor._submit_array_jobs = submit_array_jobs


def ask_for_states_of_array_tasks(plugin: Any) -> None:
    """Ask sacct for plain job ids, 7_3, which name the tasks of an array.

    The plugin asks for raw job ids. There each task has a number of its own, so that the plugin finds none of the
    tasks, and takes the state of the one task whose number is the array's for the state of all.

    Version 2.8.0; not reported yet (in ``query_job_status_sacct``)
    """
    query = plugin.query_job_status_sacct
    plugin.query_job_status_sacct = lambda run_id: query(run_id).replace("JobIdRaw", "JobID")


def exclude_only_nodes(plugin: Any) -> None:
    """Exclude only what can be a node from later submissions.

    When Slurm requeues a job because its node failed, the plugin reads "None assigned" as the node's name and
    excludes it, and Slurm refuses every later submission.

    Version 2.8.0; https://github.com/snakemake/snakemake-executor-plugin-slurm/issues/485
    """
    command = plugin.get_submit_command

    def submit_command(*args: Any, failed_nodes: Iterable[str] | None = None, **options: Any) -> Any:
        nodes = {node for node in failed_nodes or () if node.isprintable() and not node.startswith("None")}
        return command(*args, failed_nodes=nodes, **options)

    plugin.get_submit_command = submit_command


def wait_for_accounting(plugin: Any) -> None:
    """Treat an accounting database that doesn't answer as no news, and ask again later.

    After some questions without an answer, the plugin forgets all jobs, and Snakemake waits for them forever.

    Version 2.8.0; https://github.com/snakemake/snakemake-executor-plugin-slurm/issues/207
    """
    query = plugin.query_job_status

    async def states(*args: Any) -> tuple[dict[str, str], float]:
        known, seconds = await query(*args)
        return ({}, 0.0) if known is None else (known, seconds)

    plugin.query_job_status = states


def become_own_array_task() -> None:
    """In each task of a job array but the first: replace this Snakemake by the one of the task's own job.

    The plugin starts every task with the Snakemake of the array's first job, which then starts the task's own. The
    outer one deletes the outputs of the first job when it starts, and again when the task fails, even if they
    are finished; and it expects the outputs of the first job at the end.

    Versions 2.8.0 and 0.6.1 (jobstep); https://github.com/snakemake/snakemake-executor-plugin-slurm/issues/447
    """
    own, first = (os.environ.get(f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "MIN"))
    payload = [a.partition("=")[2] for a in sys.argv if a.startswith("--slurm-jobstep-array-execs=")]
    if not payload or own is None or own == first:
        return
    os.execvp("sh", ["sh", "-c", array_commands(payload[0])[own]])


def array_commands(payload: str) -> dict[str, str]:
    """Return the shell command of each task of an array, from the argument in which the plugin packs them."""
    packed: dict[str, str] = json.loads(base64.b64decode(payload))
    return {task: zlib.decompress(bytes.fromhex(command)).decode() for task, command in packed.items()}
