"""Labelled images, checked and put into one file: a Zarr in a zip, with their statistics as attributes.

Layout: a group for each image, "0", "1", …, each with the arrays ``image`` (own type) and ``labels`` (uint8;
IGNORE where nothing is learnt), axes (z, y, x), and attributes; what holds for all is in the root's.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec
from zarr.storage import ZipStore

from genenet.core.atomic_files import atomic_path
from genenet.core.errors import InputError
from genenet.core.geometry import Box, Triple, by, tiles
from genenet.volumes.base import Volume, crop
from genenet.volumes.labels import ClassLabels
from genenet.volumes.opening import open_files
from genenet.volumes.readers.zarr import warn_of_missing_chunks
from genenet.volumes.statistics import Moments, as_arrays, check_moments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from genenet.config.stages import ImageFiles, PrepareSettings

FORMAT = "genenet.data/1"
_SLAB_VOXELS = 2**23  # read, checked and written at a time


@dataclass(frozen=True)
class PreparedImage:
    """A labelled image of a prepared file.

    Attributes:
        name: the file it came from, and the region.
        image: Zarr array (Z, Y, X), of the image's own type.
        labels: Zarr array (Z, Y, X), uint8: class ids, or IGNORE.
        mean: of all voxels.
        deviation: of all voxels.
        slice_mean: (Z,), of each slice.
        slice_deviation: (Z,), of each slice; 1 where a slice is constant.
        weight: how often patches come from here, relative to the number of voxels.
    """

    name: str
    image: zarr.Array[Any]
    labels: zarr.Array[Any]
    mean: float
    deviation: float
    slice_mean: NDArray[np.float64]
    slice_deviation: NDArray[np.float64]
    weight: float = 1.0  # files of older versions don't say

    def statistics(self, per_slice: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and deviation, (1,), or (Z,) if ``per_slice``."""
        if per_slice:
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
    """

    classes: list[str]
    class_counts: list[int]
    mean: float
    deviation: float
    checksum: str
    voxel_size_nm: tuple[float, float, float]
    images: list[PreparedImage]


def prepare(settings: PrepareSettings, out: Path) -> None:
    """Check labelled images and write them to one file. Memory is bounded by a slab.

    Raises:
        InputError: If an image can't be learnt from; it names the file and what would be right.
    """
    if not settings.images:
        raise InputError("no labelled images are given; give at least one")
    sources = [_open(files, settings) for files in settings.images]
    # Read twice: a member of a zip can't be changed, so attributes must be known when they are written.
    checked = [check(source) for source in sources]
    with atomic_path(out) as temporary:
        store = ZipStore(temporary, mode="w")
        try:
            zarr.create_group(store, attributes=_attributes(settings, checked))
            for key, (source, facts) in enumerate(zip(sources, checked, strict=True)):
                _write(store, str(key), source, facts)
        finally:
            store.close()


def _attributes(settings: PrepareSettings, checked: list[Facts]) -> dict[str, Any]:
    everything = Moments.merged(moments for facts in checked for moments in facts.slices)
    return {
        "format": FORMAT,
        "classes": settings.classes,
        "class_counts": np.sum([facts.counts for facts in checked], axis=0).tolist(),
        "voxel_size_nm": list(settings.voxel_size_nm),
        "mean": everything.mean,
        "deviation": everything.deviation,
        "checksum": hashlib.sha256("".join(facts.checksum() for facts in checked).encode()).hexdigest(),
    }


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
        if attributes.pop("format") != FORMAT:
            raise ValueError("another format")
        images = [_prepared_image(root, str(i)) for i in range(sum(1 for _ in root.group_keys()))]
        return Prepared(images=images, voxel_size_nm=tuple(attributes.pop("voxel_size_nm")), **attributes)
    except (ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a file that genenet prepare wrote ({error}); write it anew") from error


def _prepared_image(root: zarr.Group, key: str) -> PreparedImage:
    attributes: dict[str, Any] = dict(root[key].attrs)
    slices = (np.array(attributes.pop(f"slice_{name}"), np.float64) for name in ("mean", "deviation"))
    image, labels = root[f"{key}/image"], root[f"{key}/labels"]
    assert isinstance(image, zarr.Array)
    assert isinstance(labels, zarr.Array)
    mean, deviation = slices
    return PreparedImage(image=image, labels=labels, slice_mean=mean, slice_deviation=deviation, **attributes)


@dataclass(frozen=True)
class Source:
    """A labelled image that is to be read."""

    name: str
    image: Volume
    labels: ClassLabels
    weight: float


def _open(files: ImageFiles, settings: PrepareSettings) -> Source:
    """Open an image and its labels, and check all that their headers say."""
    opened = open_files(files)
    warn_of_missing_chunks(files.image)
    labels = opened.class_labels(len(settings.classes), settings.ignore_label)
    image, labels = crop(opened.image, files.region), labels.crop(files.region)
    smallest = settings.smallest_input_voxels
    if smallest and min(image.shape[1:]) < smallest:
        raise InputError(
            f"{image.name}: is {by(image.shape[1:])} voxels, smaller than every genome's input: at least "
            f"{smallest} x {smallest} are needed; or lower search.regions.net.input_size"
        )
    region = files.region or (None, None, None)
    text = "[" + ", ".join(f"{i[0]}:{i[1]}" if i else ":" for i in region) + "]" if any(region) else ""
    return Source(image.name + text, image, labels, files.weight)


@dataclass
class Facts:
    """What a pass over an image and its labels finds out."""

    shape: Triple
    dtype: np.dtype[Any]
    slices: list[Moments]
    counts: NDArray[np.int64]
    weight: float
    hashes: dict[str, Any] = field(default_factory=lambda: {k: hashlib.sha256() for k in ("image", "labels")})

    def add(self, z: int, image: NDArray[Any], labels: NDArray[np.uint8]) -> None:
        """Take in a slab, of which the first slice is slice ``z``."""
        for i, (voxels, ids) in enumerate(zip(image, labels, strict=True), start=z):
            self.slices[i] = self.slices[i].merge(Moments.of(voxels))
            self.counts += np.bincount(ids.reshape(-1), minlength=256)[: len(self.counts)]
        self.hashes["image"].update(image)
        self.hashes["labels"].update(labels)

    def statistics(self, per_slice: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and deviation, (1,), or (Z,) if ``per_slice``."""
        return as_arrays(self.slices if per_slice else [Moments.merged(self.slices)])

    def checksum(self) -> str:
        """Return what depends on shape, type, weight and all voxels."""
        hashes = [h.hexdigest() for h in self.hashes.values()]
        return json.dumps([self.shape, self.dtype.str, self.weight, *hashes])


