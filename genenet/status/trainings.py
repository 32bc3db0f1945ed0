"""The progress of the trainings of a search, each compared with what the current config expects."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from genenet.config import planned_runs
from genenet.config.planned_controls import long_iterations, long_runs, needs_ranking
from genenet.core.paths import CONTROLS, of_fold
from genenet.core.tolerant_read import names_in, try_read, written
from genenet.training.outcome_reader import read_outcome
from genenet.training.outcomes import BASELINES, Expected, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from genenet.config.model import Config
    from genenet.config.rounds import Round
    from genenet.core.paths import ResultPaths


def read_trainings(config: Config, paths: ResultPaths, iterations: int) -> list[Outcome]:
    """Read the outcomes of all trainings, those of each fold; folders that don't exist are not read."""
    rounds = planned_runs.search_rounds(config)
    aims = {run: aim for each in rounds for run, aim in _aims(each, paths)}
    wholes = dict.fromkeys(long_runs(config), long_iterations(config))
    wholes |= {run: each.iterations for each in rounds if each.inherits for run in each.runs}
    bred = {run for each in rounds if each.is_bred for run in each.runs}
    may_end_early = config.training.stopping.patience is not None
    since = _inputs_written(paths, rounds, config.start is not None)
    trainings = planned_runs.trainings(config)
    folders = {
        name: set(names_in(paths.run(name).folder)) for name in {run.rpartition("/")[0] for run in trainings}
    }
    found = []
    for run in trainings:
        whole = of_fold(run)[0]
        aim, (folder, _, name) = aims.get(whole, wholes.get(whole, iterations)), run.rpartition("/")
        if name in folders[folder]:
            expected = Expected(aim, since(run, whole in bred), whole not in aims or may_end_early)
            found.append(read_outcome(paths, run, expected))
        else:
            files, genome = paths.run(run), Path(paths.genome(run))
            found.append(Outcome(run=run, files=files, genome_file=genome, expected=Expected(aim)))
    return found


def read_joined(paths: ResultPaths, folds: Sequence[Outcome]) -> list[Outcome]:
    """Return the trainings that are ranked: those whose folds are over. Folds alone can't be compared."""
    left = {of_fold(fold.run)[0] for fold in folds if not fold.is_over}
    names = dict.fromkeys(of_fold(fold.run)[0] for fold in folds)
    return [read_outcome(paths, run) for run in names if run not in left]


def _inputs_written(
    paths: ResultPaths, rounds: Sequence[Round], starts: bool
) -> Callable[[str, bool], float]:
    """Return a function that returns when the newest input of a training was written; it asks for each file once.

    ``starts`` says whether trainings start from another search.
    """
    time_of = cache(lambda path: written(path) or 0.0)

    def since(run: str, is_bred: bool) -> float:
        genome = "breed" if is_bred else "generate"  # genomes are as old as their settings
        is_baseline = run.startswith((BASELINES, CONTROLS)) and not needs_ranking(run)
        names = [
            planned_runs.train_stage(run, rounds),
            planned_runs.baseline_stage(run) if is_baseline else genome,
        ]
        _, fold = of_fold(run)
        splits = ("train", "validation")
        names += [f"prepare_{s}" if fold is None else planned_runs.fold_stage(fold, s) for s in splits]
        files = [paths.settings(name) for name in names] + [paths.training_data(run, s) for s in splits]
        if starts:
            files.append(paths.start)
        if needs_ranking(run):  # its genome is as old as the choice of the best network
            files.append(paths.genome(run))
        return max(map(time_of, files))

    return since


def _aims(round_: Round, paths: ResultPaths) -> Iterator[tuple[str, int]]:
    """Yield runs and the iterations that they are to reach for now, as far as the rungs are ranked."""
    if round_.rungs:
        yield from ((run, round_.rungs[0].iterations) for run in round_.runs)
    for rung, next_ in pairwise(round_.rungs):
        best = _ranked(paths.rung(round_.number, rung.iterations))
        yield from ((run, next_.iterations) for run in best[: next_.n_slots])


def open_iterations(config: Config, paths: ResultPaths) -> list[int]:
    """Return the iterations of each slot of a rung whose genome isn't known yet, since the rung before isn't ranked."""
    return [
        next_.iterations - rung.iterations
        for each in planned_runs.search_rounds(config)
        for rung, next_ in pairwise(each.rungs)
        if not _ranked(paths.rung(each.number, rung.iterations))
        for _ in range(next_.n_slots)
    ]


def _ranked(path: str) -> list[str]:
    """Return the runs of a rung that have weights, best first; none if it isn't ranked yet."""
    seen = try_read(path)
    slots = seen.json().get("slots") if seen else None
    ranked = [slot for slot in slots if isinstance(slot, dict)] if isinstance(slots, list) else []
    return [s["run"] for s in ranked if s.get("status") == "ok" and isinstance(s.get("run"), str)]
