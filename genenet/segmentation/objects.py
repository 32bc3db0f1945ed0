"""Post-processing of a finished segmentation, block by block: specks, holes, objects and their table.

The labels are read twice: first to find the pieces and their contacts, from which the new class of each piece
follows, and again to write the result. Memory holds some blocks and the table of pieces.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.config.postprocessing import ALL, Postprocessing
from genenet.core.atomic_files import write_csv
from genenet.core.errors import InputError
from genenet.core.geometry import Box, Triple, blocks_of, work_shape
from genenet.core.ignore import IGNORE
from genenet.core.lock import exclusive
from genenet.core.validation import validate
from genenet.objects.block import LabelledBlock
from genenet.objects.cleaning import fill_holes, find_objects, remove_specks
from genenet.objects.graph import find_pieces
from genenet.objects.table import COLUMNS, rows
from genenet.segmentation.receipts import Show, finished_store, show_nothing
from genenet.segmentation.store_mask import mask_of
from genenet.volumes.label_images import new_labels, remove_labels
from genenet.volumes.ome_zarr import CLEANED, OBJECTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from genenet.objects.graph import PieceGraph
    from genenet.volumes.masks import Mask
    from genenet.volumes.ome_zarr import Store

log = logging.getLogger(__name__)

FORMAT = "genenet.postprocessing/1"
WORK_VOXELS = 2**23  # of the blocks that are processed together: about 200 MB, and few seams between them


@dataclass(frozen=True)
class PostprocessingJob:
    """A finished segmentation, its post-processing, and the path of the table of objects."""

    path: Path
    settings: Postprocessing
    table: Path
    work_voxels: int = WORK_VOXELS

    @cached_property
    def store(self) -> Store:
        """The segmentation, of which all blocks are there."""
        return finished_store(self.path)

    @cached_property
    def work_shape(self) -> Triple:
        """The voxels that are processed together: some blocks of the store."""
        return work_shape(self.store.shape, self.store.block, self.work_voxels)

    @cached_property
    def mask(self) -> Mask | None:
        """The mask of the segmentation, if it has one."""
        return mask_of(self.store, self.work_shape)

    def run(self, show: Show = show_nothing) -> dict[str, Any]:
        """Replace the results of an earlier run; return a receipt.

        Args:
            show: is called after each block; every block is processed twice.

        Raises:
            InputError: If blocks of the segmentation are missing, its mask can't be read, or the settings name a class
                that it doesn't have.
        """
        began = time.monotonic()
        self.settings.check_classes(self.store.attributes["classes"], f"{self.path}: ")
        if self.settings.is_wanted and self.mask:  # also opens it, before earlier results are removed
            log.info("%s: voxels outside its mask are left out", self.path.name)
        with exclusive(self.path.with_name(self.path.name + ".lock")):
            self.table.unlink(missing_ok=True)
            for name in (OBJECTS, CLEANED):
                remove_labels(self.store, name)
            done = self._run(show) if self.settings.is_wanted else {}
        return {
            "format": FORMAT,
            "settings": self.settings.model_dump(mode="json"),
            **done,
            "seconds": round(time.monotonic() - began, 1),
        }

    def _run(self, show: Show) -> dict[str, Any]:
        names, wanted = self.store.attributes["classes"], self.settings.objects
        graph = find_pieces(
            self.store.shape, self._boxes(0, show), self._read, self.settings.connectivity, self.path.parent
        )
        classes, n_specks, n_holes = self._clean(graph, names)
        ids, objects = find_objects(graph, classes, [names.index(name) for name in wanted])
        self._write(self._boxes(1, show), graph, classes, ids)
        if wanted:
            write_csv(
                self.table, COLUMNS, rows(objects, names, self.store.voxel_size_nm, self.store.translation_nm)
            )
        changed = int(graph.pieces.n_voxels[classes != graph.pieces.classes].sum())
        log.info(
            "%s: %d specks removed, %d holes filled, %d voxels changed, %d objects",
            *(self.path.name, sum(n_specks.values()), sum(n_holes.values()), changed, len(objects)),
        )
        return {
            "specks": n_specks,
            "holes": n_holes,
            "changed_voxels": changed,
            "objects": {name: int((objects.classes == names.index(name)).sum()) for name in wanted},
        }

    def _boxes(self, rounds_before: int, show: Show) -> Iterator[Box]:
        """Yield all blocks of one of the two rounds; a block is shown when the next one is requested."""
        boxes = blocks_of(self.store.shape, self.work_shape)
        for number, box in enumerate(boxes, start=1 + rounds_before * len(boxes)):
            yield box
            show(number, 2 * len(boxes), box)

    def _clean(
        self, graph: PieceGraph, names: Sequence[str]
    ) -> tuple[NDArray[np.uint8], dict[str, int], dict[str, int]]:
        """Return the new class of each piece, and by class the numbers of specks removed and of holes filled."""
        classes, n_removed = remove_specks(graph, graph.pieces.classes, self.settings.smallest(names))
        n_holes = {}
        for class_id, name in enumerate(names):
            if name in self.settings.fill_holes:
                classes, n_holes[name] = fill_holes(graph, classes, class_id, self.settings.fill_holes[name])
        return classes, {name: int(n) for name, n in zip(names, n_removed, strict=True) if n}, n_holes

    def _write(
        self, boxes: Iterator[Box], graph: PieceGraph, classes: NDArray[np.uint8], ids: NDArray[np.uint32]
    ) -> None:
        with ExitStack() as images:
            targets: list[tuple[Any, NDArray[Any]]] = []
            if self.settings.objects:
                targets += [(images.enter_context(new_labels(self.store, OBJECTS, "uint32")), ids)]
            if self.settings.cleans:  # entered last, hence the first that the store lists
                names = self.store.attributes["classes"]
                cleaned = np.where(classes == IGNORE, np.uint8(0), classes)
                targets += [(images.enter_context(new_labels(self.store, CLEANED, "uint8", names)), cleaned)]
            for index, box in enumerate(boxes):
                block = LabelledBlock(self._read(box))
                for array, values in targets:
                    array[box.slices] = block.fill(graph.of_block(index, values))

    def _read(self, box: Box) -> NDArray[np.uint8]:
        """Return the labels of a block; those outside the mask are IGNORE, which is no class."""
        labels = np.asarray(self.store.labels[box.slices])
        if self.mask:
            labels[self.mask.volume.read(box) == 0] = IGNORE
        return labels


def table_of(store: Path) -> Path:
    """Return the default path of a store's table of objects: ``X.objects.csv`` beside ``X.ome.zarr``."""
    return store.with_name(store.name.removesuffix(".zarr").removesuffix(".ome") + ".objects.csv")


def from_options(
    min_size: Sequence[str], fill_holes: Sequence[str], objects: Sequence[str], connectivity: int
) -> Postprocessing:
    """Parse the options of the command line.

    Args:
        min_size: each ``50`` or ``CLASS=50``.
        fill_holes: each ``CLASS`` or ``CLASS=500``.
        objects: each ``CLASS``.
        connectivity: 6 or 26.

    Raises:
        InputError: If an option can't be parsed.
    """
    values = {
        "min_size_voxels": dict(_split(text, ALL, "--min-size") for text in min_size),
        "fill_holes": dict(_split(text, None, "--fill-holes") for text in fill_holes),
        "objects": list(objects),
        "connectivity": connectivity,
    }
    return validate(Postprocessing, values, "postprocess")


def _split(text: str, otherwise: str | None, option: str) -> tuple[str, str | None]:
    """Split ``CLASS=NUMBER``. A text without ``=`` is the number for the class ``otherwise``, or else a class."""
    name, is_there, number = text.rpartition("=")
    if not is_there:
        return (otherwise, text) if otherwise else (text, None)
    if not (name and number.isdecimal()):
        raise InputError(f"{option} {text}: give CLASS=NUMBER, the number in voxels")
    return name, number
