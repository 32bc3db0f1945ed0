"""Where the time of a segmentation goes: seconds of the CPU's cores, by stage."""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import contextmanager
from time import process_time, thread_time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class StageTimes:
    """Adds up the seconds of stages that run in any number of threads.

    A thread's seconds are those that it has computed: waiting for other threads, the disk or a GPU doesn't count. So on
    a GPU the stages show what giving it work costs. A stage within another one is not counted for the outer one::

        combine   ├──────┤           ├─────────┤
        compute          ├───────────┤
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._thread = threading.local()  # inner: seconds of the stages within the thread's current one

    @contextmanager
    def rest(self, stage: str) -> Iterator[None]:
        """Count for a stage what the process computes in the block beside all other stages, in any thread."""
        began, before = process_time(), sum(self.seconds().values())
        try:
            yield
        finally:
            others = sum(self.seconds().values()) - before
            self._add(stage, max(0.0, process_time() - began - others))

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Measure what the calling thread does in the block."""
        within_outer: float = getattr(self._thread, "inner", 0.0)
        self._thread.inner = 0.0
        began = thread_time()
        try:
            yield
        finally:
            seconds = thread_time() - began
            self._add(stage, seconds - self._thread.inner)
            self._thread.inner = within_outer + seconds

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each stage so far."""
        with self._lock:
            return dict(self._seconds)

    def _add(self, stage: str, seconds: float) -> None:
        with self._lock:
            self._seconds[stage] += seconds
