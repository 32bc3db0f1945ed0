"""Pictures of the report as data URIs: slices as PNG, genomes as SVG."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from matplotlib import colormaps

from genenet.report.drawing.canvas import figure_bytes
from genenet.report.drawing.genes import draw_genes
from genenet.report.drawing.network import draw_network
from genenet.volumes.palette import class_colours

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genenet.genes.genome import Genome

UNCERTAINTY_MAP = "viridis"
UNKNOWN_COLOUR = (128, 128, 128)  # of labels that are no class: ignored voxels
_INSIDE, _BORDER = 0.45, 0.9  # opacity of the classes on the image


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI.

    Attributes:
        title: short title.
        alt: alternative text for readers who can't see the picture.
        uri: the picture.
    """

    title: str
    alt: str
    uri: str


def slice_pictures(
    image: NDArray[Any], labels: NDArray[Any] | None, classes: NDArray[Any], uncertainty: NDArray[Any], n: int
) -> list[Picture]:
    """Return the pictures of one slice.

    Args:
        image: (Y, X), of any type.
        labels: (Y, X) true classes, if there are any.
        classes: (Y, X) classes of the segmentation.
        uncertainty: (Y, X), 0 to 1.
        n: number of classes.
    """
    grey, found = stretch(image), colour(classes, n)
    heat = np.asarray(colormaps[UNCERTAINTY_MAP](np.clip(uncertainty.astype(np.float64), 0, 1), bytes=True))
    pictures = [
        _picture("Image", grey),
        _picture("Segmentation", found),
        _picture("Segmentation on the image", overlay(grey, classes, found)),
        _picture("Uncertainty", heat[..., :3]),
    ]
    if labels is not None:
        pictures.insert(1, _picture("Labels", colour(labels, n)))
    return pictures


def stretch(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an image as 8 bits with black and white at the percentiles 0.5 and 99.5; NaN is black."""
    values = image.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [0.5, 99.5]) if finite.size else (0.0, 1.0)
    scaled = (values - low) / (high - low if high > low else 1.0)
    return np.rint(255 * np.clip(np.nan_to_num(scaled), 0, 1)).astype(np.uint8)


def colour(classes: NDArray[Any], n: int) -> NDArray[np.uint8]:
    """Return class ids (Y, X) as colours (Y, X, 3); ids that are no class are grey."""
    colours = np.array([*class_colours(n), UNKNOWN_COLOUR], np.uint8)
    return colours[np.where((classes >= 0) & (classes < n), classes, n).astype(np.intp)]


def overlay(grey: NDArray[np.uint8], classes: NDArray[Any], colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blend the image (Y, X) with the colours of the classes (Y, X, 3); the background (class 0) stays unchanged."""
    border = np.zeros(classes.shape, bool)
    border[:-1] |= classes[:-1] != classes[1:]
    border[:, :-1] |= classes[:, :-1] != classes[:, 1:]
    opacity = np.where(classes == 0, 0.0, np.where(border, _BORDER, _INSIDE))[..., None]
    return np.rint((1 - opacity) * grey[..., None] + opacity * colours).astype(np.uint8)


def _picture(title: str, pixels: NDArray[np.uint8]) -> Picture:
    png = imagecodecs.png_encode(np.ascontiguousarray(pixels), level=9)
    return Picture(title, f"{title}, {pixels.shape[1]} by {pixels.shape[0]} pixels", data_uri(png))


def genome_pictures(genome: Genome, n_classes: int) -> list[Picture]:
    """Return the gene graph and the network of a genome, as SVG."""
    titled = {
        f"Gene graph of {genome.name}": draw_genes(genome),
        f"Network of {genome.name}": draw_network(genome, n_classes),
    }
    return [
        Picture(title, title, data_uri(figure_bytes(figure, ".svg"), "svg+xml"))
        for title, figure in titled.items()
    ]


def data_uri(data: bytes | bytearray, kind: str = "png") -> str:
    """Return an image file as a data URI, which a page can show without another file."""
    return f"data:image/{kind};base64," + base64.b64encode(data).decode("ascii")
