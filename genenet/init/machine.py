"""What trainings will run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genenet.cluster.diagnosis import ask
from genenet.core.resources import available_cores
from genenet.init.sizes import Machine

if TYPE_CHECKING:
    from genenet.init.sizes import Kind


def has_torch() -> bool:
    """Whether torch is installed; where searches are only launched it needn't be."""
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return False
    return True


def find_machine(asked: Kind | None) -> Machine:
    """Say what trainings run on: as asked, else a GPU if one is here, or on the cluster that is reached from here."""
    threads = min(2, available_cores())
    gpu = _gpu() if asked != "cpu" else None
    if gpu:
        return Machine("gpu", *gpu, is_here=True, threads=threads)
    if asked == "gpu" or (asked is None and _cluster_has_gpus()):
        name = "a GPU" if asked else "a GPU of this Slurm cluster"
        return Machine("gpu", name, None, is_here=False, threads=threads)
    return _cpu(threads)


def _gpu() -> tuple[str, float] | None:
    if not has_torch():
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(0)
    return str(properties.name), float(properties.total_memory)


def _cluster_has_gpus() -> bool:
    nodes = ask("sinfo", "--noheader", "--format=%G")
    return nodes.ok and "gpu" in nodes.text


def _cpu(threads: int) -> Machine:
    cores = available_cores()
    memory = None
    if has_torch():
        from genenet.core.resources import available_memory

        memory = available_memory()
    name = f"{cores} CPU core{'s' * (cores > 1)} of this machine"
    return Machine("cpu", name, memory, has_torch(), threads, max(1, cores // threads))
