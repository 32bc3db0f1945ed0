"""What a search was worth at any time: the ensemble's ARI against the time that its trainings had taken until then."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.curve import curve_with, open_run
from genenet.decomposition import member_weights
from genenet.files import write_csv
from genenet.results import optional_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.config import Combination
    from genenet.ensemble import Outcome
    from genenet.paths import ResultPaths
    from genenet.prepare import Prepared


@dataclass(frozen=True)
class Moment:
    """When a genome had what it has published."""

    run: str
    job_seconds: float  # of all jobs of genomes until then, baselines apart
    iterations: int  # of all genomes until then
    n_trained: int
    best_ari: float
    ensemble_ari: float  # of the best so far, as many as were chosen in the end


@dataclass(frozen=True)
class Attempt:
    """A job's work on a genome: seconds since 1970, and iterations that it added."""

    began: float
    ended: float
    iterations: int


def attempts_at(paths: ResultPaths, outcome: Outcome) -> list[Attempt]:
    """Return what is known of a training's attempts; of one that was killed its end isn't, and it is left out.

    A training without such a record counts with the seconds that it says itself.
    """
    files, scores = paths.run(outcome.run), outcome.scores
    entries = (optional_json(files.attempts) or {}).get("attempts", [])
    found = [_attempt(entry) for entry in entries if entry["ended"]]
    if found:
        return found
    ended = files.scores.stat().st_mtime
    return [Attempt(ended - scores.get("seconds", 0.0), ended, scores.get("iterations", 0))]


def _attempt(entry: dict[str, Any]) -> Attempt:
    began, ended = (
        datetime.fromisoformat(entry[key]).astimezone(UTC).timestamp() for key in ("began", "ended")
    )
    return Attempt(began, ended, max(0, entry["ended_at_iteration"] - entry["began_at_iteration"]))


def moments(
    paths: ResultPaths, genomes: Sequence[Outcome], validation: Prepared, size: int, combination: Combination
) -> list[Moment]:
    """Return the moments at which genomes were ready, in order.

    Args:
        paths: of the search.
        genomes: all trainings of genomes, whatever became of them.
        validation: images that their probabilities are of.
        size: members of the ensemble.
        combination: of its members.
    """
    attempts = {outcome.run: attempts_at(paths, outcome) for outcome in genomes}
    everything = [each for of_run in attempts.values() for each in of_run]
    began, ended, added = (np.array([astuple(each)[i] for each in everything]) for i in range(3))
    ready = {run: max(each.ended for each in of_run) for run, of_run in attempts.items()}
    found: list[Moment] = []
    trained: list[Outcome] = []
    with ExitStack() as stack:
        scored = _Scored(paths, validation, combination, stack)
        for outcome in sorted((o for o in genomes if o.is_ok), key=lambda o: (ready[o.run], o.run)):
            now = ready[outcome.run]
            trained = sorted([*trained, outcome], key=lambda o: (-o.ari, o.run))
            found.append(
                Moment(
                    outcome.run,
                    round(float(np.clip(np.minimum(ended, now) - began, 0, None).sum()), 1),
                    int(added[ended <= now].sum()),
                    len(found) + 1,
                    trained[0].ari,
                    scored.ari(trained[:size]),
                )
            )
    return found


class _Scored:
    """ARI of ensembles on the validation images; the last one's is remembered."""

    def __init__(
        self, paths: ResultPaths, validation: Prepared, combination: Combination, stack: ExitStack
    ) -> None:
        self.paths, self.validation, self.combination, self.stack = paths, validation, combination, stack
        self.files: dict[str, list[Any]] = {}
        self.last: tuple[list[str], float] = ([], np.nan)

    def ari(self, members: Sequence[Outcome]) -> float:
        names = [outcome.run for outcome in members]
        if names != self.last[0]:
            for run in names:
                if run not in self.files:
                    self.files[run] = open_run(self.paths.run(run), self.validation, self.stack)
            point = curve_with(
                [image.labels for image in self.validation.images],
                [self.files[run] for run in names],
                member_weights(self.combination, [outcome.ari for outcome in members]),
                len(self.validation.classes),
                self.combination == "vote",
            )[-1]
            self.last = names, point.contingency.adjusted_rand_index
        return self.last[1]


def write_moments(path: Path, found: Sequence[Moment]) -> None:
    """Write them as CSV."""
    write_csv(path, [field.name for field in fields(Moment)], [astuple(moment) for moment in found])
