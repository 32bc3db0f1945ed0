"""What viewers show of a segmentation: its images of labels, its doubtful contacts, and boxes to be labelled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genenet.segmentation.marks import MOST_CONTACTS, doubtful_contacts, marked_boxes
from genenet.volumes.ngff import label_names
from genenet.volumes.ome_zarr import CLEANED, INSTANCES, OBJECTS, open_store

if TYPE_CHECKING:
    from pathlib import Path

    from genenet.core.geometry import Box
    from genenet.segmentation.marks import MarkedBox, MarkedContact
    from genenet.volumes.grid import Place
    from genenet.volumes.ome_zarr import Store


@dataclass(frozen=True)
class LabelLayer:
    """An image of labels of a segmentation.

    Attributes:
        name: its folder below ``labels``.
        classes: names by label; empty if labels are numbers of objects.
        visible: whether it is seen at first.
        contacts: of the objects, the most doubtful first.
    """

    name: str
    classes: list[str] = field(default_factory=list)
    visible: bool = False
    contacts: list[MarkedContact] = field(default_factory=list)

    @property
    def contacts_name(self) -> str:
        """The name of the layer of contacts."""
        return "contacts_" + self.name.removeprefix(INSTANCES)


@dataclass(frozen=True)
class Shown:
    """A segmentation with all that is marked in it.

    Attributes:
        store: the segmentation.
        labels: its images of labels; later ones are drawn over earlier ones.
        boxes: of a folder of boxes.
    """

    store: Store
    labels: list[LabelLayer]
    boxes: list[MarkedBox]

    @property
    def by_risk(self) -> list[MarkedContact]:
        """The contacts of all classes, the most doubtful first."""
        contacts = [contact for each in self.labels for contact in each.contacts]
        return sorted(contacts, key=lambda contact: -contact.risk)


def read_shown(path: Path, boxes: Path | None = None, most_contacts: int = MOST_CONTACTS) -> Shown:
    """Read what viewers show, apart from voxels.

    Args:
        path: a segmentation that genenet made.
        boxes: a folder of boxes of the segmented image.
        most_contacts: that are shown of each class of objects.

    Raises:
        InputError: If one of them can't be read.
    """
    store = open_store(path)
    names = label_names(path)
    numbered = [name for name in names if name.startswith(INSTANCES)]
    best = numbered or [CLEANED if CLEANED in names else "segmentation"]
    ordered = [name for name in ("segmentation", CLEANED, OBJECTS) if name in names] + numbered
    labels = [
        LabelLayer(
            name,
            classes=store.attributes["classes"] if name in ("segmentation", CLEANED) else [],
            visible=name in best,
            contacts=doubtful_contacts(store, name.removeprefix(INSTANCES), most_contacts)
            if name in numbered
            else [],
        )
        for name in ordered
    ]
    return Shown(store, labels, marked_boxes(boxes, store) if boxes else [])


def corners(box: Box) -> tuple[Place, Place]:
    """Return the two outer corners of a box along z, y, x in voxels; 0 is the centre of the first voxel.

    ::

        voxels    | 0 | 1 | 2 | 3 |
        box           |start  stop|       start 1, stop 4: corners at 0.5 and 3.5
    """
    (z0, y0, x0), (z1, y1, x1) = box.start, box.stop
    return (z0 - 0.5, y0 - 0.5, x0 - 0.5), (z1 - 0.5, y1 - 0.5, x1 - 0.5)
