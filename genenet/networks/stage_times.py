"""Where the time of a segmentation goes: seconds of the CPU's cores, and of a GPU, by stage."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock(Protocol):
    """Measures the time that a stage takes."""

    def now(self) -> Any:
        """Return a point in time."""

    def between(self, start: Any, end: Any) -> float:
        """Return the seconds between two points in time."""


class CoreClock:
    """Seconds that the calling thread has computed: waiting for other threads or the disk doesn't count."""

    def now(self) -> float:
        """Return the thread's seconds so far."""
        return time.thread_time()

    def between(self, start: float, end: float) -> float:
        """Return their difference."""
        return end - start


@dataclass
class _Span:
    stage: str
    start: Any
    end: Any = None
    inner: list[_Span] = field(default_factory=list)


class StageTimes:
    """Adds up the seconds of stages that run in any number of threads.

    A stage within another one is not counted for the outer one::

        combine   ├──────┤           ├─────────┤
        compute          ├───────────┤

    Args:
        clock: measures. The clock of a GPU knows its times only after the GPU has got there, so they are added up when
            ``settle`` is called.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock: Clock = clock or CoreClock()
        self._seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._ended: list[_Span] = []
        self._current = threading.local()

    @contextmanager
    def rest(self, stage: str) -> Iterator[None]:
        """Count for a stage what the process computes in the block beside all other stages, in any thread."""
        began, before = time.process_time(), sum(self.settle().values())
        try:
            yield
        finally:
            others = sum(self.settle().values()) - before
            self._seconds[stage] += max(0.0, time.process_time() - began - others)

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Measure what the calling thread does in the block."""
        outer: _Span | None = getattr(self._current, "span", None)
        span = self._current.span = _Span(stage, self._clock.now())
        try:
            yield
        finally:
            span.end = self._clock.now()
            self._current.span = outer
            if outer is not None:
                outer.inner.append(span)
            else:
                with self._lock:
                    self._ended.append(span)

    def settle(self) -> dict[str, float]:
        """Add up the stages that have ended; return the seconds of each stage so far."""
        with self._lock:
            ended, self._ended = self._ended, []
            for span in ended:
                self._add(span)
            return dict(self._seconds)

    def _add(self, span: _Span) -> float:
        """Add a span and those within it; return its seconds, those within it included."""
        took = self._clock.between(span.start, span.end)
        self._seconds[span.stage] += took - sum(map(self._add, span.inner))
        return took
