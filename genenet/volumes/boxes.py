"""Boxes of a volume that people label: a folder that ``genenet suggest`` writes and ``genenet adapt`` reads.

::

    boxes/boxes.csv               a line for each box: its place, and whether a person has been through it
    boxes/volume.json             the volume that all of them were cut from
    boxes/box_01_image.tif        grey values of the volume
    boxes/box_01_labels.tif       class ids, 255 where the class isn't known
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt, StringConstraints, field_validator

from genenet.config.types import VoxelSize
from genenet.core.atomic_files import read_csv, read_json
from genenet.core.errors import InputError
from genenet.core.geometry import Box, by
from genenet.core.ignore import IGNORE
from genenet.core.models import Closed
from genenet.core.validation import validate
from genenet.volumes.labels import ClassLabels, check_integers
from genenet.volumes.normalisation import Normalisation
from genenet.volumes.opening import open_volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT: Literal["genenet.boxes/1"] = "genenet.boxes/1"
TABLE, VOLUME = "boxes.csv", "volume.json"
COLUMNS = ("box", "z", "y", "x", "depth", "height", "width", "score", "reason", "reviewed")
REVIEWED = "yes"
MOST_BYTES = 2**28  # of a volume.json, which holds statistics of each slice


class BoxStatistics(Closed):
    """The statistics of the volume that boxes were cut from, by the names that a segmentation's store gives them.

    Attributes:
        mean: the centre of the grey values, one number for the volume, or one for each of its slices.
        deviation: their scale, likewise.
        norm_statistics: of each member of the ensemble (``genenet.networks.volume_statistics``); empty if no member
            needs any.
    """

    mean: list[float] = Field(min_length=1)
    deviation: list[float] = Field(min_length=1)
    norm_statistics: list[dict[str, list[float]]] = Field(default_factory=list)


class VolumeOfBoxes(Closed):
    """``volume.json``: what all boxes of a folder have in common.

    Attributes:
        source: the volume, for people.
        voxel_size_nm: of the volume, along z, y, x.
        statistics: by which the boxes are normalised as the volume is.
        classes: names by class id.
        ensemble: the folder of the ensemble that predicted the labels; None if nothing was predicted.
    """

    format: Literal["genenet.boxes/1"] = FORMAT
    source: Any = None
    voxel_size_nm: VoxelSize
    statistics: BoxStatistics
    classes: list[str] = Field(min_length=1)
    ensemble: str | None = None

    def normalisation(self, z: int, depth: int) -> Normalisation:
        """Return the normalisation of the slices of a box."""
        mean, deviation = (
            np.array(values if len(values) == 1 else values[z : z + depth], np.float64)
            for values in (self.statistics.mean, self.statistics.deviation)
        )
        return Normalisation(mean, deviation)


class BoxRow(Closed):
    """A line of ``boxes.csv``: the place of a box in the volume, in voxels, and what a person says of it.

    Attributes:
        score, reason: why the box was suggested.
        reviewed: ``yes`` once a person has been through its labels.
    """

    box: Annotated[str, StringConstraints(pattern=r"^[\w-]+$")]
    z: NonNegativeInt
    y: NonNegativeInt
    x: NonNegativeInt
    depth: PositiveInt
    height: PositiveInt
    width: PositiveInt
    score: float | None = None
    reason: str = ""
    reviewed: bool = False

    @field_validator("score", mode="before")
    @classmethod
    def _number_or_none(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("reviewed", mode="before")
    @classmethod
    def _yes_or_empty(cls, value: Any) -> Any:
        return value.strip().lower() == REVIEWED if isinstance(value, str) else value

    @property
    def place(self) -> Box:
        """The box in the volume."""
        return Box.of_shape((self.depth, self.height, self.width), (self.z, self.y, self.x))

    def image(self, folder: Path) -> Path:
        """Return the file of its grey values."""
        return folder / f"{self.box}_image.tif"

    def labels(self, folder: Path) -> Path:
        """Return the file of its labels."""
        return folder / f"{self.box}_labels.tif"

    def read(self, folder: Path, n_classes: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Return the grey values and the class ids of the box, (Z, Y, X); IGNORE where the class isn't known.

        Raises:
            InputError: If a file can't be read, has another size than the box, or holds a label of no class.
        """
        image = open_volume(self.image(folder))
        labels = open_volume(self.labels(folder), is_grey=False)
        for volume in (image, labels):
            if volume.shape != self.place.shape:
                raise InputError(
                    f"{volume.name}: has {by(volume.shape)} voxels (z, y, x), the box in {TABLE} has "
                    f"{by(self.place.shape)}; save it in the size that it had"
                )
        check_integers(labels, image, "labels are {}; save the class ids as integers")
        whole = Box.of_shape(image.shape)
        return image.read(whole), ClassLabels(labels, n_classes, IGNORE).read(whole)


def read_volume_of_boxes(folder: Path) -> VolumeOfBoxes:
    """Read the ``volume.json`` of a folder of boxes.

    Raises:
        InputError: If the folder isn't one of boxes.
    """
    path = folder / VOLUME
    values = read_json(path, MOST_BYTES)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise InputError(f"{path}: not the volume of a folder of boxes ({FORMAT}); genenet suggest writes it")
    return validate(VolumeOfBoxes, values, str(path))


def read_boxes(folder: Path) -> list[BoxRow]:
    """Read the ``boxes.csv`` of a folder of boxes.

    Raises:
        InputError: If it is missing, or a line isn't one of a box.
    """
    path = folder / TABLE
    rows = [{name: value for name, value in row.items() if name in COLUMNS} for row in read_csv(path)]
    return [validate(BoxRow, row, f"{path}, line {line}") for line, row in enumerate(rows, start=2)]
