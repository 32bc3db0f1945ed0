"""How many trainings fit side by side: on the cores and in the memory of a job, or on its GPU."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from genenet.cluster.diagnosis import ask
from genenet.config.settings import TrainSettings, read_settings
from genenet.core.errors import InputError
from genenet.core.resources import (
    TILE_BYTES,
    available_memory,
    cores_of_job,
    gpu_granted,
    gpus_hidden,
    peak_memory_of,
    total_memory,
)
from genenet.genes.memory import CONTEXT_BYTES, TORCH_BYTES
from genenet.networks.tile_sizes import TileSizes, share_for_tiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from genenet.config.types import Device
    from genenet.core.geometry import Triple
    from genenet.genes.plan import Plan

log = logging.getLogger(__name__)


class Room(Protocol):
    """Says whether one more training fits."""

    def validation_bytes(self, plan: Plan, images: Sequence[Triple], threads: int) -> float:
        """Return about how many bytes a training takes for its validation, besides its steps.

        Args:
            plan: of its network.
            images: shapes of the validation images.
            threads: of the training.
        """

    def fits(self, running: Mapping[int, float], wanted: float) -> bool:
        """Whether a training fits beside those that run.

        Args:
            running: the ``own_bytes`` of each training that runs, by its process.
            wanted: the ``own_bytes`` of one more.
        """


@dataclass(frozen=True)
class CpuRoom:
    """Cores and memory of a job.

    Attributes:
        n_most: trainings that have cores of their own.
    """

    n_most: int

    def validation_bytes(self, plan: Plan, images: Sequence[Triple], threads: int) -> float:
        """Return the memory of a tile in each thread, and of the probabilities of the slices."""
        return _most_of_slices(TileSizes([plan], TILE_BYTES), images, threads)

    def fits(self, running: Mapping[int, float], wanted: float) -> bool:
        """Whether a training fits; those that run take what was estimated, or what they were seen to take."""
        if not running:
            return True
        if len(running) >= self.n_most:
            return False
        estimated = {process: TORCH_BYTES + step for process, step in running.items()}
        seen = {process: _peak(process) for process in running}
        taken = sum(max(estimated[process], seen[process]) for process in running)
        to_come = sum(max(0.0, estimated[process] - seen[process]) for process in running)
        one_more = TORCH_BYTES + wanted
        return taken + one_more <= total_memory() and to_come + one_more <= available_memory()


@dataclass(frozen=True)
class GpuRoom:
    """Memory of a GPU.

    Attributes:
        free: bytes before the first training began.
    """

    free: float

    def validation_bytes(self, plan: Plan, images: Sequence[Triple], threads: int) -> float:
        """Return the memory of a tile, which may take a share of the GPU, and of the probabilities of the slices."""
        sizes = TileSizes([plan], share_for_tiles(self.free), on_gpu=True)
        return _most_of_slices(sizes, images, threads)

    def fits(self, running: Mapping[int, float], wanted: float) -> bool:
        """Whether a training fits, by the estimates of all and by the memory that is free now."""
        if not running:
            return True
        taken = sum(CONTEXT_BYTES + step for step in running.values())
        one_more = CONTEXT_BYTES + wanted
        if taken + one_more > self.free:
            return False
        now = free_gpu_memory()
        return now is None or one_more <= now


def room_by_settings(settings: Path, cores: int | None) -> Room:
    """Return the room of this job for trainings with these settings; for one if the settings can't be read.

    Args:
        settings: of the trainings, which read them as well and count an error as a failed attempt.
        cores: of the job; None: all that this process may use.
    """
    try:
        training = read_settings(settings, TrainSettings).training
    except InputError:
        return CpuRoom(1)
    return room_of_job(training.device, cores, training.threads)


def room_of_job(device: Device, cores: int | None, threads: int) -> Room:
    """Return the room of this job.

    Args:
        device: that trainings run on.
        cores: of the job; None: all that this process may use.
        threads: of each training.
    """
    if device != "cpu" and not gpus_hidden():
        if (free := free_gpu_memory()) is not None:
            return GpuRoom(free)
        if gpu_granted() or device == "cuda":
            log.warning(
                "nvidia-smi doesn't say how much memory of the GPU is free: one training runs at a time"
            )
            return CpuRoom(1)
    return CpuRoom(max(1, min(cores or cores_of_job(), cores_of_job()) // threads))


def free_gpu_memory() -> float | None:
    """Return the free bytes of the GPU that torch would use first; None if there is none, or the driver is silent."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    which = [f"--id={visible}"] if visible else []
    answer = ask("nvidia-smi", *which, "--query-gpu=memory.free", "--format=csv,noheader,nounits")
    first = answer.text.split("\n")[0].strip() if answer.ok else ""
    return int(first) * 2.0**20 if first.isdigit() else None


def _most_of_slices(sizes: TileSizes, images: Sequence[Triple], threads: int) -> float:
    return max((sizes.bytes_of_slices(shape, threads) for shape in images), default=0)


def _peak(process: int) -> float:
    with suppress(OSError, StopIteration):
        return peak_memory_of(process)
    return 0.0
