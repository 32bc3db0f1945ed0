"""What the report shows of a segmented volume: one slice, the slice viewer, scores and warnings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.atomic_files import read_json
from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.core.validation import validate
from genenet.metrics.scores import ClassScores
from genenet.report import figures, slices
from genenet.volumes import ome_zarr
from genenet.volumes.label_images import class_labels
from genenet.volumes.labels import ShownLabels
from genenet.volumes.opening import open_volume

if TYPE_CHECKING:
    from genenet.config.settings import ImageFiles, ReportSettings
    from genenet.core.paths import ResultPaths
    from genenet.volumes.base import Volume

SHOWN = 900  # most voxels of a slice along y and x, so that the file stays small


@dataclass(frozen=True)
class VolumeSection:
    """A segmented volume: pictures of one slice and the data of the viewer, or a note on why they are missing.

    The warnings say how it differs from what the ensemble has seen.
    """

    name: str
    caption: str
    note: str
    pictures: list[figures.Picture]
    viewer: dict[str, Any] | None
    scores: ClassScores | None
    warnings: list[str] = field(default_factory=list)


def volume_section(
    paths: ResultPaths, name: str, files: ImageFiles, settings: ReportSettings
) -> VolumeSection:
    """Return what the report shows of a volume, as far as it is segmented.

    Args:
        paths: of the search.
        name: of the volume.
        files: its image and labels.
        settings: of the report.
    """
    choice, budget = settings.labels, slices.BUDGET // len(settings.volumes)
    scores = _scores(Path(paths.volume_scores(name))) if files.labels else None
    path = Path(paths.store(name))
    if not path.exists():
        return VolumeSection(name, "", f"{path}: not segmented yet", [], None, scores)
    try:
        store = ome_zarr.open_store(path)
        image, labels = _volumes(store, files, settings.ignore_label)
        pictures = _middle_slice(store, image, labels, choice)
        viewer = slices.viewer(image, labels, store, choice, budget)
    except InputError as error:
        return VolumeSection(name, "", str(error), [], None, scores)
    missing = len(store.missing)
    note = f"{missing} of {len(store.blocks)} blocks aren't segmented yet; they are shown as background."
    caption = _caption(store, _middle(store.shape))
    warnings = store.attributes.get("warnings", [])
    return VolumeSection(name, caption, note if missing else "", pictures, viewer, scores, warnings)


def _scores(path: Path) -> ClassScores | None:
    return validate(ClassScores, read_json(path), str(path)) if path.exists() else None


def _volumes(
    store: ome_zarr.Store, files: ImageFiles, ignore_label: int | None
) -> tuple[Volume, Volume | None]:
    """Return the image, and its labels if there are any; raises InputError if shapes differ from the segmentation."""
    image = open_volume(files.image, files.region, flip=files.flip)
    labels = None
    if files.labels:
        ids = open_volume(files.labels, files.region, flip=files.flip, is_grey=False)
        labels = ShownLabels(ids, len(store.attributes["classes"]), ignore_label)
    for volume in (image, labels):
        if volume and volume.shape != store.shape:
            raise InputError(
                f"{volume.name}: has shape {volume.shape}, its segmentation {store.shape}; segment it again"
            )
    return image, labels


def _middle_slice(
    store: ome_zarr.Store, image: Volume, labels: Volume | None, choice: str | None
) -> list[figures.Picture]:
    """Return the pictures of the middle slice; only its middle part is read."""
    box = _middle(store.shape)
    uncertainty = np.asarray(store.root[(0, *box.slices)])[0]
    return figures.slice_pictures(
        image.read(box)[0],
        labels.read(box)[0] if labels else None,
        np.asarray(class_labels(store, choice)[box.slices])[0],
        uncertainty / 255 if uncertainty.dtype.kind == "u" else uncertainty,
        len(store.attributes["classes"]),
    )


def _middle(shape: tuple[int, int, int]) -> Box:
    z, height, width = shape[0] // 2, min(shape[1], SHOWN), min(shape[2], SHOWN)
    return Box.of_shape((1, height, width), (z, (shape[1] - height) // 2, (shape[2] - width) // 2))


def _caption(store: ome_zarr.Store, box: Box) -> str:
    depth, height, width = store.shape
    _, y_nm, x_nm = store.attributes["voxel_size_nm"]
    shown, micrometres = box.shape[1:], (box.shape[1] * y_nm / 1000, box.shape[2] * x_nm / 1000)
    part = "the whole slice" if shown == (height, width) else f"the middle {shown[0]} × {shown[1]} voxels"
    return (
        f"Slice {box.start[0] + 1} of {depth}, {part} of {height} × {width} (y × x): "
        f"{micrometres[0]:.3g} × {micrometres[1]:.3g} µm"
    )
