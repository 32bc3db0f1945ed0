"""Places that viewers mark in a segmentation: doubtful contacts of objects, and boxes to be labelled."""

from __future__ import annotations

import csv
import heapq
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genenet.core.errors import InputError
from genenet.core.geometry import Box, by, each, origin_of
from genenet.core.tolerant_read import as_number
from genenet.segmentation.object_tables import tables_of
from genenet.volumes.boxes import read_boxes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from genenet.volumes.boxes import BoxRow
    from genenet.volumes.grid import Place
    from genenet.volumes.ome_zarr import Store

log = logging.getLogger(__name__)

MOST_CONTACTS = 1000  # that viewers mark of each class
_PLACE = ("z_voxels", "y_voxels", "x_voxels")


@dataclass(frozen=True)
class MarkedContact:
    """A contact of two objects.

    Attributes:
        objects: the two numbers.
        centre: along z, y, x in voxels of the segmentation; 0 is the centre of its first voxel.
        risk: that both are parts of one object.
        area_nm2: of the contact.
        border: mean border probability on both sides of it.
        disagreement: mean disagreement of the members there; None if it wasn't stored.
    """

    objects: tuple[int, int]
    centre: Place
    risk: float
    area_nm2: float
    border: float
    disagreement: float | None = None


@dataclass(frozen=True)
class MarkedBox:
    """A box of a folder of boxes.

    Attributes:
        row: its line of the table.
        box: in voxels of the segmentation; those of the table are the whole image's.
    """

    row: BoxRow
    box: Box


def doubtful_contacts(store: Store, class_name: str, most: int = MOST_CONTACTS) -> list[MarkedContact]:
    """Return the contacts of a class's objects with the largest risk, the largest first.

    Args:
        store: beside which the table of contacts lies; without a table there are none, and that is logged.
        class_name: of the objects.
        most: contacts that are returned.

    Raises:
        InputError: If the table can't be read.
    """
    _, table = tables_of(store.path, class_name)
    if not table.exists():
        log.warning("%s: isn't there, so no contacts are shown; genenet instances writes it", table)
        return []
    return heapq.nlargest(most, map(_contact, _rows(table)), key=lambda contact: contact.risk)


def marked_boxes(folder: Path, store: Store) -> list[MarkedBox]:
    """Return the boxes of a folder, in the order of its table.

    ::

        image     0       region 0            box 0
                  |-------|-------------------|-----|------      the table says where in the image,
                          |<---------------->|                   a marked box where in the segmentation

    Args:
        folder: of boxes.
        store: the segmentation of the image that the boxes are of.

    Raises:
        InputError: If the table can't be read, or a box reaches outside of the segmentation.
    """
    origin = origin_of(store.attributes.get("region"))
    boxes = [MarkedBox(row, row.place.relative_to(origin)) for row in read_boxes(folder)]
    for marked in boxes:
        if marked.box.intersect(Box.of_shape(store.shape)) != marked.box:
            raise InputError(
                f"{folder}: {marked.row.box} reaches outside of the segmentation, which has {by(store.shape)} voxels "
                "(z, y, x); give the segmentation that the boxes are of"
            )
    return boxes


@dataclass(frozen=True)
class _Row:
    """A row of a table: its values by column, and where it stands, for messages."""

    values: dict[str, Any]
    where: str

    def text(self, column: str) -> str:
        value = self.values.get(column)
        if value is None:
            raise InputError(f"{self.where}: has no {column}; the table is incomplete, write it anew")
        return str(value)

    def number(self, column: str) -> float:
        value = as_number(text := self.text(column))
        if value is None:
            raise InputError(
                f"{self.where}: {column} is '{text}', not a number; correct it, or write the table anew"
            )
        return value

    def numbers(self, columns: Sequence[str]) -> Place:
        return each(self.number, columns)


def _rows(table: Path) -> Iterator[_Row]:
    with table.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        try:
            for values in rows:
                yield _Row(values, f"{table}: line {rows.line_num}")
        except (csv.Error, UnicodeDecodeError):
            raise InputError(f"{table}: not a table of comma-separated values; write it anew") from None


def _contact(row: _Row) -> MarkedContact:
    return MarkedContact(
        objects=(int(row.number("object_a")), int(row.number("object_b"))),
        centre=row.numbers(_PLACE),
        risk=row.number("risk"),
        area_nm2=row.number("area_nm2"),
        border=row.number("border"),
        disagreement=row.number("disagreement") if row.values.get("disagreement") else None,
    )
