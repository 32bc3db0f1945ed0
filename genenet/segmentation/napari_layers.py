"""A segmentation as napari's layer data: (data, options of the layer, kind of layer). napari itself isn't needed.

Data is in voxels along z, y, x; each layer has its voxel size and place in nm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from genenet.core.atomic_files import read_json
from genenet.core.geometry import Box, each
from genenet.core.ignore import IGNORE
from genenet.segmentation.lazy_array import LazyArray
from genenet.segmentation.shown import corners
from genenet.volumes.palette import class_colours

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from genenet.segmentation.marks import MarkedBox
    from genenet.segmentation.shown import LabelLayer, Shown
    from genenet.volumes.base import Volume
    from genenet.volumes.ome_zarr import Store

LayerData = tuple[Any, dict[str, Any], str]
CHANNELS = ("uncertainty", "disagreement")  # that are shown, if they are stored
_POINT_VOXELS = 14
_MAGENTA, _GREEN = "#ff33cc", "#33e64d"


def napari_layers(shown: Shown, image: Volume | None = None, boxes: Path | None = None) -> list[LayerData]:
    """Return the layers of a segmentation; later ones are drawn over earlier ones.

    Args:
        shown: the segmentation with its marks.
        image: the segmented image, if it is shown, too; the whole of it, if a region was segmented.
        boxes: the folder of the boxes. Files ``NAME_labels.tif`` in it become layers that can be edited.

    Raises:
        InputError: If the labels of a box can't be read, or are of another shape or no class.
    """
    return [
        *([_image(image, shown)] if image else []),
        *_channels(shown, visible=image is None),
        *(_labels(shown, labels) for labels in shown.labels),
        *_labels_of_boxes(shown, boxes),
        *([_boxes(shown)] if shown.boxes else []),
        *(_contacts(shown, labels) for labels in shown.labels if labels.contacts),
    ]


def _placed(shown: Shown, start: Sequence[float] = (0, 0, 0)) -> dict[str, Any]:
    """Return where a layer lies whose first voxel is ``start`` of the segmentation."""
    size, first = np.array(shown.store.voxel_size_nm), np.array(shown.store.translation_nm)
    return _grid(size.tolist(), (first + np.array(start) * size).tolist())


def _grid(size_nm: Sequence[float], first_nm: Sequence[float]) -> dict[str, Any]:
    return {
        "scale": tuple(size_nm),
        "translate": tuple(first_nm),
        "units": ("nm",) * 3,
        "axis_labels": ("z", "y", "x"),
    }


def _image(volume: Volume, shown: Shown) -> LayerData:
    middle = volume.shape[0] // 2
    plane = volume.read(Box((middle, 0, 0), (middle + 1, *volume.shape[1:])))[:, ::4, ::4].astype(np.float32)
    finite = plane[np.isfinite(plane)]
    low, high = np.percentile(finite, [0.5, 99.5]).tolist() if finite.size else (0.0, 1.0)
    options = {
        "name": "image",
        "contrast_limits": (low, high if high > low else low + 1),
        **_place_of_image(volume, shown.store),
    }
    return LazyArray(volume.shape, volume.dtype, volume), options, "image"


def _place_of_image(volume: Volume, store: Store) -> dict[str, Any]:
    """Return where the image lies: on the segmentation's voxels if it has as many, otherwise where its file says."""
    region = [
        part or (0, n) for part, n in zip(store.attributes["region"] or [None] * 3, volume.shape, strict=True)
    ]
    size, first = store.voxel_size_nm, store.translation_nm
    if tuple(stop - start for start, stop in region) == store.shape:
        return _grid(size, [t - s * start for t, s, (start, _) in zip(first, size, region, strict=True)])
    grid = volume.grid.completed(size)
    return _grid(grid.voxel_size_nm or size, grid.translation_nm)


def _channels(shown: Shown, visible: bool) -> list[LayerData]:
    store, names = shown.store, shown.store.attributes["channels"]
    top = 255 if store.root.dtype == np.uint8 else 1
    pyramid = _levels(store.path)
    return [
        (
            [
                LazyArray(each(int, level.shape[1:]), level.dtype, level, names.index(name))
                for level in pyramid
            ],
            {
                "name": name,
                "multiscale": True,
                "contrast_limits": (0, top),
                "colormap": "gray" if name == CHANNELS[0] else "magma",
                "blending": "additive",
                "visible": visible and name == CHANNELS[0],
                **_placed(shown),
            },
            "image",
        )
        for name in CHANNELS
        if name in names
    ]


