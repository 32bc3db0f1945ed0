"""Boxes of a volume that people label: a folder that ``genenet suggest`` writes and ``genenet adapt`` reads.

::

    boxes/boxes.csv                      a line for each box: its place, and whether a person has been through it
    boxes/volume.json                    the volume that all of them were cut from
    boxes/boxes.png                      an overview
    boxes/box_01_image.tif               grey values of the volume
    boxes/box_01_labels.tif              class ids, 255 where the class isn't known
    boxes/box_01_uncertainty.tif         of the predicted labels
    boxes/predictions/box_01_labels.tif  class ids as they were predicted
"""

from __future__ import annotations

import csv
import io
from operator import not_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt, StringConstraints, field_validator

from genenet.config.settings import ImageFiles
from genenet.config.types import Shape, VoxelSize
from genenet.core.atomic_files import check_file, read_json, write_json
from genenet.core.errors import InputError
from genenet.core.geometry import Box, by
from genenet.core.ignore import IGNORE
from genenet.core.models import Closed
from genenet.core.validation import validate
from genenet.volumes.labels import check_type
from genenet.volumes.normalisation import Normalisation
from genenet.volumes.opening import open_volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genenet.volumes.base import Volume

FORMAT: Literal["genenet.boxes/1"] = "genenet.boxes/1"
TABLE, VOLUME, OVERVIEW, PREDICTIONS = "boxes.csv", "volume.json", "boxes.png", "predictions"
COLUMNS = ("box", "z", "y", "x", "depth", "height", "width", "score", "reason", "reviewed")
REVIEWED = "yes"
NOT_REVIEWED = ("", "no")
MOST_BYTES = 2**28  # of a volume.json, which holds statistics of each slice, and of a table


class BoxStatistics(Closed):
    """The statistics of the volume that boxes were cut from, by the names that a segmentation's store gives them.

    Attributes:
        mean: the centre of the grey values, one number for the volume, or one for each of the image's slices.
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
        files: of the image and its mask, and the region that was segmented; None if a person made the boxes.
        shape: voxels of the whole image along z, y, x.
        translation_nm: where the centre of its first voxel lies.
        suggestion: how the boxes were chosen.
    """

    format: Literal["genenet.boxes/1"] = FORMAT
    source: Any = None
    voxel_size_nm: VoxelSize
    statistics: BoxStatistics
    classes: list[str] = Field(min_length=1)
    ensemble: str | None = None
    files: ImageFiles | None = Field(None, exclude_if=not_)
    shape: Shape | None = Field(None, exclude_if=not_)
    translation_nm: tuple[float, float, float] | None = Field(None, exclude_if=not_)
    suggestion: dict[str, Any] = Field(default_factory=dict, exclude_if=not_)

    def write(self, folder: Path) -> None:
        """Write the file into a folder of boxes."""
        write_json(folder / VOLUME, self.model_dump(mode="json"))

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
        if not isinstance(value, str):
            return value
        word = value.strip().lower()
        if word not in (REVIEWED, *NOT_REVIEWED):
            raise ValueError(f"write {REVIEWED}, or leave it empty; not {value!r}")
        return word == REVIEWED

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

    def prediction(self, folder: Path) -> Path:
        """Return the file of its labels as they were predicted."""
        return folder / PREDICTIONS / f"{self.box}_labels.tif"

    def uncertainty(self, folder: Path) -> Path:
        """Return the file of the uncertainty of the predicted labels."""
        return folder / f"{self.box}_uncertainty.tif"

    @property
    def cells(self) -> tuple[Any, ...]:
        """Its line of the table."""
        score = None if self.score is None else f"{self.score:.6g}"
        place = (*self.place.start, *self.place.shape)
        return (self.box, *place, score, self.reason, REVIEWED if self.reviewed else None)

    def read(self, folder: Path, n_classes: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Return the grey values and the class ids of the box, (Z, Y, X); IGNORE where the class isn't known.

        Raises:
            InputError: If a file can't be read, has another size than the box, or holds a label of no class.
        """
        image, labels = self._open(self.image(folder)), self.read_labels(self.labels(folder), n_classes)
        return image.read(Box.of_shape(image.shape)), labels

    def read_labels(self, file: Path, n_classes: int) -> NDArray[np.uint8]:
        """Return the class ids (Z, Y, X) of a file of labels of the box; errors are those of ``read``."""
        labels = self._open(file, is_grey=False)
        check_type(labels, "labels are {}; save the class ids as integers")
        ids = labels.read(Box.of_shape(labels.shape))
        unknown = ((ids < 0) | (ids >= n_classes)) & (ids != IGNORE)
        if unknown.any():
            raise InputError(
                f"{file}: label {int(ids[unknown][0])} ({int(unknown.sum())} voxels are of such labels) is none of the "
                f"{n_classes} classes, which are 0 to {n_classes - 1}; write {IGNORE} where the class isn't known"
            )
        return ids.astype(np.uint8)

    def _open(self, file: Path, is_grey: bool = True) -> Volume:
        volume = open_volume(file, is_grey=is_grey)
        if volume.shape != self.place.shape:
            raise InputError(
                f"{volume.name}: has {by(volume.shape)} voxels (z, y, x), the box in {TABLE} has "
                f"{by(self.place.shape)}; save it in the size that it had"
            )
        return volume


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
    """Read the ``boxes.csv`` of a folder of boxes; spreadsheets may have saved it with semicolons between the cells.

    Raises:
        InputError: If it is missing, or a line isn't one of a box.
    """
    path = folder / TABLE
    check_file(path, MOST_BYTES)
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    separator = ";" if ";" in text.partition("\n")[0] else ","
    rows = csv.DictReader(io.StringIO(text), delimiter=separator)
    found = [
        validate(BoxRow, {name: row[name] for name in COLUMNS if name in row}, f"{path}, line {line}")
        for line, row in enumerate(rows, start=2)
    ]
    names = [row.box for row in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"{path}: two lines are of {twice}; a box has one line")
    return found
