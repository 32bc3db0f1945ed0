"""Checks which classes occur in the labels of a split: other classes can't be learned or can't be scored."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from genenet.core.choices import listed
from genenet.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.config.settings import PrepareSettings

_OTHER_LABELS = "choose an image or region with at least two classes"
_OTHER_FOLDS = "use fewer folds (data.folds), which are larger"

log = logging.getLogger(__name__)


def check_shown_classes(settings: PrepareSettings, counts: Sequence[int]) -> None:
    """Log which classes have no voxel in the labels of all images together.

    Args:
        settings: of the split.
        counts: voxels of each class.

    Raises:
        InputError: If the validation labels show one class only. Its ARI isn't defined, so nothing could be ranked.
    """
    fold = settings.folds.fold if settings.folds else None
    of_fold = "" if fold is None else f" of fold {fold}"
    shown = [name for name, n in zip(settings.classes, counts, strict=True) if n]
    missing = [name for name in settings.classes if name not in shown]
    if len(shown) < 2 and settings.split == "validation":
        files = listed([str(path) for image in settings.images for path in image.labels or ()])
        raise InputError(
            f"{files}: the validation labels{of_fold} show one class only, {shown[0]}, so that no ARI is defined and "
            f"no network can be ranked; {_OTHER_LABELS if fold is None else _OTHER_FOLDS}"
        )
    if len(shown) < 2 and settings.split == "test":
        log.warning("the test labels show one class only, %s: their ARI isn't defined", shown[0])
    if missing and settings.split == "train":
        log.warning(
            "%s in the training labels%s: networks can't learn %s",
            *(_without_voxels(missing), of_fold, _them(missing)),
        )
    if missing and settings.split in ("validation", "test"):
        level = logging.INFO if fold is None else logging.WARNING
        log.log(level, "%s in the %s labels%s", _without_voxels(missing), settings.split, of_fold)


def _without_voxels(classes: Sequence[str]) -> str:
    return f"class{'es' * (len(classes) > 1)} {listed(classes)} {'has' if len(classes) == 1 else 'have'} no voxel"


def _them(classes: Sequence[str]) -> str:
    return "it" if len(classes) == 1 else "them"
