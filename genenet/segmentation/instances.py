"""Numbers the objects of a finished segmentation, and writes their tables: ``genenet instances``."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.atomic_files import write_csv
from genenet.core.errors import InputError
from genenet.core.geometry import Box, blocks_of, work_shape
from genenet.core.in_threads import in_threads
from genenet.core.lock import exclusive
from genenet.core.outputs import ObjectClass
from genenet.objects.contacts import CONTACT_COLUMNS, contact_rows
from genenet.objects.finder import Finder
from genenet.objects.growth import HALO, grown
from genenet.objects.measures import (
    ContactMeasures,
    ObjectMeasures,
    Seen,
    object_columns,
    object_rows,
)
from genenet.objects.tuned import TunedObjects
from genenet.segmentation.channels import BORDER, OBJECT
from genenet.segmentation.object_tables import tables_of
from genenet.segmentation.receipts import Show, finished_store, show_nothing
from genenet.volumes.label_images import (
    class_labels,
    instance_labels,
    new_labels,
    open_labels,
    remove_labels,
    scratch_labels,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from genenet.config.instances import InstanceSettings
    from genenet.core.geometry import Triple
    from genenet.objects.stages import Levels, Thresholds
    from genenet.volumes.ome_zarr import Store

log = logging.getLogger(__name__)

FORMAT = "genenet.instances/1"
WORK_VOXELS = 2**23  # of the blocks that are processed together
THREAD_BYTES = 5e8  # that a thread needs for a block
ROUNDS = 3  # in which the blocks are read: stages, growth, measures


@dataclass(frozen=True)
class InstancesJob:
    """A finished segmentation, and how its objects are found.

    Attributes:
        path: the OME-Zarr.
        settings: of the search for objects.
        classes: of the objects; empty: all that the ensemble has learnt.
        work_voxels: of the blocks that are processed together.
        threads: blocks that are processed at a time; they change nothing in the result.
    """

    path: Path
    settings: InstanceSettings
    classes: Sequence[str] = ()
    work_voxels: int = WORK_VOXELS
    threads: int = 1

    @cached_property
    def store(self) -> Store:
        """The segmentation, of which all blocks are there."""
        return finished_store(self.path)

    @cached_property
    def block(self) -> Triple:
        """The blocks that are processed together; their grid begins at the first voxel of the volume."""
        return work_shape(self.store.shape, self.store.block, self.work_voxels)

    def wanted(self) -> list[ObjectClass]:
        """Return the classes whose objects are numbered.

        Raises:
            InputError: If the segmentation has no objects, or not those that were asked for.
        """
        known = [ObjectClass.model_validate(each) for each in self.store.attributes.get("objects", [])]
        if not known:
            raise InputError(
                f"{self.path}: its ensemble has not learnt to tell objects apart; training images need instances: (see "
                "docs/objects.md), or use genenet postprocess --objects, which numbers what doesn't touch"
            )
        names = [each.name for each in known]
        for name in self.classes:
            if name not in names:
                raise InputError(f"{self.path}: has no objects of class {name}, only of {', '.join(names)}")
        return [each for each in known if not self.classes or each.name in self.classes]

    def run(self, show: Show = show_nothing) -> dict[str, Any]:
        """Replace the results of an earlier run; return a receipt.

        Args:
            show: is called after each block.

        Raises:
            InputError: If blocks of the segmentation are missing, or it has no such objects.
        """
        began = time.monotonic()
        wanted, found = self.wanted(), {}
        with exclusive(self.path.with_name(self.path.name + ".lock")):
            for index, each in enumerate(wanted):
                found[each.name] = self._number(each.name, _Progress(show, index, len(wanted)))
        return {
            "format": FORMAT,
            "settings": self.settings.model_dump(mode="json"),
            "block": list(self.block),
            "halo": list(HALO),
            "classes": found,
            "seconds": round(time.monotonic() - began, 1),
        }

    def _number(self, name: str, progress: _Progress) -> dict[str, Any]:
        tuned = TunedObjects.of_store(self.store.attributes, name)
        thresholds = tuned.thresholds(self.settings)
        label, tables = instance_labels(name), tables_of(self.path, name)
        for table in tables:
            table.unlink(missing_ok=True)
        remove_labels(self.store, label)
        n = self._write(name, label, thresholds, progress)
        n_contacts = self._measure(name, label, n, tuned, progress)
        log.info("%s: %d objects of %s, %d pairs touch", self.path.name, n, name, n_contacts)
        return {"objects": n, "contacts": n_contacts, **asdict(thresholds)}

    def _write(self, name: str, label: str, thresholds: Thresholds, progress: _Progress) -> int:
        boxes = blocks_of(self.store.shape, self.block)

        def read(box: Box) -> tuple[Levels, Levels]:
            return self._levels(f"{OBJECT} {name}", box), self._levels(f"{BORDER} {name}", box)

        finder = Finder(self.store.shape, boxes, read, thresholds, self.path.parent)
        n, seeds = finder.seeds(progress.over(boxes))
        with (
            scratch_labels(self.store, label, "uint32") as scratch,
            new_labels(self.store, label, "uint32") as target,
        ):
            for box, numbers in seeds:
                scratch[box.slices] = numbers

            def grow(box: Box) -> NDArray[np.uint32]:
                return grown(box, self.store.shape, lambda b: np.asarray(scratch[b.slices]), read)

            for box, numbers in in_threads(grow, progress.over(boxes), self.threads):
                target[box.slices] = numbers
        return n

    def _measure(self, name: str, label: str, n: int, tuned: TunedObjects, progress: _Progress) -> int:
        store, names = self.store, self.store.attributes["classes"]
        objects, contacts = ObjectMeasures(n, len(names), store.shape), ContactMeasures(n)
        boxes = progress.over(blocks_of(store.shape, self.block))
        for _, seen in in_threads(lambda box: self._seen(name, label, box), boxes, self.threads):
            objects.add(seen)
            contacts.add(seen)
        class_id, place = names.index(name), (store.voxel_size_nm, store.translation_nm)
        of_objects, of_contacts = tables_of(self.path, name)
        write_csv(of_objects, object_columns(names), object_rows(objects, class_id, names, *place))
        rows = contact_rows(contacts, *place, tuned.risk, "disagreement" in store.attributes["channels"])
        write_csv(of_contacts, CONTACT_COLUMNS, rows)
        return len(rows)

    def _seen(self, name: str, label: str, box: Box) -> Seen:
        whole = Seen.read_box(box)
        has_disagreement = "disagreement" in self.store.attributes["channels"]
        return Seen(
            box,
            np.asarray(open_labels(self.store, label)[whole.slices]),
            np.asarray(class_labels(self.store)[whole.slices]),
            self._values("uncertainty", whole),
            self._values(f"{BORDER} {name}", whole),
            self._values("disagreement", whole) if has_disagreement else None,
        )

    def _values(self, channel: str, box: Box) -> NDArray[np.float64]:
        """Return a channel, 0 to 1."""
        stored = self.store.channel(channel, box)
        return stored / 255 if stored.dtype == np.uint8 else stored.astype(np.float64)

    def _levels(self, channel: str, box: Box) -> Levels:
        """Return a channel in 255 levels."""
        stored = self.store.channel(channel, box)
        return (
            stored if stored.dtype == np.uint8 else np.rint(stored.astype(np.float32) * 255).astype(np.uint8)
        )


@dataclass
class _Progress:
    """Shows the blocks of all rounds of all classes; a block is shown when the next one is requested."""

    show: Show
    index: int
    n_classes: int
    rounds: int = 0

    def over(self, boxes: Sequence[Box]) -> Iterator[Box]:
        before = (self.index * ROUNDS + self.rounds) * len(boxes)
        self.rounds += 1
        for number, box in enumerate(boxes, before + 1):
            yield box
            self.show(number, ROUNDS * self.n_classes * len(boxes), box)
