"""Which classes labels mean: their names, a label to ignore, and what is odd about them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genenet.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.init.survey import LabelledLook

MANY_IDS = 50  # no search has as many classes; instances have
IGNORED = (255, 65535, 2**32 - 1)  # what programs write where nothing is labelled


@dataclass(frozen=True)
class Classes:
    """What the label ids mean.

    Attributes:
        names: by id, from 0 on.
        ignore_label: the id that is neither learnt nor scored.
        notes: what is odd, but no mistake.
    """

    names: list[str]
    ignore_label: int | None
    notes: list[str] = field(default_factory=list)


def default_names(n_classes: int) -> list[str]:
    """Return names to begin with."""
    return ["background", *(f"class {i}" for i in range(1, n_classes))]


def find_ignored(looks: Sequence[LabelledLook], asked: int | None) -> int | None:
    """Return the label that stands for nothing: as asked, or 255 and the like above at least two others."""
    ids = _ids(looks)
    if asked is not None:
        return asked
    if len(ids) < 3 or ids[-1] not in IGNORED or ids[-2] >= ids[-1] - 1 or len(ids) > MANY_IDS:
        return None
    return ids[-1]


def n_classes(looks: Sequence[LabelledLook], ignored: int | None) -> int:
    """Return how many classes there are, the highest id and 1.

    Raises:
        InputError: If the labels are no class ids from 0 on; a line for each file or thing.
    """
    many = [_instances(seen) for seen in looks if len(seen.counts) > MANY_IDS]
    if many:
        raise InputError("\n".join(many))
    ids = [i for i in _ids(looks) if i != ignored]
    where = _where(looks)
    if len(ids) < 2:
        beside = f" beside the ignored {ignored}" if ignored is not None else ""
        only = f"all voxels are {ids[0]}" if ids else "nothing is labelled"
        raise InputError(
            f"{where}: {only}{beside}; labels of at least two classes are needed, such as 0 and 1"
        )
    if ids[0] < 0:
        raise InputError(f"{where}: label {ids[0]} is negative; class ids go from 0 on")
    return ids[-1] + 1


def check_gaps(looks: Sequence[LabelledLook], ignored: int | None) -> None:
    """Raise InputError if most ids between 0 and the highest aren't there, and nobody said that they are classes."""
    ids = [i for i in _ids(looks) if i != ignored]
    n_missing = ids[-1] + 1 - len(ids)
    if n_missing <= max(4, len(ids)) and ids[-1] < 254:
        return
    shown = ", ".join(map(str, ids[:6])) + (" …" if len(ids) > 6 else "")
    divide = f" (in Fiji: Process > Math > Divide by {ids[1]})" if len(ids) == 2 and ids[0] == 0 else ""
    raise InputError(
        f"{_where(looks)}: label ids are {shown}, which would be {ids[-1] + 1} classes; renumber them "
        f"0 to {len(ids) - 1}{divide}"
    )


def choose_classes(looks: Sequence[LabelledLook], names: list[str] | None, ignored: int | None) -> Classes:
    """Give the ids names.

    Raises:
        InputError: If the names don't fit the ids.
    """
    n = n_classes(looks, ignored)
    if names is None:
        check_gaps(looks, ignored)
        names = default_names(n)
    _check_names(looks, names, n, ignored)
    return Classes(names, ignored, [*_notes(looks, names, ignored)])


def counts_of(looks: Sequence[LabelledLook]) -> Counter[int]:
    """Return the voxels of each id in all labels that were looked at."""
    return sum((Counter(seen.counts) for seen in looks), Counter[int]())


def _check_names(looks: Sequence[LabelledLook], names: list[str], n: int, ignored: int | None) -> None:
    if len(names) < n:
        raise InputError(
            f"--classes: names {len(names)} classes, ids 0 to {len(names) - 1}, but {_where(looks)} has label {n - 1}; "
            f"name {n}, or give --ignore-label {n - 1}"
        )
    if not all(names) or len(set(names)) < len(names):
        raise InputError(f"--classes {','.join(names)}: give each class a name of its own")
    if ignored is not None and ignored < len(names):
        raise InputError(
            f"--ignore-label {ignored}: is the id of class '{names[ignored]}'; leave one of them out"
        )


def _notes(looks: Sequence[LabelledLook], names: list[str], ignored: int | None) -> list[str]:
    counts, notes = counts_of(looks), []
    absent = [i for i in range(len(names)) if not counts.get(i)]
    if absent:
        listed = ", ".join(f"{i} ({names[i]})" for i in absent)
        notes.append(
            f"no voxel has label {listed}: such a class can't be learnt; renumber the others, or leave it"
        )
    if ignored is not None:
        notes.append(
            f"label {ignored} is taken for 'not labelled': neither learnt nor scored (--ignore-label)"
        )
    total = sum(n for i, n in counts.items() if i != ignored)
    rare = [names[i] for i in range(len(names)) if 0 < counts.get(i, 0) < total / 1000]
    if rare:
        notes.append(f"less than 1 voxel of 1000 is {' or '.join(rare)}: few networks will learn that")
    return notes


def _instances(seen: LabelledLook) -> str:
    return (
        f"{seen.labels}: has {len(seen.counts)} different labels, so they seem to number objects; genenet learns "
        "classes: save one id for each kind of object (or membrane against the rest)"
    )


def _ids(looks: Sequence[LabelledLook]) -> list[int]:
    return sorted(counts_of(looks))


def _where(looks: Sequence[LabelledLook]) -> str:
    more = f" and {len(looks) - 1} more" if len(looks) > 1 else ""
    return f"{looks[0].labels}{more}"
