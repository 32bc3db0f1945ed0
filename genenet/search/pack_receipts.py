"""Receipts of packs (``training.per_job``): which trainings each of them stands for, from its name alone.

Snakemake knows the receipt of a pack, and not the results of its trainings. So a receipt must go when results go: when
``genenet retry`` removes them, and when a user does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genenet.config.rounds import run_name
from genenet.core.paths import fold_run, of_span, slot_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genenet.core.paths import ResultPaths


def receipts_of(paths: ResultPaths, round_: int, index: int, fold: int | None = None) -> list[Path]:
    """Return the receipts of all packs that a genome's training is in, those of earlier configs too.

    All packs of the rungs of its round are among them, since a slot may train any genome.
    """
    folder = Path(paths.pack(round_, "x", fold)).parent
    of_round = [path for path in sorted(folder.glob("*-*.json")) if index in of_span(path.stem)]
    return [*of_round, *sorted(Path(paths.rung_pack(round_, "x", "x")).parent.parent.glob("*/*-*.json"))]


def remove_receipts_without_results(paths: ResultPaths) -> None:
    """Remove the receipts of packs of which results are missing, so that these are made again."""
    for receipt in sorted((paths.results / "packs").glob("**/*-*.json")):
        if not all(Path(path).exists() for path in _results(paths, receipt)):
            receipt.unlink(missing_ok=True)


def _results(paths: ResultPaths, receipt: Path) -> Iterator[str]:
    """Yield the files that the trainings of a pack have published."""
    folders = receipt.relative_to(paths.results / "packs").parts[:-1]
    if folders[0] == "rungs":
        round_, iterations = int(folders[1][1:]), folders[2]
        for slot in of_span(receipt.stem):
            yield paths.slot(round_, iterations, slot_name(slot))
        return
    round_, fold = int(folders[-1][1:]), folders[1] if folders[0] == "folds" else None
    for index in of_span(receipt.stem):
        run = run_name(round_, index)
        yield from paths.run(run if fold is None else fold_run(run, fold)).outputs()
