"""``ranking.csv``: all trainings of a search, best first, written and read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genenet.config.instance_metrics import INSTANCE_METRICS
from genenet.config.selection_metrics import RANKING_METRIC
from genenet.core.atomic_files import read_csv, write_csv
from genenet.core.errors import InputError
from genenet.metrics.table import METRICS
from genenet.training.outcome_reader import read_outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.core.paths import ResultPaths
    from genenet.training.outcomes import Outcome

FIRST = ("rank", "run", "name", "genome", "status")
LAST = ("n_parameters", "iterations", "seconds", "reason")
COLUMNS = (
    *FIRST,
    *(f"validation_{name}" if name == RANKING_METRIC else name for name in METRICS),
    *LAST,
)


def write_ranking(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write a CSV row for every training, with all metrics of the table; ``outcomes`` are best first.

    Where networks tell objects apart, a column for each metric of objects and each class of them follows.
    """
    of_objects = dict.fromkeys(
        (name, metric)
        for outcome in outcomes
        for name in (outcome.scores.objects if outcome.scores else ())
        for metric in INSTANCE_METRICS
    )
    rows = [
        [*_row(rank, outcome), *(_object_score(outcome, *column) for column in of_objects)]
        for rank, outcome in enumerate(outcomes, start=1)
    ]
    write_csv(path, (*COLUMNS, *(f"{metric} of {name}" for name, metric in of_objects)), rows)


def _object_score(outcome: Outcome, name: str, metric: str) -> float | None:
    scores = outcome.scores.objects.get(name) if outcome.scores else None
    return scores.metrics.get(metric) if scores else None


def _row(rank: int, outcome: Outcome) -> list[Any]:
    scores = outcome.scores
    metrics = scores.validation.metrics if scores and scores.validation else {}
    return [
        rank,
        outcome.run,
        scores.name if scores else None,
        outcome.genome,
        outcome.status,
        *(metrics.get(name) for name in METRICS),
        outcome.n_parameters,
        outcome.iterations,
        outcome.seconds,
        outcome.reason or None,
    ]


def read_runs(paths: ResultPaths, members: set[str]) -> list[Outcome]:
    """Read all trainings of the ranking, best first, and which of them are ``members`` of the ensemble.

    Raises:
        InputError: If there is no ranking.
    """
    if not Path(paths.ranking).exists():
        raise InputError(f"{paths.ranking}: no such file; select an ensemble first (genenet select)")
    return [
        replace(read_outcome(paths, row["run"]), rank=int(row["rank"]), is_member=row["run"] in members)
        for row in rows(Path(paths.ranking))
    ]


def rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV's rows; none if there is no file."""
    return read_csv(path) if path.exists() else []
