"""Which images, or which regions of one image, are for training and which for validation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from genenet.core.errors import InputError
from genenet.init.survey import SMALLEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from genenet.config.types import ImageRegion
    from genenet.core.geometry import Triple
    from genenet.init.classes import Classes
    from genenet.init.survey import LabelledLook

SHARE = 0.3  # of the labelled voxels, for validation
LEAST_SHARE = 0.1  # of an axis, also if validation is large
REFIT_SHARE = 0.1  # of the labelled voxels: as many are worth training the members again, on all of them
GAP = 2  # slices left out between two regions along z, since neighbouring slices are nearly the same


@dataclass(frozen=True)
class Part:
    """An image or a region of it.

    Attributes:
        look: the image.
        region: as config.yaml writes it; None is the whole image.
        counts: (N_IDS,), voxels that were read by label id; the last is for ids that can't be classes.
    """

    look: LabelledLook
    region: ImageRegion | None
    counts: NDArray[np.int64]

    @classmethod
    def whole(cls, look: LabelledLook) -> Part:
        """Return the whole image."""
        return cls(look, None, look.places[0].sum(axis=0))

    @classmethod
    def between(cls, look: LabelledLook, axis: int, start: int, stop: int) -> Part:
        """Return the region from ``start`` to ``stop`` along an axis."""
        z, y, x = ((start, stop) if each == axis else None for each in range(3))
        return cls(look, (z, y, x), look.places[axis][start:stop].sum(axis=0))

    @property
    def shape(self) -> Triple:
        """Voxels along z, y, x."""
        ends = self.region or (None, None, None)
        z, y, x = (i[1] - i[0] if i else n for i, n in zip(ends, self.look.image.shape, strict=True))
        return z, y, x


@dataclass(frozen=True)
class Split:
    """What is for training, what for validation, and what to know about it."""

    train: list[Part]
    validation: list[Part]
    notes: list[str] = field(default_factory=list)

    @property
    def is_of_one_image(self) -> bool:
        """Whether both are regions of one image."""
        return self.train[0].region is not None

    @property
    def n_validation(self) -> int:
        """Voxels of the validation images."""
        return sum(z * y * x for z, y, x in (part.shape for part in self.validation))

    def counts(self, classes: Classes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the voxels of each class in training and in validation, both (C,)."""
        columns = classes.columns
        both = (np.sum([p.counts[columns] for p in parts], axis=0) for parts in (self.train, self.validation))
        train, validation = both
        return train, validation

    def reason_to_refit(self, classes: Classes) -> str | None:
        """Return why the members should be trained again on all images in the end; None if there is little to gain.

        It pays if the validation shows another image, or holds a good part of what was labelled.
        """
        if not self.is_of_one_image:
            return (
                "Validation is an image of its own"
                if len(self.validation) == 1
                else "Validation has its own images"
            )
        train, validation = (int(counts.sum()) for counts in self.counts(classes))
        share = validation / max(1, train + validation)
        return f"Validation has {share:.0%} of the labelled voxels" if share >= REFIT_SHARE else None

    def has_two_classes(self, classes: Classes) -> bool:
        """Return whether training and validation have two classes at least."""
        return all((counts > 0).sum() >= 2 for counts in self.counts(classes))

    def lacks(self, classes: Classes) -> tuple[int, int]:
        """Return how many of the labelled classes are missing from training, and how many from validation."""
        train, validation = self.counts(classes)
        exists = train + validation > 0
        return int((exists & (train == 0)).sum()), int((exists & (validation == 0)).sum())

    def distance(self, classes: Classes) -> float:
        """Return the difference between the class frequencies of both parts, 0 to 2."""
        train, validation = self.counts(classes)
        return float(np.abs(train / max(1, train.sum()) - validation / max(1, validation.sum())).sum())


def split(
    train: Sequence[LabelledLook], validation: Sequence[LabelledLook], classes: Classes, max_validation: int
) -> Split:
    """Set images aside for validation, unless some are given: of several one, of one a region.

    Of several images it is the last, unless with another one fewer classes are missing from a part.

    Args:
        train: at least one.
        validation: may be empty.
        classes: of the labels.
        max_validation: voxels that are enough for a validation; a larger region is cut smaller.

    Raises:
        InputError: If a part has only one class, or an image is too small to be split.
    """
    if validation:
        parts = Split([Part.whole(seen) for seen in train], [Part.whole(seen) for seen in validation])
    elif len(train) > 1:
        parts = min(_all_but_one(train), key=lambda choice: choice.lacks(classes))
    else:
        parts = _best_cut(train[0], classes, max_validation)
    return Split(
        parts.train, parts.validation, [*_lacking(parts, classes), *_too_large(parts, max_validation)]
    )


