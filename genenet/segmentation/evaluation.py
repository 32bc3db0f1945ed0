"""A segmentation's scores against labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError
from genenet.core.geometry import by
from genenet.metrics.contingency import Contingency, scores
from genenet.segmentation.receipts import finished_store
from genenet.volumes.label_images import class_labels
from genenet.volumes.opening import open_files

if TYPE_CHECKING:
    from pathlib import Path

    from genenet.config.settings import ImageFiles


def evaluate_store(
    path: Path, source: ImageFiles, ignore_label: int | None, choice: str | None = None
) -> dict[str, Any]:
    """Score a finished segmentation against labels, block by block.

    Args:
        path: the segmentation.
        source: the image's files and its labels.
        ignore_label: label of the voxels that aren't scored.
        choice: ``segmentation`` or ``cleaned``; by default the cleaned labels, if there are any.

    Raises:
        InputError: If blocks are missing, or the labels are of another shape.
    """
    store = finished_store(path)
    found = class_labels(store, choice)
    n_classes = len(store.attributes["classes"])
    labels = open_files(source).class_labels(n_classes, ignore_label).crop(source.region)
    if labels.volume.shape != store.shape:
        raise InputError(
            f"{path}: was made from an image of another shape, {by(store.shape)}; segment it again"
        )
    table = Contingency.empty(n_classes)
    for block in store.blocks:
        table.add(labels.read(block), np.asarray(found[block.slices]))
    return scores(table)
