"""What this process may use: GPUs, cores and memory."""

from __future__ import annotations

import ctypes
import os
import resource
from pathlib import Path
from typing import Any

MEBIBYTE = 2**20
TILE_BYTES = 1e9  # that the networks may take for a tile, on each core, by default
_GROUPS, _GROUPS_ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")

# Snakemake's job step removes those that begin with SLURM_ from array tasks
_GPU_VARIABLES = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "GPU_DEVICE_ORDINAL", "CUDA_VISIBLE_DEVICES")
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # malloc.h
_NO_DEVICE = ("", "-1", "NoDevFiles")  # the last is what Slurm writes in a job without GPUs


GRANTED = (
    "GENENET_GPU_GRANTED"  # set for its commands by a job's Snakemake, which sees all of Slurm's variables
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
    """Whether CUDA_VISIBLE_DEVICES is set and names no device, so that torch finds none."""
    return "CUDA_VISIBLE_DEVICES" in os.environ and not _names_a_device("CUDA_VISIBLE_DEVICES")


def _names_a_device(variable: str) -> bool:
    return os.environ.get(variable, "").strip() not in _NO_DEVICE


def in_job() -> bool:
    """Whether this process is in a Slurm job."""
    return bool(os.environ.get("SLURM_JOB_ID"))


def available_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_of_job() -> int:
    """Cores that this process may run on, and not more than its Slurm job has asked for."""
    asked = os.environ.get("SLURM_CPUS_PER_TASK", "") if in_job() else ""
    return min(available_cores(), int(asked)) if asked.isdigit() and int(asked) else available_cores()


def threads_that_fit(wanted: int | None, bytes_each: float = TILE_BYTES) -> int:
    """Return how many threads to use for work whose result doesn't depend on their number.

    Args:
        wanted: at most; None: all cores of the job.
        bytes_each: memory that each thread may take; fewer threads are used if the free memory is less than all of it.
    """
    cores = cores_of_job()
    return max(1, min(wanted or cores, cores, int(available_memory() // bytes_each)))


def keep_freed_memory() -> None:
    """Let glibc keep the memory of freed arrays for the next ones, instead of returning it to the system each time.

    Activations take many megabytes and are allocated and freed some thousand times a minute. The system must clear
    fresh pages first, which costs a tenth of a training's time on two cores, or more. All threads share one arena,
    since large arrays leave gaps in the 64 MB pieces of several arenas. With other C libraries this does nothing.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_ARENA_MAX, 1)


def give_back_freed_memory() -> None:
    """Let glibc return all unused pages to the system, also those between arrays; other C libraries do nothing."""
    malloc_trim = _of_glibc("malloc_trim")
    if malloc_trim:
        malloc_trim(0)


def _of_glibc(name: str) -> Any:
    """Return a function, or None if it is another C library: musl, macOS."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None


def available_memory() -> float:
    """Return the bytes that this process may still use: of the machine, its control group, and its Slurm job."""
    return min([_on_machine("MemAvailable"), *_of_control_group(), *_of_slurm_job()])


def total_memory() -> float:
    """Return the bytes that this process could use if no other process used any."""
    return min([_on_machine("MemTotal"), *_of_control_group(), *_of_slurm_job()])


def peak_memory() -> float:
    """Return the most bytes that this process ever had in memory, mapped files included."""
    try:
        return peak_memory_of("self")
    except (OSError, StopIteration):  # not Linux
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def peak_memory_of(process: int | str) -> float:
    """Return the most bytes that a process ever had in memory, mapped files included.

    Raises:
        OSError, StopIteration: If it has ended, or this isn't Linux.
    """
    return _kibibytes(f"/proc/{process}/status", "VmHWM")


def _on_machine(name: str) -> float:
    try:
        return _kibibytes("/proc/meminfo", name)
    except (OSError, StopIteration):  # not Linux
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _kibibytes(path: str, name: str) -> float:
    """Return the number of bytes in a line such as ``MemAvailable:  123 kB``."""
    lines = Path(path).read_text().splitlines()
    return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _of_control_group(groups: Path = _GROUPS, root: Path = _GROUPS_ROOT) -> list[float]:
    """Return the limits of this process's control group and of those above it: Slurm limits the job's."""
    try:
        lines = groups.read_text().splitlines()
    except OSError:  # not Linux
        return []
    files = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            files += [folder / "memory.max" for folder in _upwards(root, path)]
        elif "memory" in controllers.split(","):
            files += [folder / "memory.limit_in_bytes" for folder in _upwards(root / "memory", path)]
    texts = [file.read_text().strip() for file in files if file.exists()]
    return [float(text) for text in texts if text.isdigit()]


def _upwards(root: Path, path: str) -> list[Path]:
    below = Path(path.lstrip("/"))
    return [root / folder for folder in (below, *below.parents)]


def _of_slurm_job() -> list[float]:
    megabytes = os.environ.get("SLURM_MEM_PER_NODE", "")
    return [float(megabytes) * MEBIBYTE] if megabytes.isdigit() and int(megabytes) else []
