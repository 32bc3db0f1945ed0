"""A picture of all boxes: the middle slice of each, with the predicted classes, and their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from genenet.report.drawing.canvas import figure_bytes
from genenet.report.figures import UNCERTAINTY_MAP, colour, overlay, stretch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genenet.volumes.boxes import BoxRow

MOST_PIXELS = 384  # of a picture along y and x
MOST_BOXES = 40
_COLUMNS = 2  # boxes side by side
_TITLE = 7  # points


@dataclass(frozen=True)
class PicturedBox:
    """The middle slice of a box, downsampled: grey values, classes and uncertainty, (Y, X) each."""

    row: BoxRow
    image: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    uncertainty: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        row: BoxRow,
        image: NDArray[np.generic],
        labels: NDArray[np.uint8],
        uncertainty: NDArray[np.float32],
    ) -> PicturedBox:
        """Return the picture of a box of which each array is (Z, Y, X)."""
        middle, step = len(image) // 2, -(-max(image.shape[1:]) // MOST_PIXELS)
        shown = np.s_[middle, ::step, ::step]
        return cls(row, stretch(image[shown]), labels[shown], uncertainty[shown])


def overview(boxes: Sequence[PicturedBox], classes: Sequence[str], channel: str) -> bytes:
    """Return a PNG with three pictures of each box: the image, the predicted classes on it, and the uncertainty."""
    shown = boxes[:MOST_BOXES]
    n_columns = min(_COLUMNS, len(shown))
    n_rows = -(-len(shown) // n_columns)
    height, width = shown[0].image.shape
    figure = Figure(
        figsize=(n_columns * 4.8, n_rows * (1.6 * height / width + 0.3)), layout="constrained", dpi=100
    )
    axes = figure.subplots(n_rows, 3 * n_columns, squeeze=False)
    highest = max(float(box.uncertainty.max()) for box in shown) or 1.0
    for place in axes.flat:
        place.set_axis_off()
    for index, box in enumerate(shown):
        row, column = divmod(index, n_columns)
        image, predicted, doubt = axes[row, 3 * column : 3 * column + 3]
        image.imshow(box.image, cmap="gray", vmin=0, vmax=255)
        image.set_title(f"{box.row.box}, z {_middle(box.row)}", fontsize=_TITLE, loc="left")
        predicted.imshow(overlay(box.image, box.classes, colour(box.classes, len(classes))))
        predicted.set_title("predicted classes", fontsize=_TITLE, loc="left")
        doubt.imshow(box.uncertainty, cmap=UNCERTAINTY_MAP, vmin=0, vmax=highest)
        doubt.set_title(f"{channel}, 0 to {highest:.2f}", fontsize=_TITLE, loc="left")
    return figure_bytes(figure, ".png")


def _middle(row: BoxRow) -> int:
    return row.z + row.depth // 2