def _labels(shown: Shown, labels: LabelLayer) -> LayerData:
    options = {"name": labels.name, "multiscale": True, "opacity": 0.5, "visible": labels.visible}
    if labels.classes:
        options |= _of_classes(labels.classes)
    return _levels(shown.store.path / "labels" / labels.name), options | _placed(shown), "labels"


def _of_classes(classes: Sequence[str]) -> dict[str, Any]:
    """Return the colours and the names of classes; the background and other labels are transparent."""
    colours: dict[int | None, Any] = {None: (0.0, 0.0, 0.0, 0.0), 0: (0.0, 0.0, 0.0, 0.0)}
    for label, colour in enumerate(class_colours(len(classes))[1:], start=1):
        colours[label] = (*(part / 255 for part in colour), 1.0)
    return {
        "colormap": colours,
        "features": {"index": list(range(len(classes))), "class": list(classes)},
    }


def _levels(folder: Path) -> list[zarr.Array[Any]]:
    """Open the levels of an image of the store, the largest first."""
    multiscale = read_json(folder / "zarr.json")["attributes"]["ome"]["multiscales"][0]
    return [zarr.open_array(folder / level["path"], mode="r") for level in multiscale["datasets"]]


def _contacts(shown: Shown, labels: LabelLayer) -> LayerData:
    """Return a point for each contact, a ring that is red if the risk is high."""
    found = labels.contacts
    features: dict[str, list[Any]] = {
        "risk": [contact.risk for contact in found],
        "object_a": [contact.objects[0] for contact in found],
        "object_b": [contact.objects[1] for contact in found],
        "border": [contact.border for contact in found],
        "area_nm2": [contact.area_nm2 for contact in found],
    }
    if all(contact.disagreement is not None for contact in found):
        features["disagreement"] = [contact.disagreement for contact in found]
    options = {
        "name": labels.contacts_name,
        "features": features,
        "size": _POINT_VOXELS,
        "face_color": "transparent",
        "border_color": "risk",
        "border_colormap": "autumn_r",
        "border_contrast_limits": (0.0, 1.0),
        "border_width": 0.2,
        **_placed(shown),
    }
    return np.array([contact.centre for contact in found]), options, "points"


def _boxes(shown: Shown) -> LayerData:
    """Return a rectangle for each slice of each box, since napari's shapes are flat."""
    rectangles, slices = [], []
    for found in shown.boxes:
        (_, y0, x0), (_, y1, x1) = corners(found.box)
        for z in range(found.box.start[0], found.box.stop[0]):
            rectangles.append([(z, y0, x0), (z, y0, x1), (z, y1, x1), (z, y1, x0)])
            slices.append(found)
    options = {
        "name": "boxes",
        "shape_type": "rectangle",
        "edge_color": [_GREEN if found.row.reviewed else _MAGENTA for found in slices],
        "edge_width": 2,
        "face_color": "transparent",
        "features": {
            "box": [found.row.box for found in slices],
            "score": [found.row.score for found in slices],
            "reason": [found.row.reason for found in slices],
            "reviewed": [found.row.reviewed for found in slices],
        },
        "text": {"string": "{box}", "size": 9, "color": _MAGENTA, "anchor": "upper_left"},
        **_placed(shown),
    }
    return np.array(rectangles, float), options, "shapes"


def _labels_of_boxes(shown: Shown, folder: Path | None) -> list[LayerData]:
    """Return the labels of boxes that have a file of them, in memory, so that they can be edited."""
    if folder is None:
        return []
    return [_labels_of_box(shown, box, folder) for box in shown.boxes if box.row.labels(folder).exists()]


def _labels_of_box(shown: Shown, marked: MarkedBox, folder: Path) -> LayerData:
    path, classes = marked.row.labels(folder), shown.store.attributes["classes"]
    options = {"name": path.stem, "opacity": 0.5, **_of_classes(classes)}
    options["colormap"][IGNORE] = (0.5, 0.5, 0.5, 1.0)
    labels = marked.row.read_labels(path, len(classes))
    return labels, options | _placed(shown, marked.box.start), "labels"
