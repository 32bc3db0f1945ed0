"""The first look at images and labels: shapes, types, values, label ids and where they lie."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from genenet.config.texts import NONE, option
from genenet.core.errors import InputError
from genenet.core.geometry import Box, Triple, by
from genenet.init.files import FileSet, Sampled, collected

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from genenet.config.types import FlippedAxes
    from genenet.init.files import OpenedSet
    from genenet.init.request import Request
    from genenet.volumes.base import Volume
    from genenet.volumes.grid import Sizes

Found = TypeVar("Found")

LABELLED_VOXELS = 2**25  # of an image and its labels that are read at most
VOLUME_VOXELS = 2**22  # of a volume to segment
SMALLEST = 32  # voxels along y and x: what a network with one pooling needs to learn anything
FEW_VALUES = 32  # an image has more grey values than this, labels have fewer ids
N_IDS = 256  # ids from N_IDS - 1 on can't be classes: their places aren't counted


@dataclass(frozen=True)
class Look:
    """An image without its labels.

    Attributes:
        path: as it was given.
        mask: file of its mask, if it has one; voxels outside don't count in the values below.
        flip_mask: ``flip:`` of the image with its mask, if one of the two is MRC.
        shape: voxels along z, y, x.
        dtype: type of the voxels.
        sizes_nm: of a voxel, along z, y, x, as far as the file contains them.
        low: smallest value.
        high: largest value.
        n_values: number of different values in one part of the image.
        n_read: voxels that were read; a large image is sampled.
    """

    path: Path
    mask: Path | None
    flip_mask: FlippedAxes | None
    shape: Triple
    dtype: np.dtype[Any]
    sizes_nm: Sizes
    low: float
    high: float
    n_values: int
    n_read: int

    @property
    def is_whole(self) -> bool:
        """Whether all voxels were read."""
        return self.n_read == Box.of_shape(self.shape).n_voxels


@dataclass(frozen=True)
class LabelledLook:
    """An image with its labels.

    Attributes:
        image: the image.
        labels: the file of its labels.
        flip: ``flip:`` of the image with its labels and mask, if some of them are MRC.
        counts: voxels that were read, by label id.
        places: for each axis, (n, N_IDS): how many voxels of each id lie at each position along it; the last
            column is for all ids that can't be classes.
        objects: name of the objects that the labels number; None if the labels are class ids.
        n_objects: how many were seen.
    """

    image: Look
    labels: Path
    flip: FlippedAxes | None
    counts: dict[int, int]
    places: tuple[NDArray[np.int64], ...]
    objects: str | None = None
    n_objects: int = 0


@dataclass(frozen=True)
class Survey:
    """All that was looked at."""

    train: list[LabelledLook]
    validation: list[LabelledLook]
    volumes: list[Look]

    @property
    def labelled(self) -> list[LabelledLook]:
        """All labelled images."""
        return [*self.train, *self.validation]


def survey(request: Request) -> Survey:
    """Look at all files of a request.

    Raises:
        InputError: If files can't be read or learnt from; it has a line for each thing that is wrong.
    """
    problems: list[str] = []

    def each(look: Callable[[FileSet, FlippedAxes | None], Found], *options: str) -> list[Found]:
        found = []
        for files in _sets(request, *options):
            with collected(problems):
                found.append(look(files, request.flip))
        return found

    found = Survey(
        each(look_labelled, "image", "mask", "labels"),
        each(look_labelled, "validation_image", "validation_mask", "validation_labels"),
        each(look_at_volume, "segment", "segment_mask"),
    )
    if problems:
        raise InputError("\n".join(problems))
    return found


def _sets(request: Request, image: str, mask: str, labels: str | None = None) -> list[FileSet]:
    """Pair the images, masks and labels of these options.

    Raises:
        InputError: If there are masks, but not one or the word ``none`` for each image.
    """
    images, masks = getattr(request, image), getattr(request, mask)
    if masks and len(masks) != len(images):
        raise InputError(
            f"{option(mask)}: {len(masks)} are given for {len(images)} of {option(image)}; give one for each, in the "
            f"same order, and the word {NONE} for an image without a mask"
        )
    of_labels = getattr(request, labels) if labels else [None] * len(images)
    of_masks = [None if str(path) == NONE else path for path in masks] or [None] * len(images)
    return [FileSet(*files) for files in zip(images, of_labels, of_masks, strict=True)]


def look_at_volume(files: FileSet, flip: FlippedAxes | None, max_voxels: int = VOLUME_VOXELS) -> Look:
    """Look at a volume to segment, or at a random sample of a large one.

    Raises:
        InputError: If it can't be used; it has a line for each thing that is wrong.
    """
    opened = files.open(flip)
    if opened.problems or not opened.image:
        raise InputError("\n".join(opened.problems))
    return _look(opened, opened.image, max_voxels)


def look_labelled(files: FileSet, flip: FlippedAxes | None) -> LabelledLook:
    """Look at an image and its labels.

    Raises:
        InputError: If they can't be learnt from; it has a line for each thing that is wrong.
    """
    opened = files.open(flip)
    problems, seen = opened.problems, None
    with collected(problems):
        seen = _look(opened, opened.image, LABELLED_VOXELS) if opened.image else None
    if problems or not seen or not opened.labels or not files.labels:
        raise InputError("\n".join(problems))
    counts, places = _count(Sampled(opened.labels, opened.mask))
    if seen.n_values <= FEW_VALUES < len(counts):
        raise InputError(
            f"{files.image}: has {seen.n_values} different values and its labels {files.labels} have {len(counts)}: "
            "are the two swapped? Give the grey image as image, the class ids as labels"
        )
    return LabelledLook(seen, files.labels, opened.flip, counts, places)


def _look(opened: OpenedSet, image: Volume, max_voxels: int) -> Look:
    path, mask = opened.files.image, opened.files.mask
    _check_shape(path, image.shape)
    masked = Sampled(image, opened.mask)
    low, high, n_values, n_read = np.inf, -np.inf, 0, 0
    for box in masked.boxes(max_voxels):
        voxels = image.read(box)[masked.counts_at(box)]
        n_read += box.n_voxels
        low, high = float(np.minimum(low, voxels.min())), float(np.maximum(high, voxels.max()))  # NaN stays
        if n_values <= FEW_VALUES:
            n_values = max(n_values, len(np.unique(voxels)))
    inside = f" inside of {mask}" if mask else ""
    if not np.isfinite([low, high]).all():
        advice = "" if mask else ", cut them off, or leave them out by a mask (--mask)"
        raise InputError(f"{path}: holds NaN or infinite voxels{inside}; replace them by numbers{advice}")
    if low == high:
        raise InputError(f"{path}: all voxels{inside} are {low:g}; an image with contrast is needed")
    flip = opened.flip_without_labels
    return Look(path, mask, flip, image.shape, image.dtype, image.grid.sizes_nm, low, high, n_values, n_read)


def _check_shape(path: Path, shape: Triple) -> None:
    if shape[2] in (3, 4) and shape[1] >= SMALLEST:
        raise InputError(
            f"{path}: has {by(shape)} voxels (z, y, x); if the last axis is colour, save the image as greyscale"
        )
    if min(shape[1:]) < SMALLEST:
        raise InputError(
            f"{path}: is {by(shape[1:])} voxels (y, x), too small for any network; at least {SMALLEST} x {SMALLEST}"
            " are needed"
        )


def _count(labels: Sampled) -> tuple[dict[int, int], tuple[NDArray[np.int64], ...]]:
    """Count the ids, and count them at each position along z, y and x."""
    counts: Counter[int] = Counter()
    places = tuple(np.zeros((n, N_IDS), np.int64) for n in labels.volume.shape)
    for box in labels.boxes(LABELLED_VOXELS):
        ids, inside = labels.volume.read(box), labels.counts_at(box)
        values, numbers = np.unique(ids[inside], return_counts=True)
        counts.update(dict(zip(values.tolist(), numbers.tolist(), strict=True)))
        columns = np.full(box.shape, N_IDS - 1)
        may_be_class = inside & (ids >= 0) & (ids < N_IDS - 1)
        columns[may_be_class] = ids[may_be_class]
        for axis, (place, start) in enumerate(zip(places, box.start, strict=True)):
            for i, plane in enumerate(np.moveaxis(columns, axis, 0), start):
                place[i] += np.bincount(plane.reshape(-1), minlength=N_IDS)
    return dict(sorted(counts.items())), places
