"""The quality of a search over time: the ensemble's scores against the time that its trainings had taken."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import astuple, dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.config.ensemble import COMBINATIONS
from genenet.config.selection_metrics import RANKING_METRIC
from genenet.core.atomic_files import write_csv
from genenet.core.attempt_records import read_attempts
from genenet.ensembles.curve import open_run, point_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from genenet.core.paths import ResultPaths
    from genenet.metrics.contingency import Contingency
    from genenet.training.outcomes import Outcome
    from genenet.training.prepared import Prepared


@dataclass(frozen=True)
class Moment:
    """The time at which a genome had its published weights."""

    run: str
    job_seconds: float  # of all jobs of genomes until then, without baselines
    iterations: int  # of all genomes until then
    n_trained: int
    best_ari: float
    ensemble_ari: float  # of an ensemble of the best so far, with as many members as the final one
    best_mean_iou: float
    ensemble_mean_iou: float


@dataclass(frozen=True)
class Attempt:
    """A job's work on a genome: seconds since 1970, and the iterations that it added."""

    began: float
    ended: float
    iterations: int


def attempts_at(paths: ResultPaths, outcome: Outcome) -> list[Attempt]:
    """Return a training's attempts, as far as they are recorded.

    The end of a killed attempt isn't known: its time is left out, and its iterations count with the next attempt. A
    training without a record, or with a damaged one, counts as one attempt that ended when its scores were written and
    took the seconds that they state.
    """
    recorded = [list(_recorded(paths.run(run).attempts)) for run in outcome.trainings]
    if all(recorded):
        return [attempt for of_run in recorded for attempt in of_run]
    ended = paths.run(outcome.run).scores.stat().st_mtime
    iterations = (outcome.iterations or 0) * len(outcome.trainings)
    return [Attempt(ended - (outcome.seconds or 0.0), ended, iterations)]


def _recorded(path: Path) -> Iterator[Attempt]:
    before = 0  # iterations that the attempts so far had reached
    for entry in read_attempts(path):
        if entry.seconds is not None:
            began, done = entry.began_time, entry.ended_at_iteration or 0
            yield Attempt(began, began + entry.seconds, max(0, done - before))
            before = max(before, done)


def moments(
    paths: ResultPaths,
    genomes: Sequence[Outcome],
    validation: Prepared,
    size: int,
    combination: str,
    metric: str = RANKING_METRIC,
) -> list[Moment]:
    """Return the moments at which genomes were ready, in order; the last one includes trainings that failed later.

    Args:
        paths: of the search.
        genomes: all trainings of genomes, also those that failed.
        validation: the prepared validation images.
        size: number of members of the ensemble.
        combination: of its members, a name of COMBINATIONS.
        metric: by which they are the best, a name of SELECTION_METRICS.
    """
    attempts = {outcome.run: attempts_at(paths, outcome) for outcome in genomes}
    spent = _Spent([each for of_run in attempts.values() for each in of_run])
    ready = {run: max(each.ended for each in of_run) for run, of_run in attempts.items()}
    in_order = sorted((o for o in genomes if o.is_ok), key=lambda o: (ready[o.run], o.run))
    found: list[Moment] = []
    best: list[Outcome] = []
    with ExitStack() as stack:
        arrays = cache(lambda run: open_run(paths.run(run), validation, stack))
        for n, outcome in enumerate(in_order, start=1):
            now = np.inf if n == len(in_order) else ready[outcome.run]
            before, best = (
                best,
                sorted([*best, outcome], key=lambda o: (-o.ranked_score(metric), o.run))[:size],
            )
            seconds, iterations = spent.until(now)
            if best != before:
                way, first = COMBINATIONS[combination], best[0]
                weights = way.weights([member.ranked_score(metric) for member in best])
                table = _counts([arrays(member.run) for member in best], weights, validation, way.votes)
                aris = first.ranked_score("ari"), table.adjusted_rand_index
                ious = first.ranked_score("mean_iou"), table.mean_iou
            found.append(Moment(outcome.run, round(seconds, 1), iterations, n, *aris, *ious))
    return found


def _counts(
    arrays: Sequence[list[Any]], weights: Sequence[float], validation: Prepared, votes: bool
) -> Contingency:
    labels = [image.labels for image in validation.images]
    return point_of(labels, arrays, weights, len(validation.classes), votes).contingency


class _Spent:
    """Time and iterations of all attempts until some moment."""

    def __init__(self, attempts: Sequence[Attempt]) -> None:
        self.began = np.array([each.began for each in attempts])
        self.ended = np.array([each.ended for each in attempts])
        self.iterations = np.array([each.iterations for each in attempts])

    def until(self, now: float) -> tuple[float, int]:
        """Return seconds of jobs before ``now``, of running ones in part, and iterations of those that had ended."""
        seconds = np.clip(np.minimum(self.ended, now) - self.began, 0, None).sum()
        return float(seconds), int(self.iterations[self.ended <= now].sum())


def write_moments(path: Path, found: Sequence[Moment]) -> None:
    """Write the moments as CSV."""
    write_csv(path, [field.name for field in fields(Moment)], [astuple(moment) for moment in found])
