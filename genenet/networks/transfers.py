"""Copies blocks to the device and back while the device computes, through buffers that are used again and again."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from genenet.core import mapped_arrays
from genenet.networks.queues import AtOnce, Event, compute_queue, host_memory, new_queue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import DTypeLike, NDArray


class Buffers:
    """Buffers of the host. One that was given back is taken again after the copy that used it has ended."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._lock = device, threading.Lock()
        self._free: list[tuple[torch.Tensor, Event]] = []

    def take(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """Return a buffer as a tensor of some shape and type; its values are arbitrary."""
        n_bytes = math.prod(shape) * dtype.itemsize
        buffer = self._large_enough(n_bytes)
        if buffer is None:
            buffer = host_memory(n_bytes, self._device)
        return buffer[:n_bytes].view(dtype).view(tuple(shape))

    def _large_enough(self, n_bytes: int) -> torch.Tensor | None:
        """Return the smallest free buffer that is large enough; if all are too small, one of them is dropped."""
        with self._lock:
            sizes = {len(buffer): index for index, (buffer, _) in enumerate(self._free)}
            enough = min((size for size in sizes if size >= n_bytes), default=None)
            if enough is None:
                del self._free[:1]
                return None
            buffer, last_use = self._free.pop(sizes[enough])
        last_use.synchronize()
        return buffer

    def give_back(self, tensor: torch.Tensor, last_use: Event) -> None:
        """Let a buffer be used again after an event."""
        whole = torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
        with self._lock:
            self._free.append((whole, last_use))


@dataclass
class Results:
    """Arrays that the tiles of a block write to.

    Attributes:
        tensors: on the device.
        host: what they are copied to; the tensors themselves where the device is the host.
        copied: is over when the copies have ended.
    """

    tensors: list[torch.Tensor]
    host: list[torch.Tensor] = field(default_factory=list)
    copied: Event = field(default_factory=AtOnce)

    @classmethod
    def on_host(cls, arrays: Sequence[NDArray[Any]]) -> Results:
        """Return arrays of the host."""
        tensors = list(map(torch.from_numpy, arrays))
        return cls(tensors, host=tensors)

    def arrays(self) -> list[NDArray[Any]]:
        """Wait for the copies and return them."""
        self.copied.synchronize()
        return [tensor.numpy() for tensor in self.host]


class Transfers:
    """Copies between the host and a device.

    On the CPU nothing is copied, since the device is the host, unless ``is_copied`` says so. A GPU gets each block in
    one copy and returns its results in another one, beside the queue in which it computes::

        copy up       0 1     2     3
        compute         0 0 0 1 1 1 2 2 2 3 …
        copy down             0     1     2

    Args:
        device: of the networks.
        is_copied: whether arrays are copied through buffers.
    """

    def __init__(self, device: torch.device, is_copied: bool | None = None) -> None:
        self.device = device
        self.is_copied = device.type != "cpu" if is_copied is None else is_copied
        self._compute, self._up, self._down = compute_queue(device), new_queue(device), new_queue(device)
        self._buffers = Buffers(device)

    def upload(self, arrays: Sequence[NDArray[Any]]) -> list[torch.Tensor]:
        """Return arrays as tensors on the device; the networks' queue waits until they are there."""
        tensors = [torch.from_numpy(_own(array)) for array in arrays]
        if not self.is_copied:
            return tensors
        with self._up.running():
            there = []
            for tensor in tensors:
                buffer = self._buffers.take(tensor.shape, tensor.dtype).copy_(tensor)
                there.append(torch.empty_like(buffer, device=self.device).copy_(buffer, non_blocking=True))
                self._buffers.give_back(buffer, self._up.event())
        self._compute.keep(there)
        self._compute.wait(self._up.event())
        return there

    def results(
        self,
        shapes: Sequence[tuple[int, ...]],
        dtypes: Sequence[DTypeLike],
        new: Callable[[tuple[int, ...], DTypeLike], NDArray[Any]] = mapped_arrays.zeros,
    ) -> Results:
        """Return arrays on the device for the results of a block: zeros on a GPU, on the CPU what ``new`` returns."""
        if not self.is_copied:
            return Results.on_host([new(*each) for each in zip(shapes, dtypes, strict=True)])
        types = [torch.from_numpy(np.empty(0, dtype)).dtype for dtype in dtypes]
        with self._compute.running():
            each = zip(shapes, types, strict=True)
            return Results([torch.zeros(shape, dtype=t, device=self.device) for shape, t in each])

    def download(self, results: Results) -> None:
        """Begin to copy results to the host, after what is in the networks' queue now."""
        if results.host:
            return
        self._down.wait(self._compute.event())
        self._down.keep(results.tensors)
        with self._down.running():
            results.host = [
                self._buffers.take(tensor.shape, tensor.dtype).copy_(tensor, non_blocking=True)
                for tensor in results.tensors
            ]
        results.copied = self._down.event()

    def release(self, results: Results) -> None:
        """Let the buffers of results be used again; their arrays change."""
        if results.host is not results.tensors:
            for tensor in results.host:
                self._buffers.give_back(tensor, results.copied)


def _own(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that torch can hold: contiguous, writable and of one of its types."""
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return np.require(array, requirements=["C", "W"])
