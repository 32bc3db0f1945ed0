"""Slices of a segmented volume for the viewer of the report, few and small enough to be embedded in the page.

The image is a JPEG; the layers over it are PNGs with transparency; all are data URIs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from matplotlib import colormaps

from genenet.core.geometry import Box
from genenet.report.figures import UNCERTAINTY_MAP, colour, data_uri
from genenet.report.object_sections import colour_indices, object_colours
from genenet.volumes.label_images import class_labels, open_labels
from genenet.volumes.ngff import label_names
from genenet.volumes.ome_zarr import INSTANCES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from genenet.volumes.base import Volume
    from genenet.volumes.ome_zarr import Store

MOST_SLICES = 48
MOST_PIXELS = 640  # of a picture along y and x
WINDOW = 4096  # voxels along y and x; of larger slices only the middle is shown
MOST_VOXELS = 2**28  # that are read of a volume
BUDGET = 9_000_000  # bytes of the pictures of all volumes together
JPEG_QUALITY = 80
UNCERTAINTY_STEPS = 24  # number of colours of the uncertainty: fewer compress better
ERROR_COLOUR = (230, 25, 75)


@dataclass(frozen=True)
class Slice:
    """One downsampled slice: grey values, class ids and uncertainty (Y, X), uint8; labels if there are any.

    ``objects`` are the colours of numbered objects, by the name of their layer.
    """

    z: int
    image: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    classes: NDArray[np.uint8]
    uncertainty: NDArray[np.uint8]
    objects: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)


def viewer(
    image: Volume, labels: Volume | None, store: Store, choice: str | None, budget: int
) -> dict[str, Any]:
    """Return the data of the viewer: slice numbers ``z`` of ``n``, and data URIs of each layer by slice.

    The pictures are halved until they fit into the budget.

    Args:
        image: the image that was segmented.
        labels: true classes, if there are any.
        store: the segmentation.
        choice: name of one of its label images; None for the default.
        budget: largest number of bytes of all pictures.
    """
    window, factor, numbers = _sampling(store.shape)
    slices = [_read(image, labels, store, choice, z, window, factor) for z in numbers]
    low, high = np.percentile([s.image for s in slices], [0.3, 99.7])
    n_classes = len(store.attributes["classes"])
    while True:
        layers = _layers(slices, n_classes, float(low), float(max(high, low + 1)))
        n_bytes = sum(len(uri) for uris in layers.values() for uri in uris)
        if n_bytes <= budget or len(slices[0].image) < 32:
            break
        slices = [_smaller(s) for s in slices]
    height, width = slices[0].image.shape
    return {"z": numbers, "n": store.shape[0], "width": width, "height": height, "layers": layers}


def _sampling(shape: tuple[int, int, int]) -> tuple[Box, int, list[int]]:
    """Return the window (one slice thick), the factor of the downsampling, and the numbers of the slices."""
    depth, *sizes = shape
    height, width = (min(size, WINDOW) for size in sizes)
    start = (0, *((size - shown) // 2 for size, shown in zip(sizes, (height, width), strict=True)))
    n = max(1, min(depth, MOST_SLICES, MOST_VOXELS // (height * width)))
    numbers = (
        np.unique(np.rint(np.linspace(0, depth - 1, n)).astype(int)) if n > 1 else np.array([depth // 2])
    )
    factor = math.ceil(max(height, width) / MOST_PIXELS)
    return Box.of_shape((1, height, width), start), factor, numbers.tolist()  # type: ignore[arg-type]


def _read(
    image: Volume, labels: Volume | None, store: Store, choice: str | None, z: int, window: Box, factor: int
) -> Slice:
    box = window.shift((z, 0, 0))
    uncertainty = np.asarray(store.root[(0, *box.slices)])[0]
    if uncertainty.dtype.kind == "f":
        uncertainty = np.rint(255 * np.clip(uncertainty, 0, 1)).astype(np.uint8)
    classes = np.asarray(class_labels(store, choice)[box.slices])[0]
    truth = labels.read(box)[0] if labels else None
    return Slice(
        z,
        _mean(np.nan_to_num(image.read(box)[0].astype(np.float32)), factor),
        None if truth is None else _as_ids(truth)[::factor, ::factor],
        classes[::factor, ::factor],
        uncertainty[::factor, ::factor],
        {name: _colours_of(array, box)[::factor, ::factor] for name, array in _object_images(store).items()},
    )


def _object_images(store: Store) -> dict[str, Any]:
    """Return the images of numbered objects of a store, by the name of their layer."""
    names = [name for name in label_names(store.path) if name.startswith(INSTANCES)]
    return {f"objects ({name.removeprefix(INSTANCES)})": open_labels(store, name) for name in names}


def _colours_of(array: Any, box: Box) -> NDArray[np.uint8]:
    return colour_indices(np.asarray(array[box.slices])[0])


def _as_ids(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return labels as bytes; 255 replaces every label that is no class."""
    return np.where((labels >= 0) & (labels < 255), labels, 255).astype(np.uint8)


