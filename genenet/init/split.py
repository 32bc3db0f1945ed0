"""Which images, or which regions of one image, are for training and which for validation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from genenet.core.errors import InputError
from genenet.init.survey import N_IDS, SMALLEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from genenet.config.types import ImageRegion
    from genenet.core.geometry import Triple
    from genenet.init.classes import Classes
    from genenet.init.survey import LabelledLook

SHARE = 0.3  # of an image, for validation
LEAST_SHARE = 0.1
AXES = "zyx"
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
        ids = slice(classes.first, min(classes.first + len(classes.names), N_IDS - 1))
        both = (np.sum([p.counts[ids] for p in parts], axis=0) for parts in (self.train, self.validation))
        train, validation = both
        return train, validation


def split(
    train: Sequence[LabelledLook], validation: Sequence[LabelledLook], classes: Classes, max_validation: int
) -> Split:
    """Set images aside for validation, unless some are given: of several the last, of one a region.

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
        parts = Split([Part.whole(seen) for seen in train[:-1]], [Part.whole(train[-1])])
    else:
        parts = min(_cuts(train[0], max_validation), key=lambda cut: _badness(cut, classes))
    return Split(
        parts.train, parts.validation, [*_lacking(parts, classes), *_too_large(parts, max_validation)]
    )


def _cuts(seen: LabelledLook, max_validation: int) -> list[Split]:
    """Return the ways to set one end of the longest axis, or of one nearly as long, aside for validation.

    Raises:
        InputError: If the image is too small.
    """
    shape = seen.image.shape
    axes = [axis for axis in (2, 1, 0) if shape[axis] >= 0.9 * max(shape)]
    cuts = [_cut(seen, axis, at_start, max_validation) for axis in axes for at_start in (True, False)]
    cuts = [cut for cut in cuts if all(min(p.shape[1:]) >= SMALLEST for p in (*cut.train, *cut.validation))]
    if not cuts:
        raise InputError(
            f"{seen.image.path}: is too small to be split into training and validation; give another labelled image "
            "(--validation-image, --validation-labels)"
        )
    return cuts


def _cut(seen: LabelledLook, axis: int, at_start: bool, max_validation: int) -> Split:
    """Set one end of an axis of n voxels aside for validation; ``at_start`` false is the mirror image.

    ::

        0         size   size + gap            n
        |validation|         |      train      |
    """
    n = seen.image.shape[axis]
    of_plane = int(np.prod(seen.image.shape)) // n
    share = max(min(SHARE, max_validation / of_plane / n), LEAST_SHARE)
    size = max(round(share * n), SMALLEST if axis else 1)
    gap = GAP if axis == 0 and n >= 16 * GAP else 0
    ends = ((0, size), (size + gap, n)) if at_start else ((n - size, n), (0, n - size - gap))
    validation, train = (Part.between(seen, axis, *end) for end in ends)
    return Split([train], [validation])


def _badness(parts: Split, classes: Classes) -> tuple[int, int, float]:
    """Return classes that training lacks, that validation lacks, and how far their frequencies are apart."""
    train, validation = parts.counts(classes)
    exists = train + validation > 0
    distance = np.abs(train / max(1, train.sum()) - validation / max(1, validation.sum())).sum()
    return int((exists & (train == 0)).sum()), int((exists & (validation == 0)).sum()), float(distance)


def _lacking(parts: Split, classes: Classes) -> Iterator[str]:
    """Yield which classes a part lacks; raises InputError if it lacks all but one."""
    train, validation = parts.counts(classes)
    for what, counts, images, effect in (
        ("training", train, parts.train, "no network learns that"),
        ("validation", validation, parts.validation, "no score tells how well that is learnt"),
    ):
        if (counts > 0).sum() < 2:
            raise InputError(
                f"{_files(images)}: the part for {what} has {(counts > 0).sum()} of {len(counts)} classes; at least 2 "
                "are needed there: give other images (--image …, --validation-image …)"
            )
        absent = (counts == 0) & (train + validation > 0)
        if absent.any():
            names = " and ".join(classes.names[i] for i in np.flatnonzero(absent))
            yield f"{names}: not in the part for {what}, so {effect}"


def _files(parts: Iterable[Part]) -> str:
    return ", ".join(str(part.look.labels) for part in list(parts)[:3])


def _too_large(parts: Split, max_validation: int) -> Iterator[str]:
    if parts.n_validation > 1.2 * max_validation:
        yield (
            f"validation has {parts.n_validation / 1e6:.0f} million voxels, which each training segments again and "
            "again; region: in the file cuts a part of it"
        )
