"""Opens the files that ``genenet init`` is given: images with their labels and masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genenet.core.errors import InputError
from genenet.core.geometry import Box, by
from genenet.volumes.base import MirroredVolume, Volume
from genenet.volumes.labels import check_integers
from genenet.volumes.opening import open_volume
from genenet.volumes.sampling import sample_boxes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from genenet.config.types import FlippedAxes


@dataclass(frozen=True)
class Sampled:
    """A volume that is read in random boxes, and its mask: an integer image that is 0 where voxels don't count."""

    volume: Volume
    mask: Volume | None = None

    def boxes(self, max_voxels: int) -> list[Box]:
        """Return boxes of about ``max_voxels`` voxels in all, drawn at random, each with voxels that count.

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

    def counts_at(self, box: Box) -> NDArray[np.bool_]:
        """Return which voxels of a box count, (Z, Y, X)."""
        return np.ones(box.shape, bool) if self.mask is None else self.mask.read(box) != 0


@dataclass(frozen=True)
class FileSet:
    """An image with its labels and its mask, as they are given."""

    image: Path
    labels: Path | None = None
    mask: Path | None = None

    def open(self, flip: FlippedAxes | None) -> OpenedSet:
        """Open the files without reading voxels.

        Args:
            flip: axes along which MRC files are mirrored if they stand beside files of other formats.
        """
        problems: list[str] = []
        if self.labels and self.image.resolve() == self.labels.resolve():
            problem = "is given as image and as its labels; give the file with the class ids as labels"
            return OpenedSet(self, None, None, None, None, [f"{self.image}: {problem}"])
        image, labels, mask = (
            _open(path, path is self.image, problems) for path in (self.image, self.labels, self.mask)
        )
        if labels:
            problems += _problems_of_labels(labels, image)
        if mask and image:
            try:
                check_integers(mask, image, "the mask is {}; save it as integers")
            except InputError as error:
                problems.append(str(error))
        if self.mask and problems:
            image = None  # nobody knows which of its voxels count
        if not _are_mixed([image, labels, mask]):
            return OpenedSet(self, image, labels, mask, None, problems)
        if flip is None:
            problems.append(_ask_for_flip(image, labels, mask))
            return OpenedSet(self, image, labels, mask, None, problems)
        image, labels, mask = (_mirrored(volume, flip) for volume in (image, labels, mask))
        return OpenedSet(self, image, labels, mask, flip, problems)


@dataclass(frozen=True)
class OpenedSet:
    """An image with its labels and its mask, opened.

    Attributes:
        files: their files.
        image: None if it can't be opened; likewise the others.
        labels: None also if there are none; likewise the mask.
        mask: see there.
        flip: axes along which the MRC files are mirrored; None if they needn't be.
        problems: what is wrong, a line for each thing.
    """

    files: FileSet
    image: Volume | None
    labels: Volume | None
    mask: Volume | None
    flip: FlippedAxes | None
    problems: list[str]

    @property
    def flip_without_labels(self) -> FlippedAxes | None:
        """As ``flip``, for the image and its mask alone."""
        return self.flip if _are_mixed([self.image, self.mask]) else None


def _open(path: Path | None, is_grey: bool, problems: list[str]) -> Volume | None:
    """Open a file; the message of an error is added to ``problems``."""
    if path is None:
        return None
    try:
        return open_volume(path, is_grey=is_grey)
    except InputError as error:
        problems.append(str(error))
        return None


def _problems_of_labels(labels: Volume, image: Volume | None) -> list[str]:
    problems = []
    if labels.dtype.kind not in "bui":
        problems.append(
            f"{labels.name}: labels are {labels.dtype}; save the class ids as integers (in Fiji: Image > Type > 8-bit, "
            "with scaling switched off)"
        )
    if image is not None and labels.shape != image.shape:
        problems.append(
            f"{labels.name}: has {by(labels.shape)} voxels (z, y, x), its image {image.name} has {by(image.shape)}; "
            "each voxel needs a label: crop or resample one of them"
        )
    return problems


def _are_mixed(volumes: Sequence[Volume | None]) -> bool:
    """Return whether some files begin with the bottom row, as MRC does, and others with the top row."""
    return len({volume.bottom_up for volume in volumes if volume}) > 1


def _ask_for_flip(*volumes: Volume | None) -> str:
    mrc = next(volume.name for volume in volumes if volume and volume.bottom_up)
    other = next(volume.name for volume in volumes if volume and not volume.bottom_up)
    return (
        f"{mrc}: is MRC, whose first row is the bottom one, and {other} isn't; give --flip y if that was saved by IMOD "
        "or Fiji, --flip none if by a program that keeps the order of rows"
    )


def _mirrored(volume: Volume | None, flip: FlippedAxes) -> Volume | None:
    return MirroredVolume(volume, flip) if volume and volume.bottom_up and flip else volume
