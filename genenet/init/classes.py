"""The classes that belong to the label ids: their names, the label that is ignored, and what is unusual."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genenet.core.errors import InputError
from genenet.init.survey import N_IDS
from genenet.volumes.labels import first_label

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from genenet.init.survey import LabelledLook

MANY_CLASSES = 12  # more classes than this are rare, so the ids may number objects
IGNORED = (255, 65535, 2**32 - 1)  # programs write these, or -1, where nothing is labelled


@dataclass(frozen=True)
class Classes:
    """What the label ids mean.

    Attributes:
        names: by id, from ``first`` on.
        ignore_label: the id that is neither learnt nor scored.
        notes: what is unusual, but no error.
    """

    names: list[str]
    ignore_label: int | None
    notes: list[str] = field(default_factory=list)

    @property
    def first(self) -> int:
        """The id of the first class: 1 if 0 means "not labelled"."""
        return first_label(self.ignore_label)

    @property
    def columns(self) -> slice:
        """The columns of ``LabelledLook.places`` that count the classes."""
        return slice(self.first, min(self.first + len(self.names), N_IDS - 1))


@dataclass(frozen=True)
class LabelIds:
    """The ids of all labels.

    Attributes:
        counts: voxels that were read, by id, without the ignored one.
        ignored: the label that isn't a class, if there is one.
        where: the files, for messages.
    """

    counts: Counter[int]
    ignored: int | None
    where: str

    @classmethod
    def of(
        cls, looks: Sequence[LabelledLook], ignore_label: int | None, names: Sequence[str] | None = None
    ) -> LabelIds:
        """Collect the ids; the ignored one is as asked, or one that usually means "not labelled".

        Args:
            looks: at the labels.
            ignore_label: as asked.
            names: of the classes, if they were given: as many as ids from 0 to the highest make 0 a class, too.

        Raises:
            InputError: If the labels hold fewer than two classes or negative ids.
        """
        counts = counts_of(looks)
        ignored = _unlabelled(sorted(counts), len(names or ())) if ignore_label is None else ignore_label
        if ignored is not None:
            counts.pop(ignored, None)
        more = f" and {len(looks) - 1} more" if len(looks) > 1 else ""
        found = cls(counts, ignored, f"{looks[0].labels}{more}")
        found._check()
        return found

    @property
    def sorted(self) -> list[int]:
        """The ids, without the ignored one."""
        return sorted(self.counts)

    @property
    def first(self) -> int:
        """The id of the first class."""
        return first_label(self.ignored)

    @property
    def n_classes(self) -> int:
        """The number of ids from the first class to the highest id."""
        return max(self.counts) + 1 - self.first

    @property
    def may_ignore_0(self) -> bool:
        """Whether 0 could mean "not labelled": it occurs beside at least two others, and nothing is ignored yet."""
        return self.ignored is None and self.sorted[0] == 0 and len(self.sorted) > 2

    def _check(self) -> None:
        ids = self.sorted
        if len(ids) < 2:
            beside = f" beside the ignored {self.ignored}" if self.ignored is not None else ""
            only = f"all voxels are {ids[0]}" if ids else "nothing is labelled"
            raise InputError(
                f"{self.where}: {only}{beside}; labels of at least two classes are needed, such as 0 and 1"
            )
        if ids[0] < 0:
            raise InputError(
                f"{self.where}: label {ids[0]} is negative; class ids go from 0 on. If it means 'not labelled', give "
                f"--ignore-label {ids[0]}"
            )

    def default_names(self) -> list[str]:
        """Return names to begin with.

        Raises:
            InputError: If most ids between the first and the highest are missing, so that they can't be class ids.
        """
        ids, first = self.sorted, self.first
        if self.n_classes - len(ids) > max(4, len(ids)) or self.n_classes > 254:
            shown = ", ".join(map(str, ids[:6])) + (" …" if len(ids) > 6 else "")
            is_mask = len(ids) == 2 and ids[0] == 0
            divide = f" (in Fiji: Process > Math > Divide by {ids[1]})" if is_mask else ""
            raise InputError(
                f"{self.where}: label ids are {shown}, which would be {self.n_classes} classes; renumber them "
                f"{first} to {first + len(ids) - 1}{divide}"
            )
        names = [f"class {i}" for i in range(first, first + self.n_classes)]
        return names if first else ["background", *names[1:]]

    def classes(self, names: list[str]) -> Classes:
        """Give the ids names.

        Raises:
            InputError: If the names don't fit the ids.
        """
        n, first = self.n_classes, self.first
        if len(names) < n:
            highest = first + n - 1
            raise InputError(
                f"--classes: names {len(names)} classes, ids {first} to {first + len(names) - 1}, but {self.where} has "
                f"label {highest}; name {n}, or give --ignore-label {highest}"
            )
        if not all(names) or len(set(names)) < len(names):
            raise InputError(f"--classes {','.join(names)}: give each class a name of its own")
        if self.ignored is not None and first <= self.ignored < first + len(names):
            raise InputError(
                f"--ignore-label {self.ignored}: is the id of class '{names[self.ignored - first]}'; leave one of them "
                "out"
            )
        return Classes(names, self.ignored, list(self._notes(names)))

    def _notes(self, names: list[str]) -> Iterator[str]:
        ids = range(self.first, self.first + len(names))
        absent = ", ".join(f"{i} ({name})" for i, name in zip(ids, names, strict=True) if not self.counts[i])
        if absent:
            yield f"no voxel has label {absent}: such a class can't be learnt; renumber the others, or leave the gap"
        if self.ignored is not None:
            yield f"label {self.ignored} is treated as 'not labelled': it is neither learnt nor scored (--ignore-label)"
        if self.may_ignore_0:
            yield f"label 0 is treated as the class '{names[0]}'; if it means 'not labelled', give --ignore-label 0"
        if len(names) > MANY_CLASSES:
            yield (
                f"{len(names)} classes are many: if the labels number objects, give the name of such an object, as "
                "--objects mitochondrion (see docs/objects.md)"
            )
        least = self.counts.total() / 1000
        rare = " or ".join(name for i, name in zip(ids, names, strict=True) if 0 < self.counts[i] < least)
        if rare:
            yield f"fewer than 1 voxel in 1000 is {rare}: few networks will learn it"


def counts_of(looks: Sequence[LabelledLook]) -> Counter[int]:
    """Return the voxels of each id in all labels."""
    return sum((Counter(seen.counts) for seen in looks), Counter[int]())


def _unlabelled(ids: Sequence[int], n_names: int) -> int | None:
    """Return the id that means "not labelled" beside at least two others, if there is one.

    That is -1 as the lowest id; 255 or the like, if the other ids are lower by more than 1; and 0 if the ids begin
    at 1, so that no class is missing.
    """
    if len(ids) >= 3 and ids[0] == -1:
        return -1
    if len(ids) >= 3 and ids[-1] in IGNORED and ids[-2] < ids[-1] - 1:
        return ids[-1]
    return 0 if len(ids) >= 2 and ids[0] == 1 and n_names <= ids[-1] else None
