"""Successive halving: which genome a slot of a rung trains, its result, and which genomes continue.

The number of a rung's slots is known from the config. Which genome a slot trains is known once the rung before it has
been ranked. Genomes keep their own folders under ``runs/``, with their checkpoints; a slot only declares a small file.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from genenet.config.rounds import run_name
from genenet.config.settings import TrainSettings, read_settings
from genenet.core.atomic_files import read_csv
from genenet.core.contents import file_checksum
from genenet.search.round_files import (
    EMPTY,
    RoundFile,
    RungFile,
    SlotFile,
    TrainingResult,
    read_file,
    write_file,
)
from genenet.training.outcomes import score_of_row, scores_of_row
from genenet.training.scores import read_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.config.training import Stopping
    from genenet.core.paths import ResultPaths, RunPaths

log = logging.getLogger(__name__)


def run_of_slot(paths: ResultPaths, round_: int, slot: int, after: int | None) -> str | None:
    """Return the training that a slot continues; None if too few genomes of the rung before it are left.

    Args:
        paths: of the search.
        round_: that the rung is in.
        slot: from 0 on.
        after: iterations of the rung before it; None if it is the first, whose slots are the genomes.
    """
    if after is None:
        return run_name(round_, slot)
    ranked = read_file(Path(paths.rung(round_, after)), RungFile).slots
    left = [result.run for result in ranked if result.is_ok]
    return left[slot] if slot < len(left) else None


def write_empty_slot(path: Path) -> None:
    """Write that no genome is left for a slot."""
    log.info("no genome is left for this slot")
    write_file(path, SlotFile.holding(EMPTY))


def write_slot(path: Path, run: str, files: RunPaths, iterations: int, settings: Path) -> None:
    """Write a slot's result: its status and the scores at the rung's end, even if its genome was trained further.

    Args:
        path: of the slot's file.
        run: the training.
        files: of the training.
        iterations: at the rung's end.
        settings: of the training; they aren't read if it has no weights.
    """
    scores = read_scores(files.scores)
    if not scores.is_ok:
        write_file(path, SlotFile.holding(TrainingResult.of(run, scores, {}), iterations))
        return
    stopping = read_settings(settings, TrainSettings).training.stopping
    kept = scores_after(files.history, iterations, stopping)
    write_file(path, SlotFile.holding(TrainingResult.of(run, scores, kept), iterations, stopping.metric))


def scores_after(history: Path, iterations: int, stopping: Stopping) -> dict[str, float | None]:
    """Return ARI and mean IoU of the weights that a training had kept at an iteration; none before a validation."""
    rows = [row for row in read_csv(history) if int(row["iteration"]) <= iterations]
    if stopping.weights == "last":
        return scores_of_row(rows[-1]) if rows else {}
    known = [(score, row) for row in rows if (score := score_of_row(row, stopping.metric)) is not None]
    return scores_of_row(max(known, key=lambda each: each[0])[1]) if known else {}


def rank(slots: Sequence[Path], out: Path) -> None:
    """Write the slots of a rung, best first; those without weights come last, and a tie is broken by the run's name."""
    read = [read_file(path, SlotFile) for path in slots]
    ranked = sorted(read, key=lambda slot: slot.rank_key(slot.metric))
    write_file(out, RungFile(slots=[slot.result for slot in ranked]))


def gather(paths: ResultPaths, runs: Sequence[str], out: Path) -> None:
    """Write how all trainings of a round have ended, in their order: what later rounds are bred from."""
    scores = {run: read_scores(paths.run(run).scores) for run in runs}
    results = [
        TrainingResult.of(run, each, each.metrics).model_copy(
            update={"weights": _checksums(paths.run(run), each.folds or 0) if each.is_ok else ()}
        )
        for run, each in scores.items()
    ]
    write_file(out, RoundFile(runs=results))


def _checksums(files: RunPaths, n_folds: int) -> tuple[str, ...]:
    """Return the checksum of the weights of a training, or of each of its folds; none if a file is missing."""
    weights = [each.weights for each in files.of_folds(n_folds) or [files]]
    return tuple(map(file_checksum, weights)) if all(path.exists() for path in weights) else ()


def read_round(path: Path) -> list[TrainingResult]:
    """Read what ``gather`` wrote; raises InputError if it is something else."""
    return read_file(path, RoundFile).runs
