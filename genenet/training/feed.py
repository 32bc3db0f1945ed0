"""Where the batches of a training come from: made on the CPU, or cut on the device out of images that lie there.

On the CPU each batch is made when it is needed. On a GPU a background thread works AHEAD batches in front of the
training, and the training never waits for a copy::

    background thread   patches of 3    patches of 4    patches of 5        into pinned memory
    main thread         step 1          step 2          step 3              launches work only
    GPU                      step 0          step 1          step 2
"""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import torch

from genenet.core.resources import MEBIBYTE
from genenet.networks.device import free_memory, is_out_of_memory
from genenet.networks.queues import compute_queue
from genenet.networks.transfers import Buffers
from genenet.training.resident import ResidentPatches

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from genenet.training.patches import PatchSampler

    Patches = tuple[Tensor, Tensor, Tensor | None]  # images, labels, weights, as of a sampler's Batch

AHEAD = 2  # batches that a background thread prepares while a GPU computes
SHARE = 0.5  # of the free memory of a GPU that images may take; other processes may need the rest

log = logging.getLogger(__name__)


class PatchSource(Protocol):
    """Makes a batch in two steps: the first one without the device, the second one on it."""

    def on_host(self, iteration: int) -> Mapping[str, NDArray[Any]]:
        """Return what must be copied to the device for the batch of an iteration; called in any thread."""

    def on_device(self, parts: Mapping[str, Tensor]) -> Patches:
        """Return the batch, from copies of these arrays on the device."""


class HostPatches:
    """Patches that are cut, turned and normalised by numpy, and copied as float32."""

    def __init__(self, sampler: PatchSampler) -> None:
        self.sampler = sampler

    def on_host(self, iteration: int) -> dict[str, NDArray[Any]]:
        """Return images, labels, and weights if there are any."""
        batch = self.sampler.batch(iteration)
        return {name: array for name, array in batch._asdict().items() if array is not None}

    def on_device(self, parts: Mapping[str, Tensor]) -> Patches:
        """Return them."""
        return parts["images"], parts["labels"], parts.get("weights")


class Feed:
    """Hands out the batches of a source, one iteration after another.

    Attributes:
        source: of the batches.
        device: that they are needed on.
        ahead: how many batches a background thread prepares in advance; 0: there is no such thread.
    """

    def __init__(self, source: PatchSource, device: torch.device, ahead: int) -> None:
        self.source, self.device, self.ahead = source, device, ahead
        self._buffers, self._queue = Buffers(device), compute_queue(device)
        self._thread = ThreadPoolExecutor(1, "patches") if ahead else None
        self._pending: dict[int, Future[dict[str, Tensor]]] = {}

    def batch(self, iteration: int) -> Patches:
        """Return images, labels and weights on the device; they depend on the iteration alone."""
        if self._thread is None:
            parts = {name: torch.from_numpy(array) for name, array in self.source.on_host(iteration).items()}
            return self.source.on_device(parts)
        if iteration not in self._pending:  # the first one, or the training continues from a checkpoint
            for future in self._pending.values():
                future.cancel()
            self._pending = {}
        for i in range(iteration, iteration + self.ahead + 1):
            if i not in self._pending:
                self._pending[i] = self._thread.submit(self._prepare, i)
        return self.source.on_device(self._uploaded(self._pending.pop(iteration).result()))

    def _prepare(self, iteration: int) -> dict[str, Tensor]:
        """Return a batch in buffers of the host, which are pinned beside a GPU; called in the background."""
        tensors = {name: torch.from_numpy(array) for name, array in self.source.on_host(iteration).items()}
        return {name: self._buffers.take(t.shape, t.dtype).copy_(t) for name, t in tensors.items()}

    def _uploaded(self, buffers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return copies on the device, which may still be under way; the buffers are used again after them."""
        copies = {name: b.to(self.device, non_blocking=True, copy=True) for name, b in buffers.items()}
        copied = self._queue.event()
        for buffer in buffers.values():
            self._buffers.give_back(buffer, copied)
        return copies


def make_feed(sampler: PatchSampler, device: torch.device, step_bytes: float) -> Feed:
    """Return the feed of a training.

    On a GPU the images are kept there if they fit: beside what a step takes, in a SHARE of the free memory.

    Args:
        sampler: of the patches.
        device: of the training.
        step_bytes: memory that a step is estimated to take.
    """
    if device.type == "cpu":
        return Feed(HostPatches(sampler), device, 0)
    needed, room = ResidentPatches.bytes_of(sampler), max(0.0, SHARE * (free_memory(device) - step_bytes))
    why = (
        "their types differ"
        if needed is None
        else f"{needed / MEBIBYTE:.0f} MiB, room for {room / MEBIBYTE:.0f}"
    )
    if needed is not None and needed <= room:
        try:
            feed = Feed(ResidentPatches(sampler, device), device, AHEAD)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            why = f"{needed / MEBIBYTE:.0f} MiB, for which another process was faster"
        else:
            log.info("the training images are kept on the GPU: %.0f MiB", needed / MEBIBYTE)
            return feed
    log.info("the training images aren't kept on the GPU (%s): a thread copies patches in advance", why)
    return Feed(HostPatches(sampler), device, AHEAD)
