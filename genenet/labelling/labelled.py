"""The boxes of a volume that are labelled already: those of folders of boxes, and of corrections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genenet.labelling.corrected_labels import read_corrected
from genenet.volumes.boxes import VOLUME, read_boxes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from genenet.core.geometry import Box


def labelled_boxes(paths: Sequence[Path]) -> list[Box]:
    """Return the places of boxes, each once, in voxels of the whole image.

    Args:
        paths: folders of boxes, of which all count, since all are labelled sooner or later; or corrections.

    Raises:
        InputError: If a path is neither.
    """
    found: dict[Box, None] = {}
    for path in paths:
        is_folder = (path / VOLUME).exists()
        boxes = read_boxes(path) if is_folder else read_corrected(path).boxes
        found |= dict.fromkeys(box.place for box in boxes)
    return list(found)
