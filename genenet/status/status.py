"""The progress of a running search, read from its files alone, wherever its jobs run."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

from genenet.config import planned_runs, stages
from genenet.config.model import read_config
from genenet.config.selection_metrics import RANKING_METRIC
from genenet.core.errors import InputError
from genenet.core.paths import ResultPaths
from genenet.core.tolerant_read import names_in, try_read
from genenet.search.predictions import Agreement, agreement
from genenet.status.refits import open_refits, read_refits
from genenet.status.stages import StageState, read_stages
from genenet.status.start import start_text
from genenet.status.time_left import TimeLeft, time_left
from genenet.status.trainings import open_iterations, read_joined, read_trainings
from genenet.training.outcomes import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from genenet.config.model import Config
    from genenet.training.outcomes import Outcome

FORMAT = "genenet.status/1"
PUBLIC = (  # of each training, for programs
    *(
        "run",
        "phase",
        "status",
        "ari",
        "mean_iou",
        "iteration",
        "iterations",
        "seconds_per_iteration",
        "heartbeat_seconds",
    ),
    *("progress_seconds", "host", "slurm_job_id", "reason", "published", "is_of_earlier_settings"),
)
NAMES = {"phase": "state", "published": "time"}  # what some are called in the JSON


@dataclass(frozen=True)
class Status:
    """What a search's files show."""

    results: Path
    iterations: int  # of each training
    may_end_earlier: bool  # when they no longer get better, others are better, or they inherit weights
    runs: list[Outcome]
    left: TimeLeft
    stages: list[StageState]
    changed: list[str]  # training settings in which the config differs from those that the trainings have
    metric: str = RANKING_METRIC  # by which trainings are compared
    refits: list[Outcome] = field(default_factory=list)  # of the members of the ensemble
    ranked: list[Outcome] | None = None  # with folds, the trainings whose folds were joined; None: all runs
    n_folds: int = 0
    agreement: Agreement | None = None  # of predicted and real scores; None without a surrogate model
    start: str = ""  # what trainings start from; empty if all begin with random weights

    def of_phase(self, phase: Phase) -> list[Outcome]:
        """Return the trainings in a phase."""
        return [run for run in self.runs if run.phase == phase]

    @property
    def failures(self) -> list[Outcome]:
        """Trainings without weights, the newest first."""
        return sorted(self.of_phase("failed"), key=lambda run: -(run.published or 0.0))

    @property
    def best(self) -> Outcome | None:
        """The genome with the highest score so far, in training or done."""
        return self._best(run for run in self._ranked if not run.is_baseline and not run.is_control)

    @property
    def _ranked(self) -> list[Outcome]:
        return self.runs if self.ranked is None else self.ranked

    @property
    def best_baselines(self) -> dict[str, Outcome]:
        """Each baseline's best training, by its title."""
        baselines = [run for run in self._ranked if run.is_baseline]
        titles = dict.fromkeys(run.title for run in baselines)
        best = {t: self._best(run for run in baselines if run.title == t) for t in titles}
        return {title: run for title, run in best.items() if run}

    def _best(self, runs: Iterable[Outcome]) -> Outcome | None:
        known = [run for run in runs if run.score(self.metric) is not None]
        return max(known, key=lambda run: run.ranked_score(self.metric), default=None)

    @property
    def is_over(self) -> bool:
        """Whether the report is there, of these results."""
        return all(stage.state == "done" for stage in self.stages)


def load_config(path: Path) -> Config:
    """Read the config of a search that has begun.

    Raises:
        InputError: If there is no config, or the search has no results yet.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; go to the folder of the search, or name its config")
    config = read_config(path)
    if not names_in(config.results):
        raise InputError(
            f"{config.results}: no results yet; start the search: snakemake --profile profiles/local (or slurm)"
        )
    return config


def read_status(config: Config) -> Status:
    """Read all files that show the progress of a search."""
    paths = ResultPaths(config.results)
    seen = try_read(paths.settings("train"))
    kept = dict(_leaves(seen.json())) if seen else {}
    iterations = kept.get("training.iterations")
    if not isinstance(iterations, int):
        iterations = config.training.iterations
    runs, refits = read_trainings(config, paths, iterations), read_refits(config, paths)
    are_shorter = any(each.rungs or each.inherits for each in planned_runs.search_rounds(config))
    ranked, metric = read_joined(paths, runs) if config.data.folds else None, config.ensemble.metric
    return Status(
        results=config.results,
        iterations=iterations,
        may_end_earlier=config.training.stopping.patience is not None or are_shorter,
        runs=runs,
        left=time_left([*runs, *refits], [*open_iterations(config, paths), *open_refits(config, paths)]),
        stages=read_stages(config, paths, runs, refits),
        changed=_changes(kept, config),
        metric=metric,
        refits=refits,
        ranked=ranked,
        n_folds=config.data.folds.n if config.data.folds else 0,
        agreement=agreement(ranked or runs, metric) if config.search.asks_a_model else None,
        start=start_text(config, paths),
    )


def _changes(kept: dict[str, Any], config: Config) -> list[str]:
    """Return in what the config differs from the settings that trainings are started with."""
    wanted = dict(_leaves(stages.stage_settings(config, "train").model_dump(mode="json")))
    return [
        f"{key} is {wanted[key]}, was {kept[key]}"
        for key in wanted
        if key in kept and wanted[key] != kept[key]
    ]


def _leaves(values: dict[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{at}{key}.")
        else:
            yield f"{at}{key}", value


def as_json(status: Status) -> dict[str, Any]:
    """Return all of it for programs."""
    phases = Counter(run.phase for run in status.runs)
    return {
        "format": FORMAT,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "results": str(status.results),
        "is_over": status.is_over,
        "iterations": status.iterations,
        "metric": status.metric,
        "trainings": {"all": len(status.runs), **{phase: phases[phase] for phase in get_args(Phase)}},
        "failures": dict(Counter(run.status for run in status.failures)),
        "best": status.best.run if status.best else None,
        "baselines": {run.run: run.ari for run in status.best_baselines.values()},
        "predictions": asdict(status.agreement) if status.agreement else None,
        "start": status.start or None,
        "left": asdict(status.left),
        "settings_changed": status.changed,
        "stages": [asdict(stage) for stage in status.stages],
        "runs": [_public(run) for run in status.runs],
        "refits": [_public(run) for run in status.refits],
    }


def _public(run: Outcome) -> dict[str, Any]:
    return {NAMES.get(name, name): getattr(run, name) for name in PUBLIC}


def print_json(status: Status) -> None:
    """Print it for programs."""
    json.dump(as_json(status), sys.stdout, indent=1, allow_nan=False)
    print()
