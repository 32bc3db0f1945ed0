"""When a training stops before its end: at a time that was given, or when it receives a signal."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)  # what schedulers send before they kill


def minutes_to_use(job_minutes: float) -> float:
    """Return how long to train in a job with this time limit in minutes.

    The rest, a tenth but at least 45 seconds and at most 5 minutes, is for what comes before the training's
    clock starts and for the last checkpoint.
    """
    return job_minutes - min(5.0, max(0.75, job_minutes / 10))


class Stop:
    """Tells, after each iteration, why the training should stop now; None if it should continue."""

    def __init__(self, after_minutes: float | None = None) -> None:
        self._deadline = None if after_minutes is None else time.monotonic() + 60 * after_minutes
        self._signal: str | None = None

    def minutes_left(self) -> float | None:
        """Return the time until the deadline; None if there is none."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic()) / 60

    def __call__(self) -> str | None:
        """Return the reason to stop, or None."""
        if self._signal:
            return f"{self._signal} received"
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return "time is over"
        return None

    @contextmanager
    def on_signals(self) -> Iterator[Stop]:
        """Stop on SIGTERM, SIGUSR1, SIGUSR2 as well; only in the main thread."""
        before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, number: int, _: object) -> None:
        self._signal = signal.Signals(number).name
