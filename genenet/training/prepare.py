"""Labelled images, checked and put into one file: a Zarr in a zip, with their statistics as attributes.

Layout: a group for each image, "0", "1", …, each with the arrays ``image`` (own type), ``labels`` (uint8; IGNORE
where nothing is learnt) and, if the image has one, ``mask`` (uint8), axes (z, y, x), and attributes; values that
hold for all images are in the root's attributes. Where objects are told apart, an image also has ``targets`` (uint8,
the outputs that networks learn) and the objects of each of its classes, ``instances_0``, … (uint64), in the order of
the root's ``objects``.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec
from zarr.storage import ZipStore

from genenet.core.atomic_files import atomic_path
from genenet.core.errors import InputError
from genenet.core.geometry import Box, Triple, tiles
from genenet.core.ignore import IGNORE
from genenet.core.outputs import ObjectClass
from genenet.training.objects import borders_of, count_targets, targets_of
from genenet.training.prepared import FORMAT, FORMAT_WITH_OBJECTS, RecordedStatistics
from genenet.training.shown_classes import check_shown_classes
from genenet.training.sources import Source, open_source
from genenet.volumes.folds import folded
from genenet.volumes.masks import check_finite
from genenet.volumes.measure import measure, measure_together
from genenet.volumes.sampling import slab_chunks, slabs
from genenet.volumes.statistics import EXACT_VOXELS, Moments, as_arrays, image_moments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from genenet.config.normalisation import NormalisationSettings
    from genenet.config.settings import PrepareSettings
    from genenet.training.object_targets import Borders
    from genenet.volumes.measure import CentreAndScale

log = logging.getLogger(__name__)


def prepare(settings: PrepareSettings, out: Path) -> None:
    """Check labelled images and write them to one file. Memory is bounded by a slab.

    Raises:
        InputError: If an image can't be learnt from; it names the file and what would be right.
    """
    if not settings.images:
        raise InputError("no labelled images are given; give at least one")
    sources = [open_source(files, settings) for files in folded(settings)]
    if settings.folds:
        sources = with_labels(sources)
    # Read twice: a member of a zip can't be changed, so attributes must be known when they are written.
    checked = [check(source, settings.normalisation, borders_of(source, settings)) for source in sources]
    check_shown_classes(settings, np.sum([facts.counts for facts in checked], axis=0).tolist())
    with atomic_path(out) as temporary:
        store = ZipStore(temporary, mode="w")
        try:
            zarr.create_group(store, attributes=_attributes(settings, sources, checked))
            for key, (source, facts) in enumerate(zip(sources, checked, strict=True)):
                _write(store, str(key), source, facts, settings)
        finally:
            store.close()


def with_labels(parts: Sequence[Source]) -> list[Source]:
    """Return the parts of images that have a labelled voxel; all of them if none has one.

    A part without one teaches nothing and scores nothing. The other parts of its image may have labels.
    """
    found = []
    for part in parts:
        if any(part.labels.read(box).min() != IGNORE for box in slabs(part.image.shape)):
            found.append(part)
        else:
            log.warning("%s: has no labelled voxel, and is left out", part.name)
    return found or list(parts)


def _attributes(
    settings: PrepareSettings, sources: Sequence[Source], checked: Sequence[Facts]
) -> dict[str, Any]:
    mean, deviation = centre_and_scale_of_all(sources, checked, None)
    recorded = {}
    if settings.normalisation and settings.normalisation.over == "training":
        centre, scale = centre_and_scale_of_all(sources, checked, settings.normalisation)
        recorded = _recorded(settings.normalisation, (np.array([centre]), np.array([scale])))
    objects = [ObjectClass(name=each.name, of=each.of).model_dump() for each in settings.objects]
    checksums = [facts.checksum() for facts in checked] + ([json.dumps(objects)] if objects else [])
    return {
        "format": FORMAT_WITH_OBJECTS if objects else FORMAT,
        "classes": settings.classes,
        "class_counts": np.sum([facts.counts for facts in checked], axis=0).tolist(),
        "voxel_size_nm": list(settings.voxel_size_nm),
        "mean": mean,
        "deviation": deviation,
        **recorded,
        **({"objects": objects, "output_counts": _output_counts(settings, checked)} if objects else {}),
        "checksum": hashlib.sha256("".join(checksums).encode()).hexdigest(),
    }


def _output_counts(settings: PrepareSettings, checked: Sequence[Facts]) -> list[int]:
    """Return the voxels of each output in all images."""
    n = len(settings.classes) + len(settings.objects)
    found: list[int] = np.sum([facts.target_counts[:n] for facts in checked], axis=0).tolist()
    return found


def centre_and_scale_of_all(
    sources: Sequence[Source], checked: Sequence[Facts], settings: NormalisationSettings | None
) -> tuple[float, float]:
    """Return centre and scale of all images together: mean and deviation, unless the settings say something else.

    Raises:
        InputError: If the scale would be 0.
    """
    if settings is not None and settings.over == "training" and not settings.is_always_recorded:
        (centre,), (scale,) = measure_together(settings, [source.inside for source in sources])
        return float(centre), float(scale)
    everything = Moments.merged(moments for facts in checked for moments in facts.whole)
    return everything.mean, everything.deviation


def _recorded(settings: NormalisationSettings, measured: CentreAndScale) -> dict[str, Any]:
    """Return the attribute that holds centre and scale."""
    return {"normalisation": RecordedStatistics(settings, *measured).as_attribute()}


@dataclass
class Facts:
    """What is found out about an image and its labels.

    Attributes:
        shape: voxels along z, y, x.
        dtype: of the image.
        counts: voxels of each class.
        weight: of the image.
        whole: moments of all voxels inside the mask, in parts.
        slices: of each slice.
        measured: centre and scale by the settings, if these need something else than moments.
        hashes: SHA-256 of the voxels of each array, by its name.
        borders: of the objects that are told apart.
        target_counts: voxels of each output, (256,); zeros without objects.
    """

    shape: Triple
    dtype: np.dtype[Any]
    counts: NDArray[np.int64]
    weight: float
    whole: list[Moments]
    slices: list[Moments]
    hashes: dict[str, Any]
    measured: CentreAndScale | None = None
    borders: Sequence[Borders] = ()
    target_counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))

    def statistics(self, settings: NormalisationSettings) -> CentreAndScale:
        """Return the image's own centre and scale, (1,), or (Z,) of slices, by the settings it was checked with."""
        if self.measured is not None:
            return self.measured
        return as_arrays(self.slices if settings.over == "slice" else [Moments.merged(self.whole)])

    def checksum(self) -> str:
        """Return what depends on shape, type, weight and all voxels, and on voxels outside if they were measured."""
        hashes = [h.hexdigest() for h in self.hashes.values()]
        measured = [array.tolist() for array in self.measured or ()]
        return json.dumps([self.shape, self.dtype.str, self.weight, *hashes, *measured])