def _all_but_one(train: Sequence[LabelledLook]) -> Iterator[Split]:
    """Yield the ways to set one image aside, first the last one."""
    for index in range(len(train) - 1, -1, -1):
        others = [Part.whole(seen) for i, seen in enumerate(train) if i != index]
        yield Split(others, [Part.whole(train[index])])


def _best_cut(seen: LabelledLook, classes: Classes, max_validation: int) -> Split:
    """Cut an image along its longest axis or one nearly as long.

    If a part had one class only, cut it along any axis, through the rarest class.

    Raises:
        InputError: If the image is too small.
    """
    shape = seen.image.shape
    long_axes = [axis for axis in (2, 1, 0) if shape[axis] >= 0.9 * max(shape)]
    cuts = _cuts(seen, long_axes, classes.columns, max_validation)
    if not any(cut.has_two_classes(classes) for cut in cuts):
        counts = Part.whole(seen).counts[classes.columns]
        rarest = classes.first + int(np.where(counts > 0, counts, counts.max() + 1).argmin())
        cuts += _cuts(seen, (2, 1, 0), slice(rarest, rarest + 1), max_validation)
    if not cuts:
        raise InputError(
            f"{seen.image.path}: is too small to be split into training and validation; give another labelled image "
            "(--validation-image, --validation-labels)"
        )
    return min(
        cuts, key=lambda cut: (not cut.has_two_classes(classes), *cut.lacks(classes), cut.distance(classes))
    )


def _cuts(seen: LabelledLook, axes: Sequence[int], ids: slice, max_validation: int) -> list[Split]:
    """Return the ways to set either end of the axes aside for validation that leave both parts large enough."""
    cuts = [_cut(seen, axis, at_start, ids, max_validation) for axis in axes for at_start in (True, False)]
    shapes = [[part.shape for part in (*cut.train, *cut.validation)] for cut in cuts]
    return [
        cut
        for cut, both in zip(cuts, shapes, strict=True)
        if all(z > 0 and min(y, x) >= SMALLEST for z, y, x in both)
    ]


def _cut(seen: LabelledLook, axis: int, at_start: bool, ids: slice, max_validation: int) -> Split:
    """Set one end of an axis of n voxels aside, with about SHARE of the voxels that have one of the ids.

    ::

        0         size   size + gap            n
        |validation|         |      train      |      or, if at_start is false, its mirror image
    """
    n = seen.image.shape[axis]
    labelled = seen.places[axis][:, ids].sum(axis=1)
    before = np.cumsum([0, *(labelled if at_start else labelled[::-1])])
    size = int(np.abs(before - SHARE * before[-1]).argmin())
    of_plane = int(np.prod(seen.image.shape)) // n
    size = min(size, max(round(max_validation / of_plane), round(LEAST_SHARE * n)))
    size = max(size, SMALLEST if axis else 1)
    gap = GAP if axis == 0 and n >= 16 * GAP else 0
    ends = ((0, size), (size + gap, n)) if at_start else ((n - size, n), (0, n - size - gap))
    validation, train = (Part.between(seen, axis, *end) for end in ends)
    return Split([train], [validation])


def _lacking(parts: Split, classes: Classes) -> Iterator[str]:
    """Yield the classes that are missing from a part; raises InputError if it has fewer than two classes."""
    train, validation = parts.counts(classes)
    for what, counts, images, effect in (
        ("training", train, parts.train, "can't be learnt"),
        ("validation", validation, parts.validation, "can't be scored"),
    ):
        if (counts > 0).sum() < 2:
            raise InputError(
                f"{_files(images)}: the part for {what} has {(counts > 0).sum()} of {len(counts)} classes; at least 2 "
                "are needed there: give other images (--image …, --validation-image …)"
            )
        absent = (counts == 0) & (train + validation > 0)
        if absent.any():
            names = " and ".join(classes.names[i] for i in np.flatnonzero(absent))
            yield f"{names}: not in the part for {what}, and therefore {effect}"


def _files(parts: Iterable[Part]) -> str:
    return ", ".join(str(part.look.labels) for part in list(parts)[:3])


def _too_large(parts: Split, max_validation: int) -> Iterator[str]:
    if parts.n_validation > 1.2 * max_validation:
        yield (
            f"validation has {parts.n_validation / 1e6:.0f} million voxels, which each training segments many "
            "times; to save time, cut out a part of it with region: in the file"
        )
