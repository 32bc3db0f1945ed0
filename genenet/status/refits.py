"""The progress of the refits of a search: the members of the ensemble, trained anew on all labelled images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genenet.config import planned_runs
from genenet.core.paths import of_fold, refit_run
from genenet.core.tolerant_read import try_read, written
from genenet.training.outcome_reader import read_outcome
from genenet.training.outcomes import Expected

if TYPE_CHECKING:
    from genenet.config.model import Config
    from genenet.core.paths import ResultPaths
    from genenet.training.outcomes import Outcome


def selected_folder(config: Config, paths: ResultPaths) -> str:
    """Return the folder that the selection writes: the ensemble, unless its members are trained anew."""
    return paths.selected if config.ensemble.refit else paths.ensemble


def read_refits(config: Config, paths: ResultPaths) -> list[Outcome]:
    """Read the outcomes of the refits of the members that were selected; none before the selection."""
    inputs = [paths.settings("refit"), paths.data("refit")]
    since = max(written(path) or 0.0 for path in inputs)
    members = zip(planned_runs.refit_ranks(config), _members(paths) or [], strict=False)
    return [
        read_outcome(paths, refit_run(rank), Expected(_iterations(config, paths, member), since))
        for rank, member in members
    ]


def open_refits(config: Config, paths: ResultPaths) -> list[int]:
    """Return the iterations of all refits that there may be, as long as the members aren't selected."""
    ranks = planned_runs.refit_ranks(config)
    iterations = config.training.refit_iterations or config.training.iterations
    return [iterations for _ in ranks] if _members(paths) is None else []


def _members(paths: ResultPaths) -> list[str] | None:
    """Return the runs of the ensemble that was selected, those of folds once; None before the selection."""
    seen = try_read(f"{paths.selected}/ensemble.json")
    members = seen.json().get("members") if seen else None
    if not isinstance(members, list):
        return None
    runs = [str(member.get("run")) if isinstance(member, dict) else "" for member in members]
    return list(dict.fromkeys(of_fold(run)[0] for run in runs))


def _iterations(config: Config, paths: ResultPaths, run: str) -> int:
    """Return for how many iterations a member is refitted: as many as it was trained, unless the config says it."""
    if config.training.refit_iterations:
        return config.training.refit_iterations
    scores = read_outcome(paths, run).scores if run else None
    return (scores.iterations_of_weights if scores else 0) or config.training.iterations


def is_received(paths: ResultPaths, run: str, since: float) -> bool:
    """Whether a refit has ended after the selection at ``since``."""
    return (written(paths.refit(run.partition("/")[2])) or 0.0) >= since
