"""Checks which classes occur in the labels of a split: other classes can't be learned or can't be scored."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from genenet.core.choices import listed
from genenet.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.config.settings import PrepareSettings

log = logging.getLogger(__name__)


def check_shown_classes(settings: PrepareSettings, counts: Sequence[int]) -> None:
    """Log which classes have no voxel in the labels of all images together.

    Args:
        settings: of the split.
        counts: voxels of each class.

    Raises:
        InputError: If the validation labels show one class only. Its ARI isn't defined, so nothing could be ranked.
    """
    shown = [name for name, n in zip(settings.classes, counts, strict=True) if n]
    missing = [name for name in settings.classes if name not in shown]
    if len(shown) < 2 and settings.split == "validation":
        files = listed([str(path) for image in settings.images for path in image.labels or ()])
        raise InputError(
            f"{files}: the validation labels show one class only, {shown[0]}, so that no ARI is defined and no network "
            "can be ranked; choose an image or region with at least two classes"
        )
    if len(shown) < 2 and settings.split == "test":
        log.warning("the test labels show one class only, %s: their ARI isn't defined", shown[0])
    if missing and settings.split == "train":
        log.warning(
            "%s in the training labels: networks can't learn %s", _without_voxels(missing), _them(missing)
        )
    if missing and settings.split in ("validation", "test"):
        log.info("%s in the %s labels", _without_voxels(missing), settings.split)


def _without_voxels(classes: Sequence[str]) -> str:
    return f"class{'es' * (len(classes) > 1)} {listed(classes)} {'has' if len(classes) == 1 else 'have'} no voxel"


def _them(classes: Sequence[str]) -> str:
    return "it" if len(classes) == 1 else "them"
