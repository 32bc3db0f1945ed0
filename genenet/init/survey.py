"""The first look at images and labels: shapes, types, values, label ids and where they lie."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError
from genenet.core.geometry import Box, Triple, by
from genenet.volumes.base import Volume
from genenet.volumes.labels import check_integers
from genenet.volumes.opening import check_orientation, open_volume
from genenet.volumes.statistics import Moments, sample_boxes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
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
        mask: file of its mask, if it has one; voxels outside count in none of the values below.
        shape: voxels along z, y, x.
        dtype: type of the voxels.
        voxel_size_nm: along z, y, x, from the file's metadata.
        low: smallest value.
        high: largest value.
        n_values: number of different values in one part of the image.
        n_read: voxels that were read; a large image is sampled.
    """

    path: Path
    mask: Path | None
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
    masks = masks_of(request.image, request.mask, "")
    of_validation = masks_of(request.validation_image, request.validation_mask, "validation-")
    of_volumes = masks_of(request.segment, request.segment_mask, "segment-")
    train = _each(look_at_pair, zip(request.image, request.labels, masks, strict=True), problems)
    judges = zip(request.validation_image, request.validation_labels, of_validation, strict=True)
    validation = _each(look_at_pair, judges, problems)
    volumes = _each(look_at_volume, zip(request.segment, of_volumes, strict=True), problems)
    _raise(problems)
    return Survey(train, validation, volumes)


def masks_of(images: Sequence[Path], masks: Sequence[Path], which: str) -> list[Path | None]:
    """Return the mask of each image; ``which`` begins the names of both options.

    Raises:
        InputError: If there are masks, but not one or the word ``none`` for each image.
    """
    if masks and len(masks) != len(images):
        image = "segment" if which == "segment-" else f"{which}image"
        raise InputError(
            f"--{which}mask: {len(masks)} are given for {len(images)} of --{image}; give one for each, in the same "
            "order, and the word none for an image without a mask"
        )
    return [None if str(mask) == "none" else mask for mask in masks] or [None] * len(images)


def look_at_volume(path: Path, mask_path: Path | None) -> Look:
    """Look at a volume to segment, or at a random sample of a large one.

    Raises:
        InputError: If it or its mask can't be opened, or if it can't be segmented.
    """
    volume = open_volume(path)
    return look(path, VOLUME_VOXELS, Masked(volume, _opened_mask(mask_path, volume)), mask_path)


@dataclass(frozen=True)
class Masked:
    """A volume and its mask, an integer image of the same shape that is 0 where voxels don't count."""

    volume: Volume
    mask: Volume | None = None

    def boxes(self, max_voxels: int) -> list[Box]:
        """Return boxes of about ``max_voxels`` voxels in all that hold voxels which count, drawn at random.

        Raises:
            InputError: If no voxel counts.
        """
        boxes = list(sample_boxes(self.volume, max_voxels))
        if self.mask is None:
            return boxes
        found = [box for box in boxes if self.mask.read(box).any()]
        if not found:  # a sample may miss a small mask
            every = sample_boxes(self.volume, Box.of_shape(self.volume.shape).n_voxels)
            found = [box for box in every if self.mask.read(box).any()]
        if not found:
            raise InputError(f"{self.mask.name}: is 0 everywhere, so no voxel of {self.volume.name} counts")
        return found[: max(1, max_voxels // found[0].n_voxels)]

    def inside(self, box: Box) -> NDArray[np.bool_] | slice:
        """Return the index of a box's voxels that count."""
        return slice(None) if self.mask is None else self.mask.read(box) != 0


def look(
    path: Path, max_voxels: int = LABELLED_VOXELS, image: Masked | None = None, mask: Path | None = None
) -> Look:
    """Look at an image, or at a random sample of a large one.

    Raises:
        InputError: If it can't be opened, is too small, holds NaN or infinite voxels, or has no contrast.
    """
    image = image or Masked(open_volume(path))
    volume = image.volume
    _check_shape(path, volume.shape)
    moments, low, high, n_values, n_read = Moments(), np.inf, -np.inf, 0, 0
    for box in image.boxes(max_voxels):
        voxels = volume.read(box)[image.inside(box)]
        moments = moments.merge(Moments.of(voxels))
        low, high, n_read = (
            min(low, float(voxels.min())),
            max(high, float(voxels.max())),
            n_read + box.n_voxels,
        )
        if n_values <= FEW_VALUES:
            n_values = max(n_values, len(np.unique(voxels)))
    where = f" inside {mask}" if mask else ""
    if not moments.is_finite:
        advice = "" if mask else ", cut them off, or leave them out with --mask"
        raise InputError(f"{path}: holds NaN or infinite voxels{where}; replace them by numbers{advice}")
    if low == high:
        raise InputError(f"{path}: all voxels{where} are {low:g}; an image with contrast is needed")
    return Look(path, mask, volume.shape, volume.dtype, volume.voxel_size_nm, low, high, n_values, n_read)


def look_at_pair(image_path: Path, labels_path: Path, mask_path: Path | None = None) -> LabelledLook:
    """Look at an image and its labels.

    Raises:
        InputError: If they can't be learnt from; it has a line for each thing that is wrong.
    """
    if image_path.resolve() == labels_path.resolve():
        raise InputError(
            f"{image_path}: is given as image and as its labels; give the file with the class ids as labels"
        )
    problems: list[str] = []
    image, labels = (_first(_each(open_volume, [(path,)], problems)) for path in (image_path, labels_path))
    mask = _first(_each(_opened_mask, [(mask_path, image)], problems)) if image else None
    if labels:
        problems += _problems_of_labels(labels_path, labels, image_path, image)
    seen = None
    if image:
        arguments = (image_path, LABELLED_VOXELS, Masked(image, mask), mask_path)
        seen = _first(_each(look, [arguments], problems))
    _raise(problems)
    assert labels
    assert seen
    counts, places = _count(Masked(labels, mask))
    if seen.n_values <= FEW_VALUES < len(counts):
        raise InputError(
            f"{image_path}: has {seen.n_values} different values and its labels {labels_path} have {len(counts)}: "
            "are the two swapped? Give the grey image as image, the class ids as labels"
        )
    return LabelledLook(seen, labels_path, counts, places)


def _opened_mask(path: Path | None, image: Volume) -> Volume | None:
    return open_integers([path], image, "the mask is {}; save it as integers") if path else None


def _first(found: list[Any]) -> Any:
    return found[0] if found else None


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


def _count(labels: Masked) -> tuple[dict[int, int], tuple[NDArray[np.int64], ...]]:
    """Count the ids, and count them at each position along z, y and x."""
    counts: Counter[int] = Counter()
    places = tuple(np.zeros((n, N_IDS), np.int64) for n in labels.volume.shape)
    for box in labels.boxes(LABELLED_VOXELS):
        ids, inside = labels.volume.read(box), np.zeros(box.shape, bool)
        inside[labels.inside(box)] = True
        values, numbers = np.unique(ids[inside], return_counts=True)
        counts.update(dict(zip(values.tolist(), numbers.tolist(), strict=True)))
        columns = np.full(box.shape, N_IDS - 1)
        may_be_class = inside & (ids >= 0) & (ids < N_IDS - 1)
        columns[may_be_class] = ids[may_be_class]
        for axis, (place, start) in enumerate(zip(places, box.start, strict=True)):
            for i, plane in enumerate(np.moveaxis(columns, axis, 0), start):
                place[i] += np.bincount(plane.reshape(-1), minlength=N_IDS)
    return dict(sorted(counts.items())), places
