"""What Slurm gave this job: GPUs and cores. No torch."""

from __future__ import annotations

import os

# SLURM_JOB_GPUS is taken away from array tasks by Snakemake's job step, so the others count as well
_GPU_VARIABLES = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "GPU_DEVICE_ORDINAL", "CUDA_VISIBLE_DEVICES")
_NO_DEVICE = ("", "-1", "NoDevFiles")  # the last is what Slurm writes in a job without GPUs


def gpu_granted() -> bool:
    """Whether this process is in a Slurm job that was given a GPU."""
    return in_job() and any(_names_a_device(variable) for variable in _GPU_VARIABLES)


def gpus_hidden() -> bool:
    """Whether CUDA_VISIBLE_DEVICES is set and names no device, so that torch sees none."""
    return "CUDA_VISIBLE_DEVICES" in os.environ and not _names_a_device("CUDA_VISIBLE_DEVICES")


def _names_a_device(variable: str) -> bool:
    return os.environ.get(variable, "").strip() not in _NO_DEVICE


def in_job() -> bool:
    """Whether this process is in a Slurm job."""
    return bool(os.environ.get("SLURM_JOB_ID"))


def available_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
