"""Where trainings run without Snakemake: as one Slurm array, or as local processes. By submitit."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genenet.cluster.submitit_job import Training
from genenet.core.errors import InputError

SIGNAL_SECONDS = 90  # Slurm asks a job to stop so long before it kills it
LOOK_SECONDS = 30  # between two questions to Slurm
UNLIMITED = 10**6  # slices of walltime, and minutes of a local process


@dataclass(frozen=True)
class Options:
    """How trainings are submitted; None is the cluster's own default."""

    cluster: str | None = None  # slurm or local; None: slurm, if it is there
    partition: str | None = None
    account: str | None = None
    gpu: str = ""  # options of sbatch, such as "gpus=v100x:1"
    minutes: int = 240
    mem_gb: int = 16
    jobs: int | None = None  # at a time
    container_args: str = ""
    wait: bool = True


def choose_cluster(options: Options) -> str:
    """Return slurm or local; raises InputError if that can't be done here."""
    found = bool(shutil.which("sbatch") and shutil.which("srun"))
    cluster = options.cluster or ("slurm" if found else "local")
    if cluster not in ("slurm", "local"):
        raise InputError(f"--cluster {cluster}: use slurm or local")
    if cluster == "slurm" and not found:
        raise InputError("--cluster slurm: sbatch and srun aren't on the PATH; log in to the cluster")
    if cluster == "local" and not options.wait:
        raise InputError("--no-wait: local processes are started by this command, one when another ends")
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise InputError("submitit isn't installed: pip install genenet[workflow]") from None
    return cluster


def slurm_parameters(options: Options, threads: int) -> dict[str, Any]:
    """Return what submitit's SlurmExecutor is told."""
    return {
        "job_name": "genenet-submit",
        "partition": options.partition,
        "account": options.account,
        "time": options.minutes,
        "mem": f"{options.mem_gb}G",
        "cpus_per_task": threads,
        "signal_delay_s": min(SIGNAL_SECONDS, 15 * options.minutes),  # leaves time to train in short slices
        "array_parallelism": options.jobs or UNLIMITED,
        "stderr_to_stdout": True,
        "wckey": None,  # submitit's own isn't known everywhere
        "srun_args": [f"--cpus-per-task={threads}"],  # srun doesn't take it from its job
        "additional_parameters": {"requeue": True, **sbatch_options(options.gpu)},
    }


def sbatch_options(text: str) -> dict[str, str | bool]:
    """Read options of sbatch, such as ``gpus=v100x:1 exclusive``, with or without hyphens before them."""
    pairs = (word.lstrip("-").partition("=") for word in shlex.split(text))
    return {name: value if equals else True for name, equals, value in pairs}


def submit_array(trainings: list[Training], folder: Path, parameters: dict[str, Any]) -> dict[str, Training]:
    """Submit trainings as one array; return them by job id. Raises InputError if Slurm doesn't take it."""
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    executor = SlurmExecutor(folder, max_num_timeout=UNLIMITED)
    executor.update_parameters(**parameters)
    try:
        with _outside_of_jobs(), redirect_stderr(io.StringIO()):
            jobs = executor.submit_array(trainings)
    except (FailedJobError, FailedSubmissionError) as error:
        reason = " ".join(str(error).replace("sbatch: error: ", "").split())
        raise InputError(f"Slurm doesn't take the trainings: {reason}") from None
    return {job.job_id: each for job, each in zip(jobs, trainings, strict=True)}


@contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Hide what Slurm has told the job that this process is in, which would count for the new one as well."""
    inside = "SLURM_JOB_ID" in os.environ
    names = [n for n in os.environ if inside and n.startswith(("SLURM_", "SRUN_")) and n != "SLURM_CONF"]
    hidden = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(hidden)


def ends_of(jobs: dict[str, Training]) -> Generator[Training]:
    """Give each training when it ends: its results are there, or its job has left the queue."""
    left, gone = dict(jobs), set[str]()
    try:
        while left:
            time.sleep(LOOK_SECONDS)
            queued = _queued()
            for job in [j for j in left if left[j].is_done() or j in gone]:
                yield left.pop(job)
            gone = set() if queued is None else set(left) - queued  # files may be seen late: one more look
    except KeyboardInterrupt:
        array = next(iter(jobs)).partition("_")[0]
        print(f"Slurm goes on with job {array}; to stop it: scancel {array}", flush=True)
        raise


def _queued() -> set[str] | None:
    """Return the ids of this user's jobs that haven't ended; None if Slurm doesn't answer."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode else set(done.stdout.split())


def run_locally(trainings: list[Training], folder: Path, at_once: int) -> Generator[Training]:
    """Run trainings as local processes, so many at a time; give each when it ends. Ctrl-C stops them in order."""
    from submitit import LocalExecutor

    executor = LocalExecutor(folder, max_num_timeout=UNLIMITED)
    executor.update_parameters(timeout_min=UNLIMITED, stderr_to_stdout=True)
    waiting, running = list(trainings), dict[Any, Training]()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                each = waiting.pop(0)
                with _deaf_to_ctrl_c():
                    job = executor.submit(replace(each, command=[*_own_gpus(), *each.command]))
                running[job] = each
            time.sleep(0.5)
            for job in [job for job in running if job.done()]:
                yield running.pop(job)
    except KeyboardInterrupt:
        print("stopping; the same command goes on from the last checkpoints", flush=True)
        raise
    finally:
        for job in running:
            with suppress(ProcessLookupError):
                os.kill(int(job.job_id), signal.SIGTERM)
        for job in running:
            job.wait()


def _own_gpus() -> list[str]:
    """Show processes the GPUs again, which submitit hides from those that don't ask for a number of them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [
        "env",
        *(["-u", "CUDA_VISIBLE_DEVICES"] if visible is None else [f"CUDA_VISIBLE_DEVICES={visible}"]),
    ]


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that start now don't hear Ctrl-C: they are asked to stop, and keep checkpoints."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
