"""The ranking of a search, read from its files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genenet.core.atomic_files import read_csv
from genenet.core.errors import InputError
from genenet.training.outcome_reader import read_outcome

if TYPE_CHECKING:
    from genenet.core.paths import ResultPaths
    from genenet.training.outcomes import Outcome


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
