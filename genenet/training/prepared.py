"""Labelled images that ``genenet prepare`` has written, opened for trainings and for scores."""

from __future__ import annotations

import errno
import zipfile
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.storage import ZipStore

from genenet.config.normalisation import NormalisationSettings
from genenet.core.errors import InputError
from genenet.core.outputs import ObjectClass, Outputs
from genenet.volumes.base import ArrayVolume, Volume
from genenet.volumes.masks import MaskedVolume
from genenet.volumes.normalisation import NormalisationRule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from genenet.volumes.measure import CentreAndScale

FORMAT = "genenet.data/3"
FORMAT_WITH_OBJECTS = "genenet.data/4"  # which earlier versions would train without borders
FORMATS = (
    "genenet.data/1",
    "genenet.data/2",
    FORMAT,
    FORMAT_WITH_OBJECTS,
)  # the first has no masks, and only the last two RecordedStatistics


@dataclass(frozen=True)
class RecordedStatistics:
    """Centre and scale of an image, or of all images together, and the settings that they were made by.

    Both are (1,), or (Z,) of slices.
    """

    settings: NormalisationSettings
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    def as_attribute(self) -> dict[str, Any]:
        """Return what an attribute holds."""
        return {
            "settings": self.settings.model_dump(mode="json"),
            "centre": self.centre.tolist(),
            "scale": self.scale.tolist(),
        }

    @classmethod
    def of_attribute(cls, attribute: Any) -> RecordedStatistics:
        """Return what was written by ``as_attribute``."""
        settings = NormalisationSettings.model_validate(attribute["settings"])
        return cls(settings, *(np.array(attribute[name], np.float64) for name in ("centre", "scale")))


def _recorded_for(
    settings: NormalisationSettings, recorded: RecordedStatistics | None, name: str
) -> CentreAndScale:
    if recorded is None or recorded.settings != settings:
        raise InputError(
            f"{name}: was prepared without the statistics for normalisation: {settings}; run genenet "
            "prepare again, with settings of the same config"
        )
    return recorded.centre, recorded.scale


@dataclass(frozen=True)
class PreparedImage:
    """A labelled image of a prepared file.

    Attributes:
        name: the file it came from, and the region.
        image: Zarr array (Z, Y, X), of the image's own type.
        labels: Zarr array (Z, Y, X), uint8: class ids, or IGNORE.
        mean: of all voxels inside the mask.
        deviation: likewise.
        slice_mean: (Z,), of each slice.
        slice_deviation: (Z,), of each slice; 1 where a slice is constant.
        weight: how often patches come from here, relative to the number of voxels.
        mask: Zarr array (Z, Y, X), uint8, 0 outside; None if all is inside.
        recorded: centre and scale that are no mean and deviation of the image or its slices; None if none were needed.
        targets: Zarr array (Z, Y, X), uint8: the outputs that networks learn, or IGNORE; None: they are the labels.
        instances: Zarr arrays (Z, Y, X), uint64, the numbered objects of some classes.
    """

    name: str
    image: zarr.Array[Any]
    labels: zarr.Array[Any]
    mean: float
    deviation: float
    slice_mean: NDArray[np.float64]
    slice_deviation: NDArray[np.float64]
    weight: float = 1.0  # files of older versions don't say
    mask: zarr.Array[Any] | None = None
    recorded: RecordedStatistics | None = None
    targets: zarr.Array[Any] | None = None
    instances: Mapping[str, zarr.Array[Any]] = field(default_factory=dict)

    @property
    def learned(self) -> zarr.Array[Any]:
        """What networks learn, (Z, Y, X): the targets, or the labels where no objects are told apart."""
        return self.labels if self.targets is None else self.targets

    @property
    def volume(self) -> Volume:
        """The image as networks see it: outside the mask voxels are NaN, and so normalised to 0."""
        image = ArrayVolume(self.image, self.name)
        return MaskedVolume(image, self.inside) if self.inside else image

    @property
    def inside(self) -> Volume | None:
        """The mask; None if all is inside."""
        return None if self.mask is None else ArrayVolume(self.mask, self.name)

    def statistics(self, settings: NormalisationSettings) -> CentreAndScale:
        """Return centre and scale by the settings, (1,), or (Z,) of slices.

        Raises:
            InputError: If the image was prepared for another normalisation.
        """
        if not settings.is_always_recorded:
            return _recorded_for(settings, self.recorded, self.name)
        if settings.over == "slice":
            return self.slice_mean, self.slice_deviation
        return np.array([self.mean]), np.array([self.deviation])


