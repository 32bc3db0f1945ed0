"""Asks Slurm whether it would accept a search's jobs, before any is submitted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from typing import Any

from genenet.core.errors import InputError, one_line


def try_submission(executor: Any, jobs: Iterable[Any]) -> None:
    """Try to submit one job of each rule (``sbatch --test-only``).

    Args:
        executor: of Snakemake's Slurm plugin.
        jobs: Snakemake's jobs.

    Raises:
        InputError: If Slurm or the plugin refuses a job, such as for an unknown partition or account, or for more
            memory than any node has.
    """
    from snakemake_interface_common.exceptions import WorkflowError

    one_of_each = {job.rule.name: job for job in jobs if not job.is_local}
    tried: set[str] = set()
    for rule, job in one_of_each.items():
        try:
            command = sbatch_command(executor, job)
        except WorkflowError as error:
            raise InputError(
                f"Slurm doesn't take jobs of rule {rule}: {one_line(error)} (correct the profile)"
            ) from None
        if command not in tried:
            tried.add(command)
            _try(command, rule)


def sbatch_command(executor: Any, job: Any) -> str:
    """Return the shell line with which the plugin would submit a job, made by the plugin, up to the job's command.

    Raises:
        WorkflowError: If the plugin refuses the job's resources.
    """
    import snakemake_executor_plugin_slurm as plugin

    plugin.validate_slurm_extra(job)
    parameters = {
        "run_uuid": executor.run_uuid,
        "slurm_logfile": os.devnull,
        "comment_str": "trial",
        "account": next(executor.get_account_arg(job)),
        "partition": executor.get_partition_arg(job),
        "workdir": executor.workflow.workdir_init,
    }
    settings = executor.workflow.executor_settings
    return str(plugin.get_submit_command(job, parameters, settings=settings) + plugin.set_gres_string(job))


def _try(command: str, rule: str) -> None:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_JOB")}
    done = subprocess.run(
        f"{command} --test-only --wrap=true",
        shell=True,
        env=outside,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = " ".join(
            done.stderr.replace("sbatch: error: ", "").replace("allocation failure: ", "").split()
        )
        raise InputError(
            f"Slurm doesn't take jobs of rule {rule}: {reason} (tried: {command}; correct the profile)"
        )
