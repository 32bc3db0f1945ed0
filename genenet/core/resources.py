"""What this process was given: GPUs and cores of Slurm, memory of the C library. No torch."""

from __future__ import annotations

import ctypes
import os
from typing import Any

# those that begin with SLURM_ are taken away from array tasks by Snakemake's job step
_GPU_VARIABLES = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "GPU_DEVICE_ORDINAL", "CUDA_VISIBLE_DEVICES")
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # malloc.h
_NO_DEVICE = ("", "-1", "NoDevFiles")  # the last is what Slurm writes in a job without GPUs


GRANTED = (
    "GENENET_GPU_GRANTED"  # what a job's Snakemake, which sees all of Slurm's variables, tells its commands
)


def gpu_granted() -> bool:
    """Whether this process is in a Slurm job that was given a GPU."""
    counted = os.environ.get("SLURM_GPUS_ON_NODE", "0") not in ("", "0")
    named = any(_names_a_device(variable) for variable in _GPU_VARIABLES)
    return in_job() and (counted or named or GRANTED in os.environ)


def announce_gpu() -> None:
    """Let the commands that this process starts know that their job was given a GPU."""
    if gpu_granted():
        os.environ[GRANTED] = "yes"


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


def keep_freed_memory() -> None:
    """Let glibc keep the memory of freed arrays for the next ones, instead of giving it back each time.

    Activations are of many megabytes and are made and freed some thousand times a minute; fresh pages, which
    the system must clear first, cost a tenth of a training's time on two cores, or more. All threads share one arena:
    in the 64 MB pieces of several ones large arrays leave gaps, which add up. Other C libraries: nothing.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_ARENA_MAX, 1)


def give_back_freed_memory() -> None:
    """Let glibc give back the pages that no array is in; those between arrays, too. Other C libraries: nothing."""
    malloc_trim = _of_glibc("malloc_trim")
    if malloc_trim:
        malloc_trim(0)


def _of_glibc(name: str) -> Any:
    """Return a function, or None if it is another C library: musl, macOS."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