@dataclass(frozen=True)
class Prepared:
    """A prepared file.

    Attributes:
        classes: names by label id.
        class_counts: voxels of each class in all images; ignored ones aren't counted.
        mean: of the voxels of all images together.
        deviation: likewise.
        checksum: SHA-256 over shapes, types, weights and voxels.
        voxel_size_nm: along z, y, x.
        images: in the order of the config.
        recorded: centre and scale of all images together that are no mean and deviation; None if none were needed.
        objects: the classes whose objects are told apart.
        output_counts: voxels of each output of the networks in all images; the class counts if there are no objects.
    """

    classes: list[str]
    class_counts: list[int]
    mean: float
    deviation: float
    checksum: str
    voxel_size_nm: tuple[float, float, float]
    images: list[PreparedImage]
    recorded: RecordedStatistics | None = None
    objects: Sequence[ObjectClass] = ()
    output_counts: Sequence[int] = ()

    @property
    def outputs(self) -> Outputs:
        """What the outputs of networks mean."""
        return Outputs(self.classes, self.objects)

    def rule(self, settings: NormalisationSettings) -> NormalisationRule:
        """Return the rule that normalises images if these are the training images.

        Raises:
            InputError: If they were prepared for another normalisation.
        """
        if settings.over != "training" or settings.is_always_recorded:
            return NormalisationRule(settings, self.mean, self.deviation)
        (centre,), (scale,) = _recorded_for(settings, self.recorded, "the training images")
        return NormalisationRule(settings, float(centre), float(scale))

    def without_images(self) -> Prepared:
        """Return a file with the same classes and no image: the validation of a training on all images."""
        return replace(self, class_counts=[0] * len(self.classes), checksum="", images=[])


# A file server that doesn't answer, or too many open files: the file itself may be sound.
_OF_THE_MACHINE = {errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT}


def open_prepared(path: Path) -> Prepared:
    """Open a prepared file without reading its voxels.

    Raises:
        InputError: If it isn't such a file.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; genenet prepare writes it")
    try:
        root = zarr.open_group(ZipStore(path, mode="r"), mode="r")
        attributes: dict[str, Any] = dict(root.attrs)
        if attributes.pop("format") not in FORMATS:
            raise ValueError("another format")
        objects = [ObjectClass.model_validate(each) for each in attributes.pop("objects", [])]
        n_images, names = sum(1 for _ in root.group_keys()), [each.name for each in objects]
        images = [_prepared_image(root, str(i), names) for i in range(n_images)]
        recorded, size = _recorded(attributes), tuple(attributes.pop("voxel_size_nm"))
        attributes.setdefault("output_counts", attributes["class_counts"])
        return Prepared(images=images, voxel_size_nm=size, recorded=recorded, objects=objects, **attributes)
    except (ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile) as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            raise
        raise InputError(f"{path}: not a file that genenet prepare wrote ({error}); write it anew") from error


def _prepared_image(root: zarr.Group, key: str, objects: Sequence[str]) -> PreparedImage:
    attributes: dict[str, Any] = dict(root[key].attrs)
    slices = (np.array(attributes.pop(f"slice_{name}"), np.float64) for name in ("mean", "deviation"))
    image, labels = root[f"{key}/image"], root[f"{key}/labels"]
    assert isinstance(image, zarr.Array)
    assert isinstance(labels, zarr.Array)
    instances = {name: _array(root, f"{key}/instances_{i}") for i, name in enumerate(objects)}
    mean, deviation = slices
    recorded = _recorded(attributes)
    return PreparedImage(
        image=image,
        labels=labels,
        mask=_array(root, f"{key}/mask"),
        targets=_array(root, f"{key}/targets"),
        instances={name: array for name, array in instances.items() if array is not None},
        slice_mean=mean,
        slice_deviation=deviation,
        recorded=recorded,
        **attributes,
    )


def _array(root: zarr.Group, path: str) -> zarr.Array[Any] | None:
    """Return an array that not every image has."""
    array = root.get(path)
    assert array is None or isinstance(array, zarr.Array)
    return array


def _recorded(attributes: dict[str, Any]) -> RecordedStatistics | None:
    """Take the recorded statistics out of the attributes, if there are any."""
    attribute = attributes.pop("normalisation", None)
    return RecordedStatistics.of_attribute(attribute) if attribute else None
