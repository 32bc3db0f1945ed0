"""How long the trainings of a search will still take, estimated from those that are done or under way."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.training.outcomes import Outcome


@dataclass(frozen=True)
class TimeLeft:
    """Seconds until the last training ends, or why they can't be estimated."""

    seconds: float | None
    at_a_time: int  # trainings, now
    why_not: str = ""
    seconds_in_all: float | None = None  # of all trainings together


def time_left(runs: Sequence[Outcome], open_iterations: Sequence[int] = ()) -> TimeLeft:
    """Estimate as if as many trainings kept running as run now, the next one starting when one ends.

    A training that hasn't been measured yet takes the mean of the others' seconds per iteration. The time that jobs
    wait in a scheduler's queue isn't included.

    Args:
        runs: all trainings.
        open_iterations: of trainings of which only their iterations are known.
    """
    training = [run for run in runs if run.phase == "training"]
    waiting = [run for run in runs if run.phase in ("waiting", "interrupted")]
    if not training and not waiting and not open_iterations:
        return TimeLeft(0.0, 0, seconds_in_all=0.0)
    paces = [run.seconds_per_iteration for run in runs if run.seconds_per_iteration]
    if not paces:
        return TimeLeft(None, len(training), "no training has been measured yet")
    mean = fmean(paces)
    ends = [seconds_left(run, mean) for run in training]
    others = [seconds_left(run, mean) for run in waiting] + [n * mean for n in open_iterations]
    in_all = sum(ends) + sum(others)
    if not training:
        return TimeLeft(None, 0, "nothing trains at the moment", in_all)
    heapq.heapify(ends)
    for seconds in others:
        heapq.heappush(ends, heapq.heappop(ends) + seconds)
    return TimeLeft(max(ends), len(training), seconds_in_all=in_all)


def seconds_left(run: Outcome, pace: float) -> float:
    """Return how long one training still takes, at its own pace if that is known, otherwise at ``pace``."""
    return max(0, (run.iterations or 0) - run.iteration) * (run.seconds_per_iteration or pace)


def short(seconds: float | None) -> str:
    """Return a time in one unit: 45 s, 12 min, 3.3 h, 2.2 d; a dash for none."""
    if seconds is None:
        return "-"
    if seconds < 3570:
        return duration(seconds)
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} d"


def duration(seconds: float) -> str:
    """Return a time in its two largest units: 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"
