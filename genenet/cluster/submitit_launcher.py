"""Runs training jobs without Snakemake: as one Slurm array, or as local processes."""

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
from dataclasses import replace
from pathlib import Path
from typing import Any

from genenet.cluster.submit_options import Options
from genenet.cluster.submitit_job import TrainingJob
from genenet.core.errors import InputError
from genenet.core.resources import available_cores

SIGNAL_SECONDS = 90  # so long before it kills a job, Slurm asks it to stop
POLL_SECONDS = 30  # between two calls of squeue
UNLIMITED = 10**6  # slices of walltime, and minutes of a local process


def choose_cluster(options: Options) -> str:
    """Return slurm or local; raises InputError if that isn't possible here."""
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
    """Return the parameters of submitit's SlurmExecutor."""
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
        "wckey": None,  # not every cluster knows submitit's
        "srun_args": [
            f"--cpus-per-task={threads}"
        ],  # since Slurm 22.05, srun doesn't inherit it from the job
        "additional_parameters": {"requeue": True, **sbatch_options(options.gpu)},
    }


def sbatch_options(text: str) -> dict[str, str | bool]:
    """Read options of sbatch, such as ``gpus=v100x:1 exclusive``, with or without hyphens before them."""
    pairs = (word.lstrip("-").partition("=") for word in shlex.split(text))
    return {name: value if equals else True for name, equals, value in pairs}


def run_on_slurm(
    jobs: list[TrainingJob], logs: Path, options: Options, threads: int
) -> Generator[TrainingJob]:
    """Submit jobs as one array and print how to watch it; if wanted, wait and yield each job when it ends."""
    by_id = submit_array(jobs, logs / "submit", slurm_parameters(options, threads))
    array = next(iter(by_id)).partition("_")[0]
    print(f"Slurm job {array}; watch it: squeue -j {array}, and the logs in {logs}/train/", flush=True)
    if options.wait:
        yield from ended_jobs(by_id)


def submit_array(jobs: list[TrainingJob], folder: Path, parameters: dict[str, Any]) -> dict[str, TrainingJob]:
    """Submit jobs as one array; return them by Slurm's job id. Raises InputError if Slurm refuses them."""
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    executor = SlurmExecutor(folder, max_num_timeout=UNLIMITED)
    executor.update_parameters(**parameters)
    try:
        with _without_slurm_job(), redirect_stderr(io.StringIO()):
            submitted = executor.submit_array(jobs)
    except (FailedJobError, FailedSubmissionError) as error:
        reason = " ".join(str(error).replace("sbatch: error: ", "").split())
        raise InputError(f"Slurm doesn't take the trainings: {reason}") from None
    return {each.job_id: job for each, job in zip(submitted, jobs, strict=True)}


@contextmanager
def _without_slurm_job() -> Iterator[None]:
    """Hide the Slurm variables of the job that this process runs in: sbatch takes them as options of the new job."""
    inside = "SLURM_JOB_ID" in os.environ
    names = [n for n in os.environ if inside and n.startswith(("SLURM_", "SRUN_")) and n != "SLURM_CONF"]
    hidden = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(hidden)


def ended_jobs(jobs: dict[str, TrainingJob]) -> Generator[TrainingJob]:
    """Yield each job when its results exist or it has left the queue."""
    left, gone = dict(jobs), set[str]()
    try:
        while left:
            time.sleep(POLL_SECONDS)
            queued = _queued()
            for job_id in [i for i in left if left[i].is_done() or i in gone]:
                yield left.pop(job_id)
            # files may appear late on a network file system: a job is gone after one more poll
            gone = set() if queued is None else set(left) - queued
    except KeyboardInterrupt:
        array = next(iter(jobs)).partition("_")[0]
        print(f"Slurm continues job {array}; to stop it: scancel {array}", flush=True)
        raise


def _queued() -> set[str] | None:
    """Return the ids of this user's jobs that haven't ended; None if Slurm doesn't answer."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode else set(done.stdout.split())


def run_locally(
    jobs: list[TrainingJob], logs: Path, options: Options, threads: int
) -> Generator[TrainingJob]:
    """Run jobs as local processes, some at a time; yield each when it ends. Ctrl-C lets each keep a checkpoint."""
    from submitit import LocalExecutor

    executor = LocalExecutor(logs / "submit", max_num_timeout=UNLIMITED)
    executor.update_parameters(timeout_min=UNLIMITED, stderr_to_stdout=True)
    at_once = options.jobs or max(1, available_cores() // threads)
    waiting, running = list(jobs), dict[Any, TrainingJob]()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.pop(0)
                with _ctrl_c_ignored():
                    running[executor.submit(replace(job, command=[*_same_gpus(), *job.command]))] = job
            time.sleep(0.5)
            for process in [process for process in running if process.done()]:
                yield running.pop(process)
    except KeyboardInterrupt:
        print("stopping; the same command continues from the last checkpoints", flush=True)
        raise
    finally:
        for process in running:
            with suppress(ProcessLookupError):
                os.kill(int(process.job_id), signal.SIGTERM)
        for process in running:
            process.wait()


def _same_gpus() -> list[str]:
    """Return the command that shows a process this one's GPUs: submitit hides them unless a number is asked for."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [
        "env",
        *(["-u", "CUDA_VISIBLE_DEVICES"] if visible is None else [f"CUDA_VISIBLE_DEVICES={visible}"]),
    ]


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """Let processes that start now ignore Ctrl-C: they get SIGTERM instead, and keep checkpoints."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
