"""Opens the images that a config names, without reading voxels: an image that can't be read is found at the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genenet.config.data import LabelledImage, VolumeToSegment
from genenet.config.depth import sees_depth
from genenet.config.planned_runs import fold_stage
from genenet.config.settings import ImageFiles, PrepareSettings
from genenet.config.stages import image_files, stage_settings
from genenet.core.errors import InputError
from genenet.core.geometry import by
from genenet.core.logs import each_once
from genenet.volumes import opening
from genenet.volumes.base import crop
from genenet.volumes.folds import slabs_of
from genenet.volumes.grid import AXES
from genenet.volumes.rescale import RescaledVolume, check_rescaling, training_size

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from genenet.config.data import Image
    from genenet.config.model import Config

VOLUMES = "data.volumes"


def check_images(config: Config, keys: Collection[str] | None = None) -> list[str]:
    """Open images with their labels and masks. A warning about a file is logged once, wherever the config names it.

    Phantoms are left out, since the workflow makes them.

    Args:
        config: the config.
        keys: of images, such as ``data.volumes.demo``; None is all of the config.

    Returns:
        A line for each image that was opened, or whose files don't exist yet.

    Raises:
        InputError: With a line for each image that can't be used.
    """
    lines, errors = [], []
    with each_once(opening.__name__):
        for key, image in _images(config):
            if image.phantom or (keys is not None and key not in keys):
                continue
            try:
                lines.append(f"{key}: {_describe(config, image)}")
            except InputError as error:
                errors += [f"{key}: {line}" for line in str(error).splitlines()]
    if errors:
        raise InputError("\n".join(errors))
    return lines


def _images(config: Config) -> Iterator[tuple[str, Image]]:
    """Yield all images of a config with their keys."""
    data = config.data
    for split, images in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        for index, image in enumerate(images):
            yield f"data.{split}.{index}", image
    for name, volume in data.volumes.items():
        yield f"{VOLUMES}.{name}", volume


def _describe(config: Config, image: Image) -> str:
    """Return an image's shape and type, of the region if there is one; raises InputError if it can't be used."""
    files = image_files(config, image)
    if missing := [path for path in files.all if not path.exists()]:
        return f"{missing[0]} doesn't exist yet, and wasn't checked"
    volume = crop(opening.open_files(files).image, files.region)
    if isinstance(image, VolumeToSegment) and config.segmentation.rescale:
        check_rescaling(volume, files, config.data.voxel_size_nm)
    text = f"{by(volume.shape)} voxels (z, y, x) of {volume.dtype}{_folds(config, image, files)}"
    if not isinstance(image, LabelledImage) or files.voxel_size_nm is None:
        return text
    wanted = training_size(volume, config.data.voxel_size_nm, sees_depth(config))
    if not volume.grid.differs_from(wanted):
        return text
    return f"{text}, resampled to {by(RescaledVolume(volume, wanted).shape)}"


def _folds(config: Config, image: Image, files: ImageFiles) -> str:
    """Return how folds cut an image, as the end of its line; raises InputError if it is too small for them."""
    plan = config.data.fold_plan
    if plan is None or plan.by == "image" or not any(image is each for each in config.data.train):
        return ""
    settings = stage_settings(config, fold_stage(0, "validation"))
    assert isinstance(settings, PrepareSettings)
    slabs = slabs_of(files, settings)
    return f", {plan.n} folds along {AXES[slabs.axis]}"
