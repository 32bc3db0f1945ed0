"""Queues of operations on a device: a copy in one queue runs while another queue computes.

A GPU runs the operations of a queue (a CUDA stream) one after the other, and several queues side by side; the program
continues at once. On the CPU every operation has ended when its call returns, so there is nothing to wait for. All that
only CUDA has is in this file.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence


class Event(Protocol):
    """A point in a queue."""

    def synchronize(self) -> None:
        """Wait until the device has got there."""


class Queue(Protocol):
    """A queue of operations."""

    def running(self) -> AbstractContextManager[Any]:
        """Put the operations of the block into this queue."""

    def event(self) -> Event:
        """Mark what was put into this queue so far."""

    def wait(self, event: Event) -> None:
        """Let what is put into this queue from now on wait for a point in another one."""

    def keep(self, tensors: Sequence[torch.Tensor]) -> None:
        """Don't give the memory of these tensors, made in another queue, away before this queue has used them."""


class AtOnce:
    """The CPU's queue, which is always empty."""

    def running(self) -> AbstractContextManager[Any]:
        """Do nothing."""
        return nullcontext()

    def event(self) -> Event:
        """Return an event that is over."""
        return self

    def synchronize(self) -> None:
        """Do nothing."""

    def wait(self, event: Event) -> None:
        """Do nothing."""

    def keep(self, tensors: Sequence[torch.Tensor]) -> None:
        """Do nothing."""


class CudaQueue:
    """A CUDA stream."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream = stream

    def running(self) -> AbstractContextManager[Any]:
        """Make it the current stream."""
        return torch.cuda.stream(self._stream)

    def event(self) -> Event:
        """Record an event. Who waits for it sleeps, so that the core is free."""
        event: torch.cuda.Event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record(self._stream)
        return event

    def wait(self, event: Event) -> None:
        """Let the stream wait."""
        self._stream.wait_event(event)  # type: ignore[arg-type]  # all events of a GPU's queues are CUDA's

    def keep(self, tensors: Sequence[torch.Tensor]) -> None:
        """Tell the allocator of PyTorch."""
        for tensor in tensors:
            tensor.record_stream(self._stream)


def compute_queue(device: torch.device) -> Queue:
    """Return the queue that networks compute in, unless another one is chosen."""
    return CudaQueue(torch.cuda.default_stream(device)) if device.type == "cuda" else AtOnce()


def new_queue(device: torch.device) -> Queue:
    """Return a queue beside that of the networks."""
    if device.type != "cuda":
        return AtOnce()
    return CudaQueue(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]


def host_memory(n_bytes: int, device: torch.device) -> torch.Tensor:
    """Return memory of the host, as bytes, that the device reads and writes while the host does something else."""
    return torch.empty(n_bytes, dtype=torch.uint8, pin_memory=device.type == "cuda")
