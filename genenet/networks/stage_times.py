"""Where the time of a segmentation goes: seconds of the CPU's cores, and of a GPU, by stage."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST = 1000  # spans that are kept before some of them are added up: a long segmentation has millions


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
                self._keep(span)

    def settle(self) -> dict[str, float]:
        """Add up the stages that have ended; return the seconds of each stage so far."""
        with self._lock:
            ended, self._ended = self._ended, []
        self._add_up(ended)
        with self._lock:
            return dict(self._seconds)

    def _keep(self, span: _Span) -> None:
        """Keep a span that has ended. If there are many, the older half is added up: a GPU has got there long ago."""
        with self._lock:
            self._ended.append(span)
            n_old = MOST // 2 if len(self._ended) >= MOST else 0
            old, self._ended[:n_old] = self._ended[:n_old], []
        self._add_up(old)

    def _add_up(self, spans: Sequence[_Span]) -> None:
        """Add spans to the seconds. Other threads continue to measure while this one waits for a GPU."""
        found = [own for span in spans for own in self._own_seconds(span)]
        with self._lock:
            for stage, seconds in found:
                self._seconds[stage] += seconds

    def _own_seconds(self, span: _Span) -> Iterator[tuple[str, float]]:
        """Yield stage and seconds of a span and of those within it, without what lies within each."""
        yield span.stage, self._seconds_of(span) - sum(map(self._seconds_of, span.inner))
        for inner in span.inner:
            yield from self._own_seconds(inner)

    def _seconds_of(self, span: _Span) -> float:
        return self._clock.between(span.start, span.end)
