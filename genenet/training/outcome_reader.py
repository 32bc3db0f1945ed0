"""Reads the outcome or the progress of a training from the files in its folder, without torch.

If a training is over, only ``scores.json`` is opened. Nothing is written, and unreadable files are treated as
missing, so that this works beside running trainings and on any machine that sees the folder.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genenet.config.selection_metrics import RANKING_METRIC
from genenet.core.attempt_records import AttemptRecord, read_attempts
from genenet.core.errors import InputError
from genenet.core.lock_holder import Holder, look
from genenet.core.tolerant_read import FileContent, try_read, written
from genenet.training.outcomes import ANY, Expected, Outcome
from genenet.training.scores import scores_of
from genenet.training.state_file import read_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.core.paths import ResultPaths


def read_outcomes(paths: ResultPaths, runs: Sequence[str], metric: str = RANKING_METRIC) -> list[Outcome]:
    """Read the results of trainings that are over, best first; the successful ones before the others.

    They are compared by ``metric``, a name of SELECTION_METRICS.

    Raises:
        InputError: If a training has no results, or unreadable ones.
    """
    outcomes = [read_outcome(paths, run) for run in runs]
    for each in outcomes:
        if each.scores is None:
            raise InputError(each.problem or f"{each.files.scores}: no such file")
    return sorted(outcomes, key=lambda o: (not o.is_ok, -o.ranked_score(metric), o.run))


def read_outcome(paths: ResultPaths, run: str, expected: Expected = ANY) -> Outcome:
    """Read the outcome or progress of a training, compared with what its results must be."""
    outcome = Outcome(run=run, files=paths.run(run), genome_file=Path(paths.genome(run)), expected=expected)
    seen = try_read(outcome.files.scores)
    published = _published(outcome, seen) if seen and seen.time >= expected.since else None
    if published and _is_over(published):
        return published
    holder = look(outcome.files.lock)
    if holder and not holder.is_gone:
        return _running(outcome, holder)
    return _not_running(outcome, published, seen, holder)


def _published(outcome: Outcome, seen: FileContent) -> Outcome:
    try:
        scores = scores_of(seen.json(), str(outcome.files.scores))
    except InputError as error:
        text = f"{str(error).splitlines()[0]}; remove the file and start the workflow again"
        return replace(outcome, phase="failed", problem=text, published=seen.time)
    return replace(outcome, phase="done" if scores.is_ok else "failed", scores=scores, published=seen.time)


def _is_over(published: Outcome) -> bool:
    """Whether published results are the last word, or those of a rung's end that is to be continued."""
    expected = published.expected
    if expected.is_whole or expected.iterations is None or published.phase != "done":
        return True
    return published.iteration >= expected.iterations


def _running(outcome: Outcome, holder: Holder) -> Outcome:
    attempt = _last_attempt(outcome)
    if attempt and (attempt.ended or attempt.token != holder.token):
        attempt = None  # the one before; the new one is still reading its images
    return _begun(replace(outcome, phase="training", holder=holder), attempt)


def _not_running(
    outcome: Outcome, published: Outcome | None, seen: FileContent | None, holder: Holder | None
) -> Outcome:
    attempt = _last_attempt(outcome)
    if attempt and attempt.ending == "finished" and seen is None:
        seen = try_read(outcome.files.scores)
        if seen:  # it has ended since the first look
            return _published(outcome, seen)
    is_old = (written(outcome.files.attempts) or 0.0) < outcome.expected.since
    if attempt is None or attempt.ending in ("finished", "given_up") or is_old:
        if published:  # up to a rung's end, and it is to continue
            return replace(published, phase="waiting")
        return replace(outcome, is_of_earlier_settings=seen is not None or (attempt is not None and is_old))
    return _begun(replace(outcome, phase="interrupted", holder=holder), attempt)


def _begun(outcome: Outcome, attempt: AttemptRecord | None) -> Outcome:
    """Add what the last attempt has done."""
    found: dict[str, Any] = {"attempt": attempt}
    stated = read_state(outcome.files.state)
    if attempt and stated and stated[0].token == attempt.token:
        state, at = stated
        age = max(0.0, time.time() - at)
        found |= {"state": state, "progress_seconds": age + state.seconds_since_iteration}
    if attempt:
        found["is_of_earlier_settings"] = attempt.began_time < int(outcome.expected.since)
    return replace(outcome, **found)


def _last_attempt(outcome: Outcome) -> AttemptRecord | None:
    return next(reversed(read_attempts(outcome.files.attempts)), None)
