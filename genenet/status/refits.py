"""The progress of the refits of a search: the members of the ensemble, trained anew on all labelled images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genenet.config import stages
from genenet.core.paths import refit_run
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
    seen = try_read(f"{paths.selected}/ensemble.json") if config.ensemble.refit else None
    members = seen.json().get("members") if seen else None
    n = len(members) if isinstance(members, list) else 0
    inputs = [paths.settings("refit"), paths.data("refit")]
    since = max(written(path) or 0.0 for path in inputs)
    expected = Expected(config.training.iterations, since)
    return [read_outcome(paths, refit_run(rank), expected) for rank in stages.refit_ranks(config)[:n]]


def is_received(paths: ResultPaths, run: str, since: float) -> bool:
    """Whether a refit has ended after the selection at ``since``."""
    return (written(paths.refit(run.partition("/")[2])) or 0.0) >= since
