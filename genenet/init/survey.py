"""The first look at images and labels: shapes, types, values, label ids and where they lie."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError
from genenet.core.geometry import Box, Triple, by
from genenet.volumes.base import Volume
from genenet.volumes.opening import open_volume
from genenet.volumes.statistics import Moments, sample_boxes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from genenet.config.types import VoxelSize
    from genenet.init.request import Request

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
        shape: voxels along z, y, x.
        dtype: type of the voxels.
        voxel_size_nm: along z, y, x, from the file's metadata.
        low: smallest value.
        high: largest value.
        n_values: number of different values in one part of the image.
        n_read: voxels that were read; a large image is sampled.
    """

    path: Path
    shape: Triple
    dtype: np.dtype[Any]
    voxel_size_nm: VoxelSize | None
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
        counts: voxels that were read, by label id.
        places: for each axis, (n, N_IDS): how many voxels of each id lie at each position along it; the last
            column is for all ids that can't be classes.
    """

    image: Look
    labels: Path
    counts: dict[int, int]
    places: tuple[NDArray[np.int64], ...]


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
    train = _each(look_at_pair, zip(request.image, request.labels, strict=True), problems)
    judges = zip(request.validation_image, request.validation_labels, strict=True)
    validation = _each(look_at_pair, judges, problems)
    volumes = _each(lambda path: look(path, VOLUME_VOXELS), ((path,) for path in request.segment), problems)
    _raise(problems)
    return Survey(train, validation, volumes)


def look(path: Path, max_voxels: int = LABELLED_VOXELS, volume: Volume | None = None) -> Look:
    """Look at an image, or at a random sample of a large one.

    Raises:
        InputError: If it can't be opened, is too small, holds NaN or infinite voxels, or has no contrast.
    """
    volume = volume or open_volume(path)
    _check_shape(path, volume.shape)
    moments, low, high, n_values = Moments(), np.inf, -np.inf, 0
    for box in sample_boxes(volume, max_voxels):
        voxels = volume.read(box)
        moments = moments.merge(Moments.of(voxels))
        low, high = min(low, float(voxels.min())), max(high, float(voxels.max()))
        if n_values <= FEW_VALUES:
            n_values = max(n_values, len(np.unique(voxels)))
    if not moments.is_finite:
        raise InputError(f"{path}: holds NaN or infinite voxels; replace them by numbers, or cut them off")
    if low == high:
        raise InputError(f"{path}: all voxels are {low:g}; an image with contrast is needed")
    return Look(path, volume.shape, volume.dtype, volume.voxel_size_nm, low, high, n_values, moments.n)


def look_at_pair(image_path: Path, labels_path: Path) -> LabelledLook:
    """Look at an image and its labels.

    Raises:
        InputError: If they can't be learnt from; it has a line for each thing that is wrong.
    """
    if image_path.resolve() == labels_path.resolve():
        raise InputError(
            f"{image_path}: is given as image and as its labels; give the file with the class ids as labels"
        )
    problems: list[str] = []
    opened = [_each(open_volume, [(path,)], problems) for path in (image_path, labels_path)]
    image, labels = (found[0] if found else None for found in opened)
    if labels:
        problems += _problems_of_labels(labels_path, labels, image_path, image)
    looks = _each(look, [(image_path, LABELLED_VOXELS, image)], problems) if image else []
    _raise(problems)
    assert labels
    counts, places = _count(labels)
    if looks[0].n_values <= FEW_VALUES < len(counts):
        raise InputError(
            f"{image_path}: has {looks[0].n_values} different values and its labels {labels_path} have "
            f"{len(counts)}: are the two swapped? Give the grey image as image, the class ids as labels"
        )
    return LabelledLook(looks[0], labels_path, counts, places)


def _each(
    function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]], problems: list[str]
) -> list[Any]:
    """Call a function with each of the arguments; the errors' messages are added to ``problems``."""
    results = []
    for each in arguments:
        try:
            results.append(function(*each))
        except InputError as error:
            problems.append(str(error))
    return results


def _raise(problems: list[str]) -> None:
    if problems:
        raise InputError("\n".join(problems))


def _problems_of_labels(path: Path, labels: Volume, image_path: Path, image: Volume | None) -> list[str]:
    problems = []
    if labels.dtype.kind not in "bui":
        problems.append(
            f"{path}: labels are {labels.dtype}; save the class ids as integers (in Fiji: Image > Type > 8-bit, "
            "with scaling switched off)"
        )
    if image is not None and labels.shape != image.shape:
        problems.append(
            f"{path}: has {by(labels.shape)} voxels (z, y, x), its image {image_path} has {by(image.shape)}; "
            "each voxel needs a label: crop or resample one of them"
        )
    return problems


def _check_shape(path: Path, shape: Triple) -> None:
    if shape[2] in (3, 4) and shape[1] >= SMALLEST:
        raise InputError(
            f"{path}: has {by(shape)} voxels (z, y, x): is that colour, in the last axis? Save it as greyscale"
        )
    if min(shape[1:]) < SMALLEST:
        raise InputError(
            f"{path}: is {by(shape[1:])} voxels (y, x), too small for any network; at least {SMALLEST} x {SMALLEST}"
            " are needed"
        )


def _count(labels: Volume) -> tuple[dict[int, int], tuple[NDArray[np.int64], ...]]:
    """Count the ids, and count them at each position along z, y and x."""
    counts: Counter[int] = Counter()
    places = tuple(np.zeros((n, N_IDS), np.int64) for n in labels.shape)
    for box in sample_boxes(labels, LABELLED_VOXELS):
        ids = labels.read(box)
        values, numbers = np.unique(ids, return_counts=True)
        counts.update(dict(zip(values.tolist(), numbers.tolist(), strict=True)))
        columns = np.where((ids >= 0) & (ids < N_IDS - 1), ids, N_IDS - 1).astype(np.int64)
        for axis, (place, start) in enumerate(zip(places, box.start, strict=True)):
            for i, plane in enumerate(np.moveaxis(columns, axis, 0), start):
                place[i] += np.bincount(plane.reshape(-1), minlength=N_IDS)
    return dict(sorted(counts.items())), places
