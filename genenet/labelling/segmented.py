"""A segmentation together with the image that it was made of."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.config.segmentation import Segmentation
from genenet.config.settings import ImageFiles
from genenet.core.errors import InputError
from genenet.core.geometry import Box, Triple, by, origin_of
from genenet.segmentation.job import SegmentationJob
from genenet.segmentation.new_store import NORM_STATISTICS
from genenet.segmentation.receipts import Show, finished_store
from genenet.segmentation.store_mask import mask_of
from genenet.volumes.base import Volume, crop
from genenet.volumes.label_images import class_labels
from genenet.volumes.normalisation import Normalisation
from genenet.volumes.ome_zarr import is_store
from genenet.volumes.opening import open_files

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from genenet.ensembles.ensemble import LoadedEnsemble
    from genenet.volumes.masks import Mask
    from genenet.volumes.ome_zarr import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SegmentedVolume:
    """A finished segmentation and its image. Boxes are in voxels of the segmented region.

    Attributes:
        store: the segmentation.
        source: files of the image, and the region.
        whole: the image that the region is cut from.
        mask: of the region; None if there is none.
    """

    store: Store
    source: ImageFiles
    whole: Volume
    mask: Mask | None

    @classmethod
    def of(cls, path: Path, source: ImageFiles | None = None) -> SegmentedVolume:
        """Open a segmentation.

        Args:
            path: of its store.
            source: the image's files, if they aren't where the store says; the region is the store's.

        Raises:
            InputError: If blocks are missing, or the image isn't found, or isn't that of the segmentation.
        """
        store = finished_store(path)
        recorded = store.attributes.get("source")
        if source is None and not recorded:
            raise InputError(f"{path}: an older version made it, which didn't record the image; add --image")
        files = recorded or {}
        if source:
            files = source.model_dump() | {"region": store.attributes.get("region")}
        if not any(files.get("region") or ()):  # the whole of each axis
            files = files | {"region": None}
        found = ImageFiles.model_validate(files)
        whole = open_files(found).image
        region = crop(whole, found.region)
        if region.shape != store.shape:
            raise InputError(
                f"{path}: has {by(store.shape)} voxels, and its image {whole.name} {by(region.shape)}; suggest needs "
                "the image that was segmented, and a segmentation without rescale: for other voxel sizes, resample the "
                "image itself"
            )
        return cls(store, found, whole, mask_of(store, store.block))

    @property
    def origin(self) -> Triple:
        """The first voxel of the region in the whole image."""
        return origin_of(self.source.region)

    @property
    def image(self) -> Volume:
        """The voxels of the region as they are stored."""
        return crop(self.whole, self.source.region)

    @property
    def seen(self) -> Volume:
        """The voxels of the region as networks see them: NaN outside the mask."""
        return self.mask.applied_to(self.image) if self.mask else self.image

    @property
    def normalisation(self) -> Normalisation:
        """Of the voxels of the region."""
        mean, deviation = (np.asarray(self.store.attributes[name]) for name in ("mean", "deviation"))
        return Normalisation(mean, deviation)

    @property
    def norm_statistics(self) -> list[dict[str, list[float]]]:
        """What norms that need statistics of the volume use, for each network."""
        found: list[dict[str, list[float]]] = self.store.attributes.get(NORM_STATISTICS, [])
        return found

    @property
    def classes(self) -> list[str]:
        """Names by class id."""
        return list(self.store.attributes["classes"])

    def labels(self, box: Box) -> NDArray[np.uint8]:
        """Return the predicted class ids of a box, cleaned if the segmentation was post-processed."""
        return np.asarray(class_labels(self.store)[box.slices])

    def channel(self, name: str, box: Box) -> NDArray[Any]:
        """Return a channel of a box as it is stored."""
        return self.store.channel(name, box)

    def values(self, name: str, box: Box) -> NDArray[np.float32]:
        """Return a channel of a box, 0 to 1."""
        stored = self.channel(name, box)
        found = stored.astype(np.float32)
        if stored.dtype == np.uint8:
            found /= 255
        return found

    def has(self, name: str) -> bool:
        """Return whether a channel is stored."""
        return name in self.store.attributes["channels"]


@dataclass(frozen=True)
class Segmenting:
    """Segments an image only to see where its ensemble is in doubt.

    Attributes:
        ensemble: that segments.
        device: that computes.
        out: the store to write, or to continue after an interruption.
    """

    ensemble: LoadedEnsemble
    device: torch.device
    out: Path

    def run(self, source: ImageFiles, show: Show) -> SegmentedVolume:
        """Segment a volume with all channels that are needed."""
        settings = Segmentation(disagreement=True)
        SegmentationJob(self.ensemble, source, settings, self.device, self.out).run(show=show)
        return SegmentedVolume.of(self.out)


def segmented(
    paths: list[Path], source: ImageFiles, is_moved: bool, segmenting: Segmenting, channel: str, show: Show
) -> SegmentedVolume:
    """Open the segmentation of a volume, or segment it if there is none with the channel that is needed.

    Args:
        paths: a store, or an image's files.
        source: the image's files as options name them.
        is_moved: whether the source names the image of a store, because it isn't where the store says.
        segmenting: segments what isn't segmented.
        channel: that must be stored.
        show: is called after each block that is segmented.

    Raises:
        InputError: If the segmentation isn't complete, or has other classes than the ensemble.
    """
    if not (len(paths) == 1 and is_store(paths[0])):
        return segmenting.run(source, show)
    found = SegmentedVolume.of(paths[0], source if is_moved else None)
    known = segmenting.ensemble.classes
    if found.classes != known:
        raise InputError(
            f"{paths[0]}: its classes are {', '.join(found.classes)}, those of the ensemble {', '.join(known)}; give "
            "the ensemble that segmented it"
        )
    if found.has(channel):
        return found
    log.info("%s: has no channel %s, so its image is segmented again", paths[0], channel)
    return segmenting.run(found.source, show)
