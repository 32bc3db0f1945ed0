"""How far one training is, told from the files in its folder while it runs.

At most five files are opened: ``scores.json`` and no other of a training that has ended.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from genenet.core import lock
from genenet.core.tolerant_read import Glimpse, as_count, as_number, as_text, glimpse
from genenet.training.attempts import FINISHED, GIVEN_UP, STOPPED

if TYPE_CHECKING:
    from genenet.core.paths import ResultPaths, RunPaths

State = Literal["done", "failed", "training", "interrupted", "waiting"]
BASELINES = "baselines/"
LOG_BYTES = 4096  # of a log's end that is looked at
_PROGRESS_LINE = re.compile(r" (\d+)/(\d+)  ARI ")  # genenet.cli.progress


@dataclass(frozen=True, kw_only=True)
class RunState:
    """One training, as its files show it. Seconds are ages at the time of reading."""

    run: str
    state: State
    status: str | None = None  # ok, diverged, out_of_memory, infeasible, failed: once it is published
    ari: float | None = None  # validation; of a training that goes on, its best so far
    iteration: int = 0
    iterations: int | None = None  # when it ends
    seconds_per_iteration: float | None = None  # validations included
    heartbeat_seconds: float | None = None
    progress_seconds: float | None = None  # since its last line or row
    host: str | None = None
    slurm_job_id: str | None = None
    reason: str = ""
    time: float | None = None  # when it was published, seconds since 1970
    is_of_earlier_settings: bool = False  # there are results, but of older settings, genome or images

    @property
    def is_baseline(self) -> bool:
        """Whether it is a network of the literature."""
        return self.run.startswith(BASELINES)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state in ("done", "failed")


def read_run(paths: ResultPaths, run: str, since: float, iterations: int, is_whole: bool = True) -> RunState:
    """Look at a training's files.

    Args:
        paths: the search's.
        run: such as r0/000.
        since: when the newest of its settings, genome and images was written; what is older is of earlier ones.
        iterations: that it is to do, unless its log says others.
        is_whole: it trains in one go, so one that is published is done, however many iterations it has.
    """
    files = paths.run(run)
    scores = glimpse(files.scores)
    published = _published(run, scores, iterations) if scores and scores.time >= since else None
    if published and (is_whole or published.state != "done" or published.iteration >= iterations):
        return published
    holder = lock.look(files.lock)
    seen = glimpse(files.attempts)
    attempt = _last_attempt(seen)
    if holder is None or holder.is_dead:
        if attempt.get("exit") == FINISHED and not scores and (scores := glimpse(files.scores)):
            return _published(run, scores, iterations)  # it has ended since the first look
        begun = seen.time if seen else 0.0
        if not attempt or attempt.get("exit") in (FINISHED, GIVEN_UP) or begun < since:
            if published:  # up to a rung's end, and it is to go on
                return replace(published, state="waiting", iterations=iterations)
            old = scores is not None or (bool(attempt) and begun < since)
            return RunState(run=run, state="waiting", iterations=iterations, is_of_earlier_settings=old)
    return _unfinished(paths, run, iterations, since, holder, attempt)


def _published(run: str, scores: Glimpse, iterations: int) -> RunState:
    values = scores.json()
    if not (status := as_text(values.get("status"))):
        reason = "scores.json isn't whole; remove it and start the workflow again"
        return RunState(run=run, state="failed", status="unreadable", reason=reason, time=scores.time)
    if status != "ok":
        reason = as_text(values.get("reason"))
        return RunState(run=run, state="failed", status=status, reason=reason, time=scores.time)
    validation, done = values.get("validation"), as_count(values.get("iterations"))
    seconds = as_number(values.get("seconds"))
    return RunState(
        run=run,
        state="done",
        status=status,
        ari=as_number(validation.get("ari")) if isinstance(validation, dict) else None,
        iteration=done or iterations,
        iterations=done or iterations,
        seconds_per_iteration=seconds / done if seconds and done else None,
        time=scores.time,
    )


def _last_attempt(seen: Glimpse | None) -> dict[str, Any]:
    attempts = seen.json().get("attempts") if seen else None
    last = attempts[-1] if isinstance(attempts, list) and attempts else None
    return last if isinstance(last, dict) else {}


@dataclass(frozen=True)
class _Progress:
    """What the newest attempt has done: its iteration, best ARI, seconds per iteration, and when it last said so."""

    iteration: int
    iterations: int | None
    ari: float | None
    seconds_per_iteration: float | None
    time: float | None


def _unfinished(
    paths: ResultPaths,
    run: str,
    iterations: int,
    since: float,
    holder: lock.Holder | None,
    attempt: dict[str, Any],
) -> RunState:
    lives = holder is not None and not holder.is_dead
    if lives and attempt.get("ended"):
        attempt = {}  # the one before; the new one hasn't begun
    progress = _progress(paths.run(run), paths.train_log(run), attempt)
    now = datetime.now().timestamp()
    began = _time(attempt.get("began"))
    return RunState(
        run=run,
        state="training" if lives else "interrupted",
        ari=progress.ari,
        iteration=progress.iteration,
        iterations=progress.iterations or iterations,
        seconds_per_iteration=progress.seconds_per_iteration,
        heartbeat_seconds=holder.silent_seconds if holder else None,
        progress_seconds=None if progress.time is None else max(0.0, now - progress.time),
        host=(holder and holder.host) or as_text(attempt.get("host")) or None,
        slurm_job_id=(holder and holder.slurm_job_id) or as_text(attempt.get("slurm_job_id")) or None,
        reason="" if lives else _why(attempt),
        is_of_earlier_settings=began is not None and began < int(since),
    )


def _why(attempt: dict[str, Any]) -> str:
    """Return how an attempt that left no result has ended."""
    how = as_text(attempt.get("exit"))
    return "it was asked to stop, or its time was over" if how == STOPPED else how or "its process is gone"


def _progress(files: RunPaths, log: str, attempt: dict[str, Any]) -> _Progress:
    """Put together what rows, log and record of an attempt say.

    Rows that are older than the attempt may go beyond the checkpoint that it went on from.
    """
    start, began = as_count(attempt.get("began_at_iteration")) or 0, _time(attempt.get("began")) or 0.0
    seen = glimpse(files.progress) if attempt else None
    is_new = seen is not None and seen.time >= began
    rows = [row for row in _rows(seen) if is_new or row[0] <= start]
    logged = glimpse(log, LOG_BYTES) if attempt else None
    line = _last_line(logged) if logged and logged.time >= began else None
    reached = max(start, rows[-1][0] if rows else 0, line[0] if line else 0)
    ended = as_count(attempt.get("ended_at_iteration"))
    times = [s.time for s, counts in ((seen, is_new), (logged, line)) if s and counts]
    pace = rows[-1][2] / rows[-1][0] if rows and rows[-1][0] else None
    if pace is None and line and logged and line[0] > start:
        pace = (logged.time - began) / (line[0] - start)
    return _Progress(
        iteration=reached if ended is None else ended,
        iterations=line[1] if line else None,
        ari=max((ari for _, ari, _ in rows if ari is not None), default=None),
        seconds_per_iteration=pace if pace and pace > 0 else None,
        time=max(times, default=None),
    )


def _rows(seen: Glimpse | None) -> list[tuple[int, float | None, float]]:
    """Return iteration, validation ARI and seconds of a history's rows."""
    if seen is None or not (lines := seen.lines):
        return []
    columns, found = lines[0].split(","), []
    for line in lines[1:]:
        row = dict(zip(columns, line.split(","), strict=False))
        iteration, seconds = as_count(row.get("iteration")), as_number(row.get("seconds"))
        if iteration is not None and seconds is not None:
            found.append((iteration, as_number(row.get("validation_ari")), seconds))
    return found


def _last_line(log: Glimpse) -> tuple[int, int] | None:
    """Return iteration and iterations of the last line of progress that the newest attempt wrote."""
    for line in reversed(log.lines):
        if line.startswith("--- "):
            return None
        if found := _PROGRESS_LINE.search(line):
            return int(found[1]), int(found[2])
    return None


def _time(text: Any) -> float | None:
    """Return seconds since 1970 of a time as attempts.json holds them."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError):
        return None
