"""``genenet retry``: resets work that was given up, after the cause has been removed.

Nothing is computed here. The published files of a training, of a rung's slot or of a part of a segmentation are
removed, so that the next start of the workflow, or of ``genenet submit``, makes them again. Checkpoints stay, so a
training continues from where it was; attempts from now on count anew.

Snakemake doesn't notice a missing file if what is made from it exists. So the files on the way from a training to
the report are removed as well: later slots and rankings of its round, the ranking of the search, and the report.
They are made again in seconds; genomes that have their iterations already aren't trained again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from genenet.core import lock_holder
from genenet.core.atomic_files import remove
from genenet.core.errors import InputError
from genenet.core.paths import CONTROLS, LONG, of_control, of_fold, refit_run
from genenet.core.tolerant_read import try_read
from genenet.search.pack_receipts import receipts_of
from genenet.training.outcome_reader import read_outcome
from genenet.training.outcomes import RETRIED
from genenet.training.scores import Status

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from genenet.core.paths import ResultPaths


@dataclass(frozen=True)
class GivenUp:
    """Work that was published without a result.

    Attributes:
        name: such as r0/003, or ``demo, part 003-of-016``.
        status: that was published.
        reason: that was published with it.
        files: that are removed, so that it is done again.
        obstacle: why it can't be done again; empty if it can.
    """

    name: str
    status: str
    reason: str
    files: tuple[Path, ...]
    obstacle: str = ""


def check_statuses(names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the statuses that a user asks for, RETRIED by default.

    Raises:
        InputError: If there is no such status, or it is ok.
    """
    known = [*(status for status in get_args(Status) if status != "ok"), "unreadable"]
    for name in names or ():
        if name not in known:
            raise InputError(f"--status {name}: use {', '.join(known)}")
    return tuple(names or RETRIED)


def find(paths: ResultPaths, statuses: Collection[str], names: Collection[str] = ()) -> list[GivenUp]:
    """Return the work with one of these statuses; only that with one of these ``names``, if there are any."""
    found = [*_trainings(paths, statuses), *_parts(paths, statuses)]
    return [each for each in found if not names or each.name in names or of_fold(each.name)[0] in names]


def retry(work: Collection[GivenUp]) -> None:
    """Remove the published files of work that can be done again."""
    for each in work:
        if not each.obstacle:
            for path in each.files:
                remove(path)


def advice(paths: ResultPaths) -> str:
    """Return a line that says how to repeat work that was given up; an empty one if there is none."""
    n = sum(not each.obstacle for each in find(paths, RETRIED))
    text = f"{n} given up; once the cause is removed: genenet retry {paths.results}, then start again"
    return text if n else ""


def _trainings(paths: ResultPaths, statuses: Collection[str]) -> Iterator[GivenUp]:
    slots = _slots(paths, statuses)
    folder = paths.run("x").folder.parent
    for scores in sorted([*folder.glob("*/*/scores.json"), *folder.glob("*/*/folds/*/scores.json")]):
        run = scores.parent.relative_to(folder).as_posix()
        if _is_of_earlier_folds(paths, run):
            continue
        outcome = read_outcome(paths, run)
        if outcome.status is None or outcome.status not in statuses or outcome.n_folds:
            continue  # what was joined from folds follows when one of them is trained again
        later = [*_made_from(paths, run), Path(paths.report)]
        files = (*slots.get(run, ()), *later, *_packs(paths, run), *map(Path, outcome.files.outputs()))
        yield GivenUp(run, outcome.status, outcome.reason, files, _obstacle(paths, run))


def _is_of_earlier_folds(paths: ResultPaths, run: str) -> bool:
    """Whether a training is of a fold that the published results of its genome don't have: the config was changed."""
    whole, fold = of_fold(run)
    if fold is None:
        return False
    joined = read_outcome(paths, whole)
    return joined.scores is not None and fold >= joined.n_folds


def _made_from(paths: ResultPaths, run: str) -> list[Path]:
    """Return what is made from a training before the report: the ranking, the scores of its control, the ensemble."""
    run, fold = of_fold(run)
    if fold is not None:
        return [*map(Path, paths.run(run).outputs()), *_made_from(paths, run)]
    rank = run.partition("/")[2]
    if run == refit_run(rank):
        return [Path(paths.refit(rank)), Path(paths.refits)]
    if not run.startswith(CONTROLS):
        return [Path(paths.ranking)]
    name, repeat = of_control(run)
    return [Path(paths.control(f"{name}_{LONG}" if repeat is None else name))]


def _packs(paths: ResultPaths, run: str) -> list[Path]:
    """Return the receipts of the packs that a genome's training is in."""
    whole, fold = of_fold(run)
    round_, _, index = whole.partition("/")
    is_genome = round_[1:].isdecimal() and index.isdecimal()
    return receipts_of(paths, int(round_[1:]), int(index), fold) if is_genome else []


def _slots(paths: ResultPaths, statuses: Collection[str]) -> dict[str, list[Path]]:
    """Return, by run, its slots of rungs that ended with one of these statuses, and what is made from them."""
    found: dict[str, list[Path]] = {}
    for path in sorted((paths.results / "rungs").glob("r*/*/*.json")):
        slot = seen.json() if (seen := try_read(path)) else {}
        if slot.get("status") in statuses and isinstance(slot.get("run"), str):
            found.setdefault(slot["run"], []).extend([path, *_after(path)])
    return found


def _after(slot: Path) -> Iterator[Path]:
    """Yield the ranking that a slot is in, and the slots and rankings of its round's later rungs."""
    rung = slot.parent
    yield rung.with_suffix(".json")
    for later in rung.parent.iterdir():
        if later.is_dir() and later.name.isdigit() and int(later.name) > int(rung.name):
            yield later.with_suffix(".json")
            yield from later.glob("*.json")


def _obstacle(paths: ResultPaths, run: str) -> str:
    holder = lock_holder.look(paths.run(run).lock)
    if holder and not holder.is_gone:
        return f"{holder} is training it"
    folder = run.partition("/")[0]
    number = int(folder[1:]) if folder[1:].isdigit() else None
    if number is None or not Path(paths.round(number)).exists():
        return ""
    if Path(paths.genome(f"r{number + 1}/000")).exists():
        return f"round {number + 1} was bred from round {number}, and would have to be bred and trained again"
    return ""


def _parts(paths: ResultPaths, statuses: Collection[str]) -> Iterator[GivenUp]:
    """Yield the parts of segmentations whose receipts have one of these statuses."""
    for path in sorted((paths.results / "segmentations").glob("*/parts/*.json")):
        if part := given_up_part(path, statuses):
            yield part


def given_up_part(receipt: Path, statuses: Collection[str] = RETRIED) -> GivenUp | None:
    """Return the part of a segmentation that has this receipt; None if it has none of these statuses."""
    found = seen.json() if (seen := try_read(receipt)) else {}
    if (status := found.get("status")) not in statuses:
        return None
    name = f"{receipt.parent.parent.name}, part {receipt.stem}"
    return GivenUp(name, str(status), str(found.get("reason", "")), (receipt,))
