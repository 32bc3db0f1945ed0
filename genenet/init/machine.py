"""The machine that trainings will run on."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from genenet.cluster.diagnosis import ask
from genenet.core.resources import available_cores, available_memory

Kind = Literal["gpu", "cpu"]
THREADS_BESIDE_A_GPU = 2
LEAST_BYTES = 2e9  # memory of each of the trainings that run side by side on a CPU


@dataclass(frozen=True)
class Machine:
    """What trainings run on.

    Attributes:
        kind: decides how large networks may be.
        name: for people.
        memory_bytes: of the GPU, or of the machine; None if unknown.
        is_here: whether it is this machine, so that a training can be tried.
        threads: CPU cores of one training.
        n_at_once: trainings that run side by side.
    """

    kind: Kind
    name: str
    memory_bytes: float | None
    is_here: bool
    threads: int = 1
    n_at_once: int = 1


def has_torch() -> bool:
    """Return whether torch is installed; a machine that only launches searches doesn't need it."""
    return find_spec("torch") is not None


def find_machine(asked: Kind | None) -> Machine:
    """Return the requested device; otherwise a GPU if there is one here or on the Slurm cluster, or else the CPU."""
    cores = available_cores()
    threads = min(THREADS_BESIDE_A_GPU, cores)
    if asked != "cpu" and (gpu := _gpu(threads)):
        return gpu
    if asked == "gpu":
        return Machine("gpu", "a GPU", None, is_here=False, threads=threads)
    if asked is None and _cluster_has_gpus():
        return Machine("gpu", "a GPU of this Slurm cluster", None, is_here=False, threads=threads)
    name, memory = f"{cores} CPU core{'s' * (cores > 1)} of this machine", available_memory()
    threads = threads_of_each(cores, memory)
    return Machine("cpu", name, memory, has_torch(), threads, cores // threads)


def threads_of_each(cores: int, memory_bytes: float) -> int:
    """Return the threads of a training: one, since trainings side by side are fastest, or more if memory is short."""
    n_at_once = max(1, min(cores, int(memory_bytes // LEAST_BYTES)))
    return -(-cores // n_at_once)


def _gpu(threads: int) -> Machine | None:
    if not has_torch():
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(0)
    return Machine("gpu", properties.name, float(properties.total_memory), is_here=True, threads=threads)


def _cluster_has_gpus() -> bool:
    nodes = ask("sinfo", "--noheader", "--format=%G")
    return nodes.ok and "gpu" in nodes.text
