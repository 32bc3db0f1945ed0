"""Which images, or which regions of one, are for training and which for validation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from genenet.core.errors import InputError
from genenet.init.survey import N_IDS, SMALLEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genenet.config.types import ImageRegion
    from genenet.core.geometry import Triple
    from genenet.init.classes import Classes
    from genenet.init.survey import LabelledLook

SHARE = 0.3  # of an image, for validation
LEAST_SHARE = 0.1
AXES = "zyx"
GAP = 2  # slices between two regions along z, where neighbours are nearly the same


@dataclass(frozen=True)
class Part:
    """An image or a region of it.

    Attributes:
        look: of the image.
        region: as config.yaml writes it; None is all.
        counts: (256,), voxels that were looked at by label id; the last for all others.
    """

    look: LabelledLook
    region: ImageRegion | None
    counts: NDArray[np.int64]

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

    def counts(self, name: str) -> NDArray[np.int64]:
        """Return the voxels by label id of ``train`` or ``validation``."""
        total: NDArray[np.int64] = np.sum([part.counts for part in getattr(self, name)], axis=0)
        return total


def split(
    train: Sequence[LabelledLook], validation: Sequence[LabelledLook], classes: Classes, max_validation: int
) -> Split:
    """Put images aside for validation, unless some are given: of several the last, of one a region.

    Args:
        train: at least one.
        validation: may be none.
        classes: of the labels.
        max_validation: voxels that are enough for a validation; a region is cut smaller, if it would have more.

    Raises:
        InputError: If a part has only one class, or an image is too small to be split.
    """
    if not validation and len(train) == 1:
        parts = _split_image(train[0], classes, max_validation)
    else:
        train, validation = (train, validation) if validation else (train[:-1], train[-1:])
        parts = Split([_whole(seen) for seen in train], [_whole(seen) for seen in validation])
    notes = [*_check_classes(parts, classes), *_check_size(parts, max_validation)]
    return Split(parts.train, parts.validation, notes)


def _whole(seen: LabelledLook) -> Part:
    return Part(seen, None, seen.places[0].sum(axis=0))


def _split_image(seen: LabelledLook, classes: Classes, max_validation: int) -> Split:
    """Cut along the longest axis, or one nearly as long: where most classes are on both sides, then most evenly."""
    shape = seen.image.shape
    axes = [axis for axis in (2, 1, 0) if shape[axis] >= 0.9 * max(shape)]
    cuts = [(axis, at_start) for axis in axes for at_start in (True, False)]
    splits = [_cut(seen, axis, at_start, max_validation) for axis, at_start in cuts]
    if not splits or any(min(part.shape[1:]) < SMALLEST for part in splits[0].train + splits[0].validation):
        raise InputError(
            f"{seen.image.path}: is too small to be split into training and validation; give another labelled image "
            "(--validation-image, --validation-labels)"
        )
    return min(splits, key=lambda parts: _badness(parts, classes))


def _cut(seen: LabelledLook, axis: int, at_start: bool, max_validation: int) -> Split:
    """Put one end of an axis aside for validation."""
    n = seen.image.shape[axis]
    area = int(np.prod([m for a, m in enumerate(seen.image.shape) if a != axis]))
    share = max(min(SHARE, max_validation / area / n), LEAST_SHARE)
    size = max(round(share * n), SMALLEST if axis else 1)
    gap = GAP if axis == 0 and n >= 16 * GAP else 0
    ends = ((0, size), (size + gap, n)) if at_start else ((n - size, n), (0, n - size - gap))
    validation, train = (_region(seen, axis, *end) for end in ends)
    return Split([train], [validation])


def _region(seen: LabelledLook, axis: int, start: int, stop: int) -> Part:
    intervals: list[tuple[int, int] | None] = [None, None, None]
    intervals[axis] = (start, stop)
    z, y, x = intervals
    return Part(seen, (z, y, x), seen.places[axis][start:stop].sum(axis=0))


def _badness(parts: Split, classes: Classes) -> tuple[int, int, float]:
    """Return classes that training lacks, that validation lacks, and how far their frequencies are apart."""
    of = [parts.counts(name)[: len(classes.names)] for name in ("train", "validation")]
    there = (of[0] + of[1]) > 0
    lacking = [int((there & (counts == 0)).sum()) for counts in of]
    shares = [counts / max(1, counts.sum()) for counts in of]
    return lacking[0], lacking[1], float(np.abs(shares[0] - shares[1]).sum())


def _check_classes(parts: Split, classes: Classes) -> list[str]:
    """Say what training or validation lacks; raise InputError if that is all but one class."""
    notes, n = [], min(len(classes.names), N_IDS - 1)
    everything = parts.counts("train") + parts.counts("validation")
    for name, then in (
        ("train", "no network learns that"),
        ("validation", "no score tells how well that is learnt"),
    ):
        counts = parts.counts(name)[:n]
        what = "training" if name == "train" else name
        files = ", ".join(str(part.look.labels) for part in getattr(parts, name)[:3])
        if (counts > 0).sum() < 2:
            n_there = int((counts > 0).sum())
            raise InputError(
                f"{files}: the part for {what} has {n_there} of {n} classes; at least 2 are needed there: give other "
                "images (--image …, --validation-image …)"
            )
        lacking = [classes.names[i] for i in np.flatnonzero((counts == 0) & (everything[:n] > 0))]
        if lacking:
            notes.append(f"{' and '.join(lacking)}: not in the part for {what}, so {then}")
    return notes


def _check_size(parts: Split, max_validation: int) -> list[str]:
    n_voxels = sum(int(np.prod(part.shape)) for part in parts.validation)
    if n_voxels <= 1.2 * max_validation:
        return []
    return [
        f"validation has {n_voxels / 1e6:.0f} million voxels, which each training segments again and again; a region: "
        "in the file cuts a part of it"
    ]
