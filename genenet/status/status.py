"""How far a search is, while it runs: read from its files alone, wherever its jobs are."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genenet.config import stages
from genenet.config.model import read_config
from genenet.core.errors import InputError
from genenet.core.paths import ResultPaths, of_baseline
from genenet.core.tolerant_read import glimpse, names_in, written
from genenet.genes.baselines import title_of
from genenet.status.run_state import RunState, read_run
from genenet.status.rung_state import read_aims
from genenet.status.stage_state import StageState, later_stages, preparation
from genenet.status.time_left import TimeLeft, time_left

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genenet.config.model import Config

FORMAT = "genenet.status/1"


@dataclass(frozen=True)
class Status:
    """What a search's files show."""

    results: Path
    iterations: int  # of each training
    may_end_earlier: bool  # when they no longer get better, or others are better
    runs: list[RunState]
    left: TimeLeft
    stages: list[StageState]
    changed: list[str]  # training settings in which the config differs from those that the trainings have

    def of_state(self, state: str) -> list[RunState]:
        """Return the trainings in a state."""
        return [run for run in self.runs if run.state == state]

    @property
    def failures(self) -> list[RunState]:
        """Trainings that have failed, the newest first."""
        return sorted(self.of_state("failed"), key=lambda run: -(run.time or 0.0))

    @property
    def best(self) -> RunState | None:
        """The genome with the highest ARI so far, in training or done."""
        return _best(run for run in self.runs if not run.is_baseline)

    @property
    def best_baselines(self) -> dict[str, RunState]:
        """Each baseline's best training, by its title."""
        by_name: dict[str, list[RunState]] = {}
        for run in self.runs:
            if run.is_baseline:
                by_name.setdefault(of_baseline(run.run)[0], []).append(run)
        best = {title_of(name): _best(runs) for name, runs in by_name.items()}
        return {title: run for title, run in best.items() if run}

    @property
    def is_over(self) -> bool:
        """Whether the report is there, of these results."""
        return all(stage.state == "done" for stage in self.stages)


def _best(runs: Any) -> RunState | None:
    scored = [run for run in runs if run.ari is not None]
    return max(scored, key=lambda run: run.ari, default=None)


def load_config(path: Path) -> Config:
    """Read the config of a search that has begun.

    Raises:
        InputError: If there is no config, or nothing has been done for it yet.
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
    """Look at all files that say how far a search is."""
    paths = ResultPaths(config.results)
    since = _Inputs(paths)
    seen = glimpse(paths.settings("train"))
    kept = dict(_leaves(seen.json())) if seen else {}
    iterations = kept.get("training.iterations")
    if not isinstance(iterations, int):
        iterations = config.training.iterations
    rounds = stages.search_rounds(config)
    aims, may_end_earlier = read_aims(rounds, paths), config.training.stopping.patience is not None
    names = [*(f"r{each.number}" for each in rounds), "baselines"]
    folders = {name: set(names_in(paths.run(name).folder)) for name in names}
    bred = {run for each in rounds if each.is_bred for run in each.runs}
    runs = []
    for run in stages.runs(config):
        aim = aims.iterations.get(run, iterations)
        if Path(run).name in folders[Path(run).parent.name]:
            is_whole = run not in aims.iterations or may_end_earlier
            runs.append(read_run(paths, run, since.of(run, run in bred), aim, is_whole))
        else:
            runs.append(RunState(run=run, state="waiting", iterations=aim))
    return Status(
        results=config.results,
        iterations=iterations,
        may_end_earlier=may_end_earlier or bool(aims.iterations),
        runs=runs,
        left=time_left([*runs, *aims.open]),
        stages=[preparation(config, paths), *later_stages(config, paths, runs)],
        changed=_changes(kept, config),
    )


class _Inputs:
    """When what the trainings are made from was written: each file is asked once for all trainings."""

    def __init__(self, paths: ResultPaths) -> None:
        self.written = cache(lambda path: written(path) or 0.0)
        self.paths = paths

    def of(self, run: str, is_bred: bool = False) -> float:
        """Return when the newest input of a training was written; genomes are as old as their settings."""
        genome = "breed" if is_bred else "generate"
        is_baseline = run.startswith("baselines/")
        names = [stages.train_stage(run), stages.baseline_stage(run) if is_baseline else genome]
        names += ["prepare_train", "prepare_validation"]
        files = [self.paths.settings(name) for name in names]
        return max(map(self.written, files + [self.paths.data("train"), self.paths.data("validation")]))


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
    best, failures = status.best, Counter(run.status for run in status.failures)
    states = Counter(run.state for run in status.runs)
    return {
        "format": FORMAT,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "results": str(status.results),
        "is_over": status.is_over,
        "iterations": status.iterations,
        "trainings": {
            "all": len(status.runs),
            **{state: states[state] for state in ("done", "failed", "training", "interrupted", "waiting")},
        },
        "failures": dict(failures),
        "best": best.run if best else None,
        "baselines": {run.run: run.ari for run in status.best_baselines.values()},
        "left": asdict(status.left),
        "settings_changed": status.changed,
        "stages": [asdict(stage) for stage in status.stages],
        "runs": [asdict(run) for run in status.runs],
    }


def print_json(status: Status) -> None:
    """Print it for programs."""
    json.dump(as_json(status), sys.stdout, indent=1, allow_nan=False)
    print()
