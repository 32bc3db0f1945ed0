"""What an image and its labels hold: shapes, types, values, label ids and where they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError
from genenet.core.geometry import Box, Triple, by
from genenet.volumes.base import Volume, open_volume
from genenet.volumes.statistics import Moments, sample_boxes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from genenet.config.types import VoxelSize

LOOK_VOXELS = 2**25  # of an image and its labels that are read at most
SMALLEST = 32  # voxels along y and x: what a network of one pooling needs to learn anything
FEW_VALUES = 32  # an image has more grey values, labels have fewer ids
N_IDS = 256  # ids from here on are counted, but not by place: they can't be classes


@dataclass(frozen=True)
class Pair:
    """An image and its labels, as they are given."""

    image: Path
    labels: Path


@dataclass(frozen=True)
class Look:
    """What was seen of an image without its labels.

    Attributes:
        path: as it was given.
        shape: voxels along z, y, x.
        dtype: of its voxels.
        voxel_size_nm: by its metadata, along z, y, x.
        low: the smallest voxel that was looked at.
        high: the largest.
        n_values: different values in a part of it.
        n_looked: voxels that were looked at.
    """

    path: Path
    shape: Triple
    dtype: np.dtype[Any]
    voxel_size_nm: VoxelSize | None
    low: float
    high: float
    n_values: int
    n_looked: int

    @property
    def is_whole(self) -> bool:
        """Whether all voxels were looked at."""
        return self.n_looked == Box.of_shape(self.shape).n_voxels


@dataclass(frozen=True)
class LabelledLook:
    """What was seen of an image with its labels.

    Attributes:
        image: of the image.
        labels: the file.
        counts: voxels that were looked at, by label id.
        places: for each axis, (n, 256): how many voxels of each id below 256 lie at each position along it.
    """

    image: Look
    labels: Path
    counts: dict[int, int]
    places: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def look(path: Path, volume: Volume | None = None, max_voxels: int = LOOK_VOXELS) -> Look:
    """Look at an image, or at a sample of a large one.

    Raises:
        InputError: If it can't be opened, is too small to learn from or to segment, holds voxels that are no
            numbers, or is the same all over.
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


def look_at_pair(pair: Pair, max_voxels: int = LOOK_VOXELS) -> LabelledLook:
    """Look at an image and its labels.

    Raises:
        InputError: For what makes them useless, a line for each thing.
    """
    if pair.image.resolve() == pair.labels.resolve():
        raise InputError(
            f"{pair.image}: is given as image and as its labels; give the file with the class ids as labels"
        )
    wrong: list[str] = []
    image, labels = (_opened(path, wrong) for path in (pair.image, pair.labels))
    if labels is not None:
        wrong += _wrong_labels(pair, image, labels)
    seen = None
    try:
        seen = look(pair.image, image, max_voxels) if image is not None else None
    except InputError as error:
        wrong.append(str(error))
    if wrong or seen is None or labels is None:
        raise InputError("\n".join(wrong))
    counts, places = _count(labels, max_voxels)
    if seen.n_values <= FEW_VALUES < len(counts):
        raise InputError(
            f"{pair.image}: has {seen.n_values} different values and its labels {pair.labels} have {len(counts)}: "
            "are the two swapped? Give the grey image as image, the class ids as labels"
        )
    return LabelledLook(seen, pair.labels, counts, places)


def _opened(path: Path, wrong: list[str]) -> Volume | None:
    try:
        return open_volume(path)
    except InputError as error:
        wrong.append(str(error))
        return None


def _wrong_labels(pair: Pair, image: Volume | None, labels: Volume) -> list[str]:
    wrong = []
    if labels.dtype.kind not in "bui":
        wrong.append(
            f"{pair.labels}: labels are {labels.dtype}; save the class ids as integers (in Fiji: Image > Type > 8-bit, "
            "with scaling switched off)"
        )
    if image is not None and labels.shape != image.shape:
        wrong.append(
            f"{pair.labels}: has {by(labels.shape)} voxels (z, y, x), its image {pair.image} has {by(image.shape)}; "
            "each voxel needs a label: crop or resample one of them"
        )
    return wrong


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


def _count(labels: Volume, max_voxels: int) -> tuple[dict[int, int], Any]:
    """Count the ids, and those below 256 at each position along z, y and x."""
    counts: Counter[int] = Counter()
    places = tuple(np.zeros((n, N_IDS), np.int64) for n in labels.shape)
    for box in sample_boxes(labels, max_voxels):
        ids = labels.read(box)
        values, numbers = np.unique(ids, return_counts=True)
        counts.update({int(v): int(n) for v, n in zip(values, numbers, strict=True)})
        small = np.where((ids >= 0) & (ids < N_IDS - 1), ids, N_IDS - 1).astype(np.int64)
        for axis, (place, start) in enumerate(zip(places, box.start, strict=True)):
            for i, plane in enumerate(np.moveaxis(small, axis, 0), start):
                place[i] += np.bincount(plane.reshape(-1), minlength=N_IDS)
    return dict(sorted(counts.items())), places
