"""``ranking.csv``: all trainings of a search, best first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genenet.core.atomic_files import write_csv
from genenet.metrics.table import METRICS, RANKING_METRIC

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from genenet.training.outcomes import Outcome

FIRST = ("rank", "run", "name", "genome", "status")
LAST = ("n_parameters", "iterations", "seconds", "reason")
COLUMNS = (
    *FIRST,
    *(f"validation_{name}" if name == RANKING_METRIC else name for name in METRICS),
    *LAST,
)


def write_ranking(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write a CSV row for every training, with all metrics of the table; ``outcomes`` are best first."""
    write_csv(path, COLUMNS, [_row(rank, outcome) for rank, outcome in enumerate(outcomes, start=1)])


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