def _mean(values: NDArray[Any], factor: int) -> NDArray[Any]:
    """Average cells of factor × factor; cells at the far borders may be smaller."""
    if factor == 1:
        return values
    padded = np.pad(values, [(0, -size % factor) for size in values.shape], mode="edge")
    height, width = (size // factor for size in padded.shape)
    cells = padded.reshape(height, factor, width, factor)
    mean: NDArray[Any] = cells.mean(axis=(1, 3))
    return mean


def _smaller(s: Slice) -> Slice:
    labels = None if s.labels is None else s.labels[::2, ::2]
    objects = {name: colours[::2, ::2] for name, colours in s.objects.items()}
    return Slice(s.z, _mean(s.image, 2), labels, s.classes[::2, ::2], s.uncertainty[::2, ::2], objects)


def _layers(slices: list[Slice], n_classes: int, low: float, high: float) -> dict[str, list[str]]:
    """Return the data URIs of each layer, by slice."""
    makers: dict[str, Callable[[Slice], str]] = {
        "image": lambda s: _jpeg(np.clip((s.image - low) * (255 / (high - low)), 0, 255).astype(np.uint8)),
        "segmentation": lambda s: _png(_classes_rgba(s.classes, n_classes)),
        "uncertainty": lambda s: _png(_heat_rgba(s.uncertainty)),
    }
    if all(s.labels is not None for s in slices):
        makers["labels"] = lambda s: _png(_classes_rgba(s.labels, n_classes))
        makers["errors"] = lambda s: _png(_errors_rgba(s, n_classes))
    makers |= {name: partial(_objects_png, name) for name in slices[0].objects}
    return {name: [make(s) for s in slices] for name, make in makers.items()}


def _objects_png(name: str, s: Slice) -> str:
    return _png(object_colours()[s.objects[name]])


def _classes_rgba(classes: NDArray[Any] | None, n: int) -> NDArray[np.uint8]:
    """Return the colours of the classes (Y, X, 4); the background is transparent."""
    assert classes is not None
    return np.dstack([colour(classes, n), np.where(classes == 0, 0, 255).astype(np.uint8)])


def _heat_rgba(uncertainty: NDArray[np.uint8]) -> NDArray[np.uint8]:
    few_colours = colormaps[UNCERTAINTY_MAP].resampled(UNCERTAINTY_STEPS)
    return np.asarray(few_colours(uncertainty / 255, bytes=True))


def _errors_rgba(s: Slice, n: int) -> NDArray[np.uint8]:
    """Mark the voxels whose class differs from their label (Y, X, 4); ignored labels are no errors."""
    assert s.labels is not None
    wrong = (s.labels != s.classes) & (s.labels < n)
    picture = np.zeros((*wrong.shape, 4), np.uint8)
    picture[wrong] = (*ERROR_COLOUR, 255)
    return picture


def _jpeg(grey: NDArray[np.uint8]) -> str:
    return data_uri(imagecodecs.jpeg8_encode(np.ascontiguousarray(grey), level=JPEG_QUALITY), "jpeg")


def _png(rgba: NDArray[np.uint8]) -> str:
    return data_uri(imagecodecs.png_encode(np.ascontiguousarray(rgba), level=9))
