"""Shows a segmentation in neuroglancer, an optional dependency: ``pip install genenet[view]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError
from genenet.segmentation.marks import MOST_CONTACTS
from genenet.segmentation.shown import corners, read_shown
from genenet.volumes.ome_zarr import open_store
from genenet.volumes.palette import class_colours
from genenet.volumes.readers.zarr import open_zarr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from genenet.segmentation.marks import MarkedContact
    from genenet.segmentation.shown import LabelLayer, Shown
    from genenet.volumes.grid import Place

# Marks are coloured by a property of the layer, 0 to 1.
_SHADER = """
void main() {
  setColor(mix(%s, %s, clamp(float(prop_%s()), 0.0, 1.0)));
  setPointMarkerSize(10.0);
  setPointMarkerBorderWidth(2.0);
}
"""
_YELLOW, _RED = "vec3(1.0, 0.9, 0.1)", "vec3(1.0, 0.1, 0.1)"
_MAGENTA, _GREEN = "vec3(1.0, 0.2, 0.8)", "vec3(0.2, 0.9, 0.3)"
_CONTACT = {  # property: its type
    "risk": "float32",
    "border": "float32",
    "disagreement": "float32",
    "area_nm2": "float32",
    "object_a": "uint32",
    "object_b": "uint32",
}


def view(
    store: Path,
    image: Path | None = None,
    address: str = "127.0.0.1",
    *,
    boxes: Path | None = None,
    most_contacts: int = MOST_CONTACTS,
) -> Any:
    """Serve a segmentation and neuroglancer's page; return its viewer, whose ``get_viewer_url`` is the page's address.

    Both are served until the process ends. Their addresses contain random tokens. Labels of objects come with a layer
    of their doubtful contacts; the page begins at the most doubtful one.

    Args:
        store: a segmentation that genenet made.
        image: the segmented image as OME-Zarr. It is shown below the labels in place of the uncertainty.
        address: the network interface; the default can be reached from this machine only.
        boxes: a folder of boxes to show.
        most_contacts: that are shown of each class of objects.

    Raises:
        InputError: If neuroglancer isn't installed, or ``store``, ``image`` or ``boxes`` can't be opened.
    """
    open_store(store)
    if image:
        open_zarr(image)
    try:
        import neuroglancer
        from neuroglancer.static_file_server import StaticFileServer
    except ImportError:
        raise InputError("genenet view needs neuroglancer; pip install 'genenet[view]'") from None

    def served(folder: Path) -> str:
        # Shards are read by ranges of bytes, which Python's own http.server doesn't support.
        return f"{StaticFileServer(str(folder.resolve()), address, daemon=True).url}/"

    shown = read_shown(store, boxes, most_contacts)
    neuroglancer.set_server_bind_address(address)
    viewer = neuroglancer.Viewer()
    with viewer.txn() as state:
        _Page(neuroglancer, shown, served).fill(state, image)
    return viewer


class _Page:
    """The layers of neuroglancer's page.

    Args:
        neuroglancer: the module.
        shown: what the page shows.
        served: serves a folder; returns its address.
    """

    def __init__(self, neuroglancer: Any, shown: Shown, served: Callable[[Path], str]) -> None:
        self._neuroglancer, self._shown, self._served = neuroglancer, shown, served
        z, y, x = shown.store.voxel_size_nm
        # The first axis is shown across the page, the second down: x and y, not z and y.
        self._space = neuroglancer.CoordinateSpace(names=["x", "y", "z"], units="nm", scales=[x, y, z])

    def fill(self, state: Any, image: Path | None) -> None:
        """Add all layers to the state of the page."""
        neuroglancer, store = self._neuroglancer, self._shown.store
        url, channel = self._served(store.path), store.attributes["channels"][0]
        state.dimensions = self._space
        if image:
            state.layers["image"] = neuroglancer.ImageLayer(source=f"{self._served(image)}|zarr:")
        state.layers[channel] = neuroglancer.ImageLayer(
            source=f"{url}|zarr3:",
            local_dimensions=neuroglancer.CoordinateSpace(names=["c'"], units="", scales=[1]),
            local_position=[0],  # the channel
        )
        state.layers[channel].visible = image is None
        for labels in self._shown.labels:
            colours = dict(enumerate(map(_hex, class_colours(len(labels.classes)))))
            state.layers[labels.name] = neuroglancer.SegmentationLayer(
                source=f"{url}labels/{labels.name}/|zarr3:", segment_colors=colours
            )
            state.layers[labels.name].visible = labels.visible
        for labels in self._shown.labels:
            if labels.contacts:
                state.layers[labels.contacts_name] = self._contacts(labels)
        if self._shown.boxes:
            state.layers["boxes"] = self._boxes()
        if contacts := self._shown.by_risk:
            state.position = self._at(contacts[0].centre)
        state.layout = "xy"

    def _contacts(self, labels: LabelLayer) -> Any:
        """Return the layer of contacts, each related to its two objects."""
        points = [
            self._neuroglancer.PointAnnotation(
                id=f"{contact.objects[0]}-{contact.objects[1]}",
                point=self._at(contact.centre),
                description=f"objects {contact.objects[0]} and {contact.objects[1]}",
                segments=[list(contact.objects)],
                props=_properties(contact),
            )
            for contact in labels.contacts
        ]
        shader = _SHADER % (_YELLOW, _RED, "risk")
        layer = self._marks(points, _CONTACT, shader, annotation_relationships=["objects"])
        layer.linked_segmentation_layer = {"objects": labels.name}
        return layer

    def _boxes(self) -> Any:
        found = []
        for marked in self._shown.boxes:
            low, high = corners(marked.box)
            found.append(
                self._neuroglancer.AxisAlignedBoundingBoxAnnotation(
                    id=marked.row.box,
                    point_a=self._at(low),
                    point_b=self._at(high),
                    description=": ".join(filter(None, [marked.row.box, marked.row.reason])),
                    props=[int(marked.row.reviewed), marked.row.score or 0.0],
                )
            )
        shader = _SHADER % (_MAGENTA, _GREEN, "reviewed")
        return self._marks(found, {"reviewed": "uint8", "score": "float32"}, shader)

    def _marks(self, found: Sequence[Any], types: dict[str, str], shader: str, **options: Any) -> Any:
        properties = [
            self._neuroglancer.AnnotationPropertySpec(id=name, type=kind) for name, kind in types.items()
        ]
        return self._neuroglancer.LocalAnnotationLayer(
            self._space, annotations=found, annotation_properties=properties, shader=shader, **options
        )

    def _at(self, place: Place) -> list[float]:
        """Return a place in voxels of the segmentation (z, y, x) as one on the page (x, y, z), in voxels from 0 nm.

        Voxel 0 has its centre at the translation, in OME-Zarr as on the page.
        """
        size, first = np.array(self._shown.store.voxel_size_nm), np.array(self._shown.store.translation_nm)
        at: list[float] = (np.array(place) + first / size)[::-1].tolist()
        return at


def _properties(contact: MarkedContact) -> list[float]:
    disagreement = 0.0 if contact.disagreement is None else contact.disagreement
    return [contact.risk, contact.border, disagreement, contact.area_nm2, *contact.objects]


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