def check(source: Source) -> Facts:
    """Read an image and its labels once, and check all that is in them.

    Raises:
        InputError: If the image isn't finite or constant, or if a label is no class, or all are ignored.
    """
    shape = source.image.shape
    counts = np.zeros(source.labels.n_classes, np.int64)
    facts = Facts(shape, source.image.dtype, [Moments()] * shape[0], counts, source.weight)
    for box in _slabs(shape):
        facts.add(box.start[0], source.image.read(box), source.labels.read(box))
    check_moments(Moments.merged(facts.slices), source.image.name)
    if not facts.counts.any():
        masked = f" or masked by {source.labels.mask.name}" if source.labels.mask else ""
        raise InputError(
            f"{source.labels.volume.name}: all voxels are ignored{masked}; at least one needs a class"
        )
    return facts


def _write(store: ZipStore, key: str, source: Source, facts: Facts) -> None:
    """Write an image and its labels, whole chunks at a time: each is a member of the zip."""
    moments, (mean, deviation) = Moments.merged(facts.slices), as_arrays(facts.slices)
    attributes = {
        "name": source.name,
        "weight": source.weight,
        "mean": moments.mean,
        "deviation": moments.deviation,
        "slice_mean": mean.tolist(),
        "slice_deviation": deviation.tolist(),
    }
    group = zarr.create_group(store, path=key, attributes=attributes)
    image, labels = (
        group.create_array(
            name,
            shape=facts.shape,
            dtype=dtype,
            chunks=_chunks(facts.shape),
            compressors=ZstdCodec(level=3),
            dimension_names=("z", "y", "x"),
        )
        for name, dtype in (("image", facts.dtype), ("labels", np.dtype(np.uint8)))
    )
    for box in _slabs(facts.shape):
        _write_chunks(image, box, source.image.read(box))
        _write_chunks(labels, box, source.labels.read(box))


def _write_chunks(array: zarr.Array[Any], box: Box, data: NDArray[Any]) -> None:
    """Write a slab chunk by chunk. Chunks written together go on being written after one has failed."""
    for chunk in tiles(box, array.chunks):  # type: ignore[arg-type]
        array[chunk.slices] = data[chunk.relative_to(box.start).slices]


def _chunks(shape: Triple) -> Triple:
    return min(16, shape[0]), min(256, shape[1]), min(256, shape[2])


def _slabs(shape: Triple) -> Iterator[Box]:
    """Boxes of whole chunks, as wide as the image, since files hold it row by row."""
    chunks = _chunks(shape)
    rows = max(1, _SLAB_VOXELS // (chunks[0] * chunks[1] * shape[2])) * chunks[1]
    return tiles(Box.of_shape(shape), (chunks[0], rows, shape[2]))
