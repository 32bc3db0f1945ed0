"""The memory of a training: what it took, and whether one that ran out of memory would have fitted alone."""

from __future__ import annotations

import logging
import re
import resource
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from genenet.core.errors import MachineError, one_line
from genenet.core.resources import TILE_BYTES, peak_memory, total_memory
from genenet.genes.memory import CONTEXT_BYTES, TORCH_BYTES, training_bytes
from genenet.networks.device import compute_type, free_memory
from genenet.networks.tile_sizes import share_for_tiles

if TYPE_CHECKING:
    from genenet.config.training import Training
    from genenet.genes.plan import Plan

UNITS = {"bytes": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shortage:
    """The moment at which an allocation failed, in bytes.

    Attributes:
        held: by this process. On a GPU, what torch has reserved, with gaps between tensors.
        asked_for: by the allocation that failed; 0 if its message doesn't say.
        estimate: of what the training takes, from its plan.
        usable: by a process that is alone.
    """

    held: float
    asked_for: float
    estimate: float
    usable: float

    @property
    def fits_alone(self) -> bool:
        """Whether there is enough memory if no other process uses it: then the others were the cause."""
        return max(self.held + self.asked_for, self.estimate) <= self.usable


def asked_for(message: str) -> float:
    """Return how many bytes couldn't be allocated, from the message of torch or numpy; 0 if it doesn't say."""
    found = re.search(r"allocate (\d+(?:\.\d+)?) ([KMGT]iB|bytes)", message, re.IGNORECASE)
    return float(found[1]) * UNITS[found[2].lower()] if found else 0.0


def check_alone(
    error: BaseException, plan: Plan, settings: Training, device: torch.device, parts: int
) -> None:
    """Raise MachineError if memory ran out because of other processes, and not because of the genome.

    Args:
        error: of the allocation that failed.
        plan: of the network.
        settings: of the training.
        device: that it runs on.
        parts: in which a batch is computed.
    """
    held, usable = _of_gpu(device) if device.type == "cuda" else _of_process()
    estimate = step_bytes(plan, settings, device) / parts
    if Shortage(held, asked_for(str(error)), estimate, usable).fits_alone:
        raise MachineError(
            f"out of memory, though this training fits alone: other processes use the memory ({one_line(error)})"
        ) from error


def _of_gpu(device: torch.device) -> tuple[float, float]:
    _, total = torch.cuda.mem_get_info(device)
    return torch.cuda.memory_reserved(device), total - CONTEXT_BYTES


def _of_process() -> tuple[float, float]:
    """Return what this process holds and may use; the latter is 0 if it has a limit of its own.

    No other process can be the cause then.
    """
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    is_limited = any(limit != resource.RLIM_INFINITY for limit in limits)
    return peak_memory(), 0.0 if is_limited else total_memory()


def step_bytes(plan: Plan, settings: Training, device: torch.device) -> float:
    """Return about how many bytes the process of a training takes on its device, without images and GPU context."""
    value_bytes = 4 if compute_type(settings.precision, device) is None else 2
    of_step = training_bytes(plan, settings.batch_size, value_bytes)
    return of_step + (0 if device.type == "cuda" else TORCH_BYTES)


def tile_bytes(device: torch.device) -> float:
    """Return how much memory a tile of a validation may take: on a GPU, a share of what is free."""
    if device.type != "cuda":
        return TILE_BYTES
    return share_for_tiles(free_memory(device))


def log_memory(plan: Plan, settings: Training, device: torch.device) -> None:
    """Compare the memory that a training took with what was estimated (genenet inspect)."""
    used = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_memory()
    log.info(
        "memory: %.0f MB at most, images included; %.0f MB estimated without them",
        *(used / 1e6, step_bytes(plan, settings, device) / 1e6),
    )
