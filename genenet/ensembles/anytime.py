"""The quality of a search over time: the ensemble's ARI against the time that its trainings had taken."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.config.ensemble import COMBINATIONS
from genenet.core.atomic_files import write_csv
from genenet.core.attempts import read_attempts
from genenet.ensembles.curve import open_run, points_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from genenet.core.paths import ResultPaths
    from genenet.training.outcomes import Outcome
    from genenet.training.prepare import Prepared


@dataclass(frozen=True)
class Moment:
    """The time at which a genome had its published weights."""

    run: str
    job_seconds: float  # of all jobs of genomes until then, without baselines
    iterations: int  # of all genomes until then
    n_trained: int
    best_ari: float
    ensemble_ari: float  # of an ensemble of the best so far, with as many members as the final one


@dataclass(frozen=True)
class Attempt:
    """A job's work on a genome: seconds since 1970, and the iterations that it added."""

    began: float
    ended: float
    iterations: int


def attempts_at(paths: ResultPaths, outcome: Outcome) -> list[Attempt]:
    """Return what is known of a training's attempts.

    The end of a killed attempt isn't known: its time is left out, and its iterations count with the next attempt. A
    training without a record, or with a damaged one, counts as one attempt that ended when its scores were written and
    took the seconds that they state.
    """
    files = paths.run(outcome.run)
    found = list(_recorded(files.attempts))
    if found:
        return found
    ended = files.scores.stat().st_mtime
    return [Attempt(ended - (outcome.seconds or 0.0), ended, outcome.iterations or 0)]


def _recorded(path: Path) -> Iterator[Attempt]:
    before = 0  # iterations that the attempts so far had reached
    for entry in read_attempts(path):
        if entry.seconds is not None:
            began, done = entry.began_time, entry.ended_at_iteration or 0
            yield Attempt(began, began + entry.seconds, max(0, done - before))
            before = max(before, done)


def moments(
    paths: ResultPaths, genomes: Sequence[Outcome], validation: Prepared, size: int, combination: str
) -> list[Moment]:
    """Return the moments at which genomes were ready, in order; the last one includes trainings that failed later.

    Args:
        paths: of the search.
        genomes: all trainings of genomes, also those that failed.
        validation: the prepared validation images.
        size: number of members of the ensemble.
        combination: of its members, a name of COMBINATIONS.
    """
    attempts = {outcome.run: attempts_at(paths, outcome) for outcome in genomes}
    spent = _Spent([each for of_run in attempts.values() for each in of_run])
    ready = {run: max(each.ended for each in of_run) for run, of_run in attempts.items()}
    in_order = sorted((o for o in genomes if o.is_ok), key=lambda o: (ready[o.run], o.run))
    found: list[Moment] = []
    best: list[Outcome] = []
    with ExitStack() as stack:
        scored = _Scored(paths, validation, combination, stack)
        for n, outcome in enumerate(in_order, start=1):
            now = np.inf if n == len(in_order) else ready[outcome.run]
            best = sorted([*best, outcome], key=lambda o: (-o.ranked_ari, o.run))[:size]
            seconds, iterations = spent.until(now)
            ari = scored.ari(best)
            found.append(Moment(outcome.run, round(seconds, 1), iterations, n, best[0].ranked_ari, ari))
    return found


class _Spent:
    """Time and iterations of all attempts until some moment, from cumulative sums."""

    def __init__(self, attempts: Sequence[Attempt]) -> None:
        self.began = np.sort([each.began for each in attempts])
        by_end = sorted(attempts, key=lambda each: each.ended)
        self.ended = np.array([each.ended for each in by_end])
        self.sums = [
            np.concatenate([[0.0], np.cumsum(values)])
            for values in (self.began, self.ended, [each.iterations for each in by_end])
        ]

    def until(self, now: float) -> tuple[float, int]:
        """Return seconds of jobs before ``now``, of running ones in part, and iterations of those that had ended."""
        n_began, n_ended = (int(np.searchsorted(times, now, "right")) for times in (self.began, self.ended))
        of_begins, of_ends, of_iterations = self.sums
        open_until = (n_began - n_ended) * now if n_began > n_ended else 0.0
        return float(open_until + of_ends[n_ended] - of_begins[n_began]), int(of_iterations[n_ended])


class _Scored:
    """Computes the ARI of ensembles on the validation images; the last result is kept."""

    def __init__(self, paths: ResultPaths, validation: Prepared, combination: str, stack: ExitStack) -> None:
        self.paths, self.validation, self.combination, self.stack = paths, validation, combination, stack
        self.files: dict[str, list[Any]] = {}
        self.last: tuple[list[str], float] = ([], np.nan)

    def ari(self, members: Sequence[Outcome]) -> float:
        names = [outcome.run for outcome in members]
        if names != self.last[0]:
            for run in names:
                if run not in self.files:
                    self.files[run] = open_run(self.paths.run(run), self.validation, self.stack)
            way = COMBINATIONS[self.combination]
            (point,) = points_of(
                [image.labels for image in self.validation.images],
                [self.files[run] for run in names],
                way.weights([outcome.ranked_ari for outcome in members]),
                len(self.validation.classes),
                [len(members)],
                way.votes,
            )
            self.last = names, point.contingency.adjusted_rand_index
        return self.last[1]


def write_moments(path: Path, found: Sequence[Moment]) -> None:
    """Write the moments as CSV."""
    write_csv(path, [field.name for field in fields(Moment)], [astuple(moment) for moment in found])
