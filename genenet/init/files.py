"""Opens the files that ``genenet init`` is given: images with their labels and masks."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.volumes.base import MirroredVolume, Volume
from genenet.volumes.labels import check_shape, check_type
from genenet.volumes.opening import open_volume
from genenet.volumes.sampling import sample_boxes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from genenet.config.types import FlippedAxes

LABELS_ARE = (
    "labels are {}; save the class ids as integers (in Fiji: Image > Type > 8-bit, with scaling switched off)"
)
MASK_IS = "the mask is {}; save it as integers"


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
        boxes = sample_boxes(self.volume, max_voxels, self.mask)
        if self.mask and not boxes:
            raise InputError(f"{self.mask.name}: is 0 everywhere, so no voxel of {self.volume.name} counts")
        return boxes

    def counts_at(self, box: Box) -> NDArray[np.bool_]:
        """Return which voxels of a box count, (Z, Y, X)."""
        return np.ones(box.shape, bool) if self.mask is None else self.mask.read(box) != 0


@contextmanager
def collected(problems: list[str]) -> Iterator[None]:
    """Add the message of an InputError to a list instead of raising it, so that further problems are found."""
    try:
        yield
    except InputError as error:
        problems.append(str(error))


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
            return OpenedSet(self, [f"{self.image}: {problem}"])
        image = _open(self.image, None, problems)
        labels = _open(self.labels, image, problems, LABELS_ARE)
        mask = _open(self.mask, image, problems, MASK_IS)
        opened = [volume for volume in (image, labels, mask) if volume]
        if self.mask and problems:
            image = None  # nobody knows which of its voxels count
        if not _are_mixed(opened):
            flip = None
        elif flip is None:
            problems.append(_ask_for_flip(opened))
        else:
            image, labels, mask = (_mirrored(volume, flip) for volume in (image, labels, mask))
        return OpenedSet(self, problems, image, labels, mask, flip)


@dataclass(frozen=True)
class OpenedSet:
    """An image with its labels and its mask, opened.

    Attributes:
        files: their files.
        problems: what is wrong, a line for each thing.
        image: None if it can't be opened; likewise the others.
        labels: None also if there are none.
        mask: None also if there is none.
        flip: axes along which the MRC files are mirrored; None if they needn't be.
    """

    files: FileSet
    problems: list[str]
    image: Volume | None = None
    labels: Volume | None = None
    mask: Volume | None = None
    flip: FlippedAxes | None = None

    @property
    def flip_without_labels(self) -> FlippedAxes | None:
        """As ``flip``, for the image and its mask alone."""
        return self.flip if _are_mixed([volume for volume in (self.image, self.mask) if volume]) else None


def _open(
    path: Path | None, image: Volume | None, problems: list[str], otherwise: str | None = None
) -> Volume | None:
    """Open a file; what is wrong is added to ``problems``.

    Args:
        path: of the file, if there is one.
        image: of the labels or the mask, as far as it can be opened.
        problems: a line for each.
        otherwise: the message for labels or a mask that aren't integers, with their type at ``{}``.
    """
    volume = None
    with collected(problems):
        volume = open_volume(path, is_grey=otherwise is None) if path else None
    if volume and otherwise:
        with collected(problems):
            check_type(volume, otherwise)
        with collected(problems):
            check_shape(volume, image or volume)
    return volume


def _are_mixed(volumes: Sequence[Volume]) -> bool:
    """Return whether some files begin with the bottom row, as MRC does, and others with the top row."""
    return len({volume.bottom_up for volume in volumes}) > 1


def _ask_for_flip(volumes: Sequence[Volume]) -> str:
    mrc = next(volume.name for volume in volumes if volume.bottom_up)
    other = next(volume.name for volume in volumes if not volume.bottom_up)
    return (
        f"{mrc}: is MRC, whose first row is the bottom one, and {other} isn't; give --flip y if IMOD or Fiji saved the "
        "latter, or --flip none if it has the same order of rows"
    )


def _mirrored(volume: Volume | None, flip: FlippedAxes) -> Volume | None:
    return MirroredVolume(volume, flip) if volume and volume.bottom_up and flip else volume
