"""Which images, or which regions of one image, are for training and which for validation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genenet.core.errors import InputError
from genenet.init.parts import Part, Split
from genenet.init.survey import SMALLEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from genenet.init.classes import Classes
    from genenet.init.survey import LabelledLook

SHARE = 0.3  # of the labelled voxels, for validation
LEAST_SHARE = 0.1  # of an axis, also if validation is large
GAP = 2  # slices left out between two regions along z, since neighbouring slices are nearly the same


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
