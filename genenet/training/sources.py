"""Labelled images before they are prepared: opened, cut to their region, and resampled to the voxels of the data."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from genenet.core.errors import InputError
from genenet.core.geometry import by
from genenet.volumes.base import Volume, crop
from genenet.volumes.grid import size_text
from genenet.volumes.instances import NearestIds
from genenet.volumes.measure import ImageInMask
from genenet.volumes.opening import open_files
from genenet.volumes.readers.zarr import warn_of_missing_chunks
from genenet.volumes.region_names import region_text
from genenet.volumes.rescale import RescaledVolume, training_size
from genenet.volumes.rescaled_labels import RescaledLabels, RescaledMask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genenet.config.settings import ImageFiles, PrepareSettings
    from genenet.config.types import VoxelSize
    from genenet.volumes.labels import ClassLabels

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A labelled image that is to be read.

    ``cut_from`` is the whole image if it is a region of one; ``instances`` are its numbered objects by class.
    """

    name: str
    image: Volume
    labels: ClassLabels | RescaledLabels
    weight: float
    cut_from: ImageInMask | None = None
    instances: Mapping[str, Volume] = field(default_factory=dict)

    @property
    def inside(self) -> ImageInMask:
        """The image in its mask."""
        return ImageInMask(self.image, self.mask)

    @property
    def mask(self) -> Volume | None:
        """Of the same shape; where it is 0, nothing of the image counts."""
        return self.labels.mask


def open_source(files: ImageFiles, settings: PrepareSettings) -> Source:
    """Open an image and its labels, and check all that their headers say.

    If the user gives the image another voxel size than that of the data, image, labels and mask are resampled. The
    region is in the voxels of the file.

    Raises:
        InputError: If one of them can't be opened, or if the image is too small for the networks.
    """
    opened = open_files(files).with_labels_of_objects(settings.classes, settings.ignore_label)
    warn_of_missing_chunks(files.image)
    labels = opened.class_labels(len(settings.classes), settings.ignore_label)
    source = Source(
        opened.image.name + region_text(files.region),
        crop(opened.image, files.region),
        labels.crop(files.region),
        files.weight,
        ImageInMask(opened.image, opened.mask) if region_text(files.region) else None,
        {name: crop(ids, files.region) for name, ids in opened.instances.items()},
    )
    if files.voxel_size_nm:
        source = _at_voxel_size(source, settings)
    elif source.image.grid.differs_from(settings.voxel_size_nm):
        log.warning(
            "%s: its file says that its voxels are %s nm (z, y, x), data.voxel_size_nm says %s, which results carry; "
            "voxel_size_nm: beside its path resamples it",
            *(source.image.name, size_text(source.image.grid.sizes_nm), size_text(settings.voxel_size_nm)),
        )
    _check_size(source.image, settings.smallest_input_voxels)
    return source


def _check_size(image: Volume, smallest: int | None) -> None:
    if smallest and min(image.shape[1:]) < smallest:
        raise InputError(
            f"{image.name}: is {by(image.shape[1:])} voxels, smaller than every genome's input: at least "
            f"{smallest} x {smallest} are needed; or lower search.regions.net.input_size"
        )


def _at_voxel_size(source: Source, settings: PrepareSettings) -> Source:
    """Return an image with its labels and mask at the voxel size of the data, if its own differs by more than 5 %."""
    wanted = training_size(source.image, settings.voxel_size_nm, settings.sees_depth)
    if not source.image.grid.differs_from(wanted):
        return source
    assert not isinstance(source.labels, RescaledLabels)
    inside = _rescaled(source.inside, wanted)
    log.info(
        "%s: resampled from voxels of %s nm to %s nm (z, y, x)",
        *(source.name, size_text(source.image.grid.sizes_nm), size_text(inside.volume.grid.sizes_nm)),
    )
    labels = RescaledLabels(source.labels, inside.volume.shape, inside.mask)
    cut_from = _rescaled(source.cut_from, wanted) if source.cut_from else None
    instances = {name: NearestIds(ids, inside.volume.shape) for name, ids in source.instances.items()}
    return replace(source, image=inside.volume, labels=labels, cut_from=cut_from, instances=instances)


def _rescaled(image: ImageInMask, wanted: VoxelSize) -> ImageInMask:
    volume = RescaledVolume(image.volume, wanted, image.mask)
    return ImageInMask(volume, RescaledMask(image.mask, volume) if image.mask else None)
