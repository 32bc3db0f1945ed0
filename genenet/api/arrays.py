"""Converts arrays to the objects that trainings and segmentations otherwise read from files, with the same checks."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from genenet.core.errors import InputError
from genenet.core.geometry import by
from genenet.volumes.base import ArrayVolume
from genenet.volumes.labels import ClassLabels, check_integers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from genenet.config.normalisation import NormalisationSettings
    from genenet.core.geometry import Triple
    from genenet.training.prepared_images import LabelledArray
    from genenet.training.sources import Source
    from genenet.volumes.normalisation import NormalisationRule

Pair = tuple[ArrayLike, ArrayLike]
ClassIds = tuple[int, int | None]  # how many classes, and the label that is ignored


def volume_of(array: ArrayLike, name: str) -> ArrayVolume:
    """Return an array as a volume (Z, Y, X).

    Raises:
        InputError: If it isn't 2D or 3D, is empty, or doesn't hold numbers.
    """
    if not isinstance(
        getattr(array, "dtype", None), np.dtype
    ):  # arrays with one, such as Zarr's, are read lazily
        array = np.asarray(array)
    volume = ArrayVolume(np.ma.getdata(array) if np.ma.isMaskedArray(array) else array, name)
    if 0 in volume.shape:
        raise InputError(f"{name}: holds no voxels, its shape is {by(volume.shape)}")
    return volume


def mask_of(array: Any, name: str) -> ArrayVolume | None:
    """Return the mask of a numpy masked array as a volume that is 0 at masked voxels; None if none is masked."""
    if not np.ma.is_masked(array):
        return None
    return ArrayVolume((~np.ma.getmaskarray(array)).astype(np.uint8), f"the mask of {name}")


def labels_of(array: Any, name: str, ignore_label: int | None) -> tuple[ArrayVolume, int | None]:
    """Return labels as a volume, and the label that is ignored, which masked voxels hold."""
    labels = volume_of(array, name)
    if labels.dtype.kind not in "bui" or not np.ma.is_masked(array):
        return labels, ignore_label
    ignored = np.iinfo(np.int64).min if ignore_label is None else ignore_label  # no label that anyone uses
    filled = np.ma.getdata(array).astype(np.int64)
    filled[np.ma.getmaskarray(array)] = ignored
    return volume_of(filled, name), int(ignored)


@contextmanager
def threads_of_torch(n_threads: int) -> Iterator[None]:
    """Let torch use this many cores inside the block; raises InputError if there are fewer."""
    import torch

    from genenet.networks.device import set_threads

    before = torch.get_num_threads()
    set_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class LabelledArrays:
    """Labelled images as a training reads them.

    Attributes:
        train: training images.
        validation: validation images.
        counts: training voxels of each class.
        rule: by which images are normalised.
        dtypes: types of the training images as they were given, in alphabetical order.
    """

    train: list[LabelledArray]
    validation: list[LabelledArray]
    counts: list[int]
    rule: NormalisationRule
    dtypes: list[str]


def labelled_arrays(
    train: Sequence[Pair],
    validation: Sequence[Pair],
    ids: ClassIds,
    settings: NormalisationSettings,
    input_shape: Triple,
) -> LabelledArrays:
    """Check training and validation images and their labels.

    Raises:
        InputError: If they can't be learnt from, or if a training image is smaller than the network's input.
    """
    from genenet.training.prepare import centre_and_scale_of_all, check
    from genenet.training.prepared_images import LabelledArray
    from genenet.volumes.normalisation import NormalisationRule

    sources = _sources(train, "", ids)
    for source in sources:
        _check_size(source, input_shape)
    facts = [check(source, settings) for source in sources]
    others = _sources(validation, "validation ", ids)
    others_facts = [check(source, settings) for source in others]
    rule = NormalisationRule(settings, *centre_and_scale_of_all(sources, facts, settings))
    arrays = [
        LabelledArray.of(s, rule.of(f.statistics))
        for s, f in zip([*sources, *others], [*facts, *others_facts], strict=True)
    ]
    counts = np.sum([each.counts for each in facts], axis=0).tolist()
    dtypes = sorted({source.image.dtype.name for source in sources})
    return LabelledArrays(arrays[: len(sources)], arrays[len(sources) :], counts, rule, dtypes)


def _sources(pairs: Sequence[Pair], prefix: str, ids: ClassIds) -> list[Source]:
    """Return images with their labels; of several, each has its number in its name.

    Raises:
        InputError: If one isn't a pair, or its arrays can't be an image and its labels.
    """
    numbers = [f"{i} " for i in range(1, len(pairs) + 1)] if len(pairs) > 1 else [""]
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise InputError(f"{prefix.strip() or 'training images'}: give a pair, (image, labels)")
    return [_source(pair, prefix, number, ids) for pair, number in zip(pairs, numbers, strict=False)]


def _source(pair: Pair, prefix: str, number: str, ids: ClassIds) -> Source:
    from genenet.training.sources import Source

    n_classes, ignore_label = ids
    image = volume_of(pair[0], f"{prefix}image {number}".strip())
    labels, ignored = labels_of(pair[1], f"{prefix}labels {number}".strip(), ignore_label)
    check_integers(labels, image, "labels are {}; give the class ids as integers")
    mask = mask_of(pair[0], image.name)
    return Source(image.name, image, ClassLabels(labels, n_classes, ignored, mask), 1.0)


def _check_size(source: Source, input_shape: Triple) -> None:
    if min(source.image.shape[1:]) < input_shape[1]:
        raise InputError(
            f"{source.name}: is {by(source.image.shape[1:])} voxels (y, x), smaller than the network's input, "
            f"{by(input_shape[1:])}; draw genomes of a smaller input_size, or give a larger image"
        )