def check(
    source: Source, settings: NormalisationSettings | None = None, borders: Sequence[Borders] = ()
) -> Facts:
    """Read an image and its labels, and check all that is in them. Outside the mask nothing counts.

    Args:
        source: the image.
        settings: how it is normalised; None if mean and deviation of the image and its slices are enough.
        borders: of the objects that are told apart.

    Raises:
        InputError: If the image isn't finite or constant, or if a label is no class, or all are ignored.
    """
    counts, n_inside, hashes = _count_and_hash(source)
    if not counts.any():
        masked = f" or masked by {source.mask.name}" if source.mask else ""
        raise InputError(f"{source.labels.name}: all voxels are ignored{masked}; at least one needs a class")
    slices = image_moments(source.image, per_slice=True, mask=source.mask)
    shape, whole = source.image.shape, slices
    if Box.of_shape(shape).n_voxels > EXACT_VOXELS:  # the sample stands for all voxels, beside other images
        whole = [m.scaled(n_inside) for m in image_moments(source.image, per_slice=False, mask=source.mask)]
    measured = None
    if settings is not None and settings.over != "training" and not settings.is_always_recorded:
        measured = measure(settings, source.inside, source.cut_from)
    of_targets = count_targets(source, borders, hashes) if borders else np.zeros(256, np.int64)
    return Facts(
        shape, source.image.dtype, counts, source.weight, whole, slices, hashes, measured, borders, of_targets
    )


