"""What a search has found, read from its files."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from genenet.core.atomic_files import optional_json, read_csv
from genenet.core.errors import InputError
from genenet.core.paths import ResultPaths, of_baseline
from genenet.genes.baselines import title_of
from genenet.genes.genome import read_genome
from genenet.training.attempts import read_attempts

if TYPE_CHECKING:
    from genenet.genes.domains import Number

BASELINES = "baselines/"


@dataclass(frozen=True)
class Cost:
    """What a training took: jobs that worked on it, and their seconds from begin to end.

    A job that was killed couldn't say when; its seconds are missing, and it counts in ``n_killed``.
    """

    n_jobs: int = 0
    job_seconds: float = 0.0
    n_killed: int = 0


@dataclass(frozen=True)
class Run:
    """A row of the ranking, with the training's history, the values of its genome's root, and its cost."""

    rank: int
    run: str
    status: str
    kind: str  # member, baseline or other
    ari: float | None
    mean_iou: float | None
    accuracy: float | None
    n_parameters: int | None
    iterations: int | None
    best_iteration: int | None
    seconds: float | None
    reason: str
    history: list[tuple[int, float]]  # iteration, validation ARI
    values: dict[str, Number] = field(default_factory=dict)
    cost: Cost = Cost()
    genome: str = ""  # its id
    parents: tuple[str, ...] = ()  # ids

    @property
    def title(self) -> str:
        """What people call it."""
        return title_of(of_baseline(self.run)[0]) if self.kind == "baseline" else self.run


def read_runs(paths: ResultPaths, members: set[str]) -> list[Run]:
    """Read the ranking and what it leaves out; raises InputError if there is none."""
    if not Path(paths.ranking).exists():
        raise InputError(f"{paths.ranking}: no such file; select an ensemble first (genenet select)")
    return [_run(paths, row, members) for row in rows(Path(paths.ranking))]


def _run(paths: ResultPaths, row: dict[str, str], members: set[str]) -> Run:
    name = row["run"]
    history = rows(paths.run(name).history)
    points = [(int(r["iteration"]), as_float(r["validation_ari"])) for r in history]
    other = "baseline" if name.startswith(BASELINES) else "other"
    parameters = as_float(row["n_parameters"])
    genome = read_genome(paths.genome(name)) if Path(paths.genome(name)).exists() else None
    return Run(
        rank=int(row["rank"]),
        run=name,
        status=row["status"],
        kind="member" if name in members else other,
        ari=as_float(row["validation_ari"]),
        mean_iou=as_float(row["mean_iou"]),
        accuracy=as_float(row["accuracy"]),
        n_parameters=None if parameters is None else int(parameters),
        iterations=int(row["iterations"]) if row["iterations"] else None,
        best_iteration=(optional_json(paths.run(name).scores) or {}).get("best_iteration"),
        seconds=as_float(row["seconds"]),
        reason=row["reason"],
        history=[(iteration, ari) for iteration, ari in points if ari is not None],
        values=genome.net.values() if genome else {},
        cost=_cost(paths.run(name).attempts),
        genome=row["genome"],
        parents=genome.parents if genome else (),
    )


def _cost(attempts: Path) -> Cost:
    entries = read_attempts(attempts)
    ended = [entry for entry in entries if entry["ended"]]
    seconds = [(_time(entry["ended"]) - _time(entry["began"])).total_seconds() for entry in ended]
    return Cost(len(entries), sum(seconds), len(entries) - len(ended))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def as_float(text: str) -> float | None:
    """A CSV's number; None for an empty cell and nan."""
    value = float(text) if text else math.nan
    return value if math.isfinite(value) else None


def rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV's rows; none if there is no file."""
    return read_csv(path) if path.exists() else []