def _count_and_hash(source: Source) -> tuple[NDArray[np.int64], int, dict[str, Any]]:
    """Return the voxels of each class and inside the mask, and all hashes; check labels and that voxels are finite."""
    n_inside, counts = 0, np.zeros(source.labels.n_classes, np.int64)
    hashes = {name: hashlib.sha256() for name in ("image", "labels", *(["mask"] if source.mask else []))}
    for box in slabs(source.image.shape):
        image, labels = source.image.read(box), source.labels.read(box)
        hashes["image"].update(image.data)
        hashes["labels"].update(labels.data)
        inside = None
        if source.mask:
            inside = source.mask.read(box) != 0
            hashes["mask"].update(inside.data)
        n_inside += image.size if inside is None else int(np.count_nonzero(inside))
        check_finite(image, source.name, inside)
        for ids in labels:
            counts += np.bincount(ids.reshape(-1), minlength=256)[: len(counts)]
        del image, labels, inside  # before the next slab is read: memory holds one
    return counts, n_inside, hashes


def _write(store: ZipStore, key: str, source: Source, facts: Facts, settings: PrepareSettings) -> None:
    """Write an image and its labels, whole chunks at a time: each is a member of the zip."""
    normalisation, objects = settings.normalisation, [each.name for each in settings.objects]
    moments, (mean, deviation) = Moments.merged(facts.whole), as_arrays(facts.slices)
    attributes = {
        "name": source.name,
        "weight": source.weight,
        "mean": moments.mean,
        "deviation": moments.deviation,
        "slice_mean": mean.tolist(),
        "slice_deviation": deviation.tolist(),
        **(_recorded(normalisation, facts.measured) if normalisation and facts.measured else {}),
    }
    group = zarr.create_group(store, path=key, attributes=attributes)
    image = _create(group, "image", facts.shape, facts.dtype)
    labels = _create(group, "labels", facts.shape, np.dtype(np.uint8))
    mask = _create(group, "mask", facts.shape, np.dtype(np.uint8)) if source.mask else None
    targets = _create(group, "targets", facts.shape, np.dtype(np.uint8)) if facts.borders else None
    ids = [
        (_create(group, f"instances_{i}", facts.shape, np.dtype(np.uint64)), source.instances[name])
        for i, name in enumerate(objects)
        if name in source.instances
    ]
    for box in slabs(facts.shape):
        _write_chunks(image, box, source.image.read(box))
        _write_chunks(labels, box, source.labels.read(box))
        if mask is not None and source.mask:
            _write_chunks(mask, box, (source.mask.read(box) != 0).astype(np.uint8))
        if targets is not None:
            _write_chunks(targets, box, targets_of(source, facts.borders, box))
        for array, volume in ids:
            _write_chunks(array, box, volume.read(box))


def _create(group: zarr.Group, name: str, shape: Triple, dtype: np.dtype[Any]) -> zarr.Array[Any]:
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=slab_chunks(shape),
        compressors=ZstdCodec(level=3),
        dimension_names=("z", "y", "x"),
    )


def _write_chunks(array: zarr.Array[Any], box: Box, data: NDArray[Any]) -> None:
    """Write a slab chunk by chunk: zarr continues to write chunks of one assignment after one has failed."""
    for chunk in tiles(box, array.chunks):  # type: ignore[arg-type]
        array[chunk.slices] = data[chunk.relative_to(box.start).slices]
