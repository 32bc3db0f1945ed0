"""Prepared images for a training: in memory, or memory-mapped from the job's local disk if they don't fit."""

from __future__ import annotations

import logging
import shutil
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError
from genenet.core.geometry import Box, tiles
from genenet.core.resources import MEBIBYTE
from genenet.volumes.base import ArrayVolume
from genenet.volumes.grey_values import grey_values
from genenet.volumes.masks import MaskedVolume
from genenet.volumes.normalisation import Normalisation, NormalisationRule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genenet.training.prepared import Prepared
    from genenet.training.sources import Source
    from genenet.volumes.base import Volume
    from genenet.volumes.grey_values import GreyValues

BORDER_MAP_BYTES = 4  # for each voxel

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledArray:
    """An image, (Z, Y, X), with labels of the same shape (IGNORE: neither learnt nor scored).

    Attributes:
        name: for messages.
        image: not normalised; of its own type, or of floats with NaN outside its mask.
        labels: class ids; of training images the outputs that networks learn.
        normalisation: to be applied to what is read.
        weight: how often patches come from it, relative to its number of labelled voxels.
    """

    name: str
    image: NDArray[np.generic]
    labels: NDArray[np.uint8]
    normalisation: Normalisation
    weight: float = 1.0

    @property
    def inside(self) -> Volume | None:
        """What lies inside the mask, 1 or 0; None if the image has no mask."""
        if self.image.dtype.kind != "f":
            return None
        inside = np.isfinite(self.image)
        return None if inside.all() else ArrayVolume(inside.astype(np.uint8), self.name)

    def grey_values(self) -> GreyValues | None:
        """Return the normalised grey values inside the mask; None if no voxel counts."""
        return grey_values(ArrayVolume(self.image, self.name), self.normalisation, self.inside)

    @classmethod
    def of(cls, source: Source, normalisation: Normalisation) -> LabelledArray:
        """Read an image and its labels into memory.

        Raises:
            InputError: If a label isn't a class, or a voxel inside the mask isn't finite.
        """
        whole = Box.of_shape(source.image.shape)
        image = MaskedVolume(source.image, source.mask) if source.mask else source.image
        return cls(source.name, image.read(whole), source.labels.read(whole), normalisation, source.weight)


def read_images(
    splits: Sequence[Prepared], rule: NormalisationRule, memory_bytes: float, weight_bytes: int = 0
) -> list[list[LabelledArray]]:
    """Read all images of prepared files once, into memory if together they take at most ``memory_bytes``.

    Otherwise they are copied to the folder for temporary files (TMPDIR), which on a cluster should be the job's local
    disk, and memory-mapped from there. These files have no names, so none is left behind, however the process ends.

    Args:
        splits: the training images, whose labels are what networks learn, and others.
        rule: how they are normalised.
        memory_bytes: limit for all images together.
        weight_bytes: memory of ``border_maps`` for each voxel of the first split.

    Raises:
        InputError: If the images don't fit on that disk either.
    """
    n_bytes = sum(
        i.labels.nbytes + i.labels.size * i.volume.dtype.itemsize for split in splits for i in split.images
    )
    n_bytes += weight_bytes * sum(i.labels.size for i in splits[0].images)
    on_disk = n_bytes > memory_bytes
    if on_disk:
        _check_space(n_bytes, memory_bytes)
    read = _mapped if on_disk else _read_whole
    return [
        [
            LabelledArray(
                *(i.name, read(i.volume), read(ArrayVolume(i.learned if is_taught else i.labels))),
                *(rule.of(i.statistics), i.weight),
            )
            for i in split.images
        ]
        for is_taught, split in zip([True, *[False] * (len(splits) - 1)], splits, strict=True)
    ]


def _check_space(n_bytes: int, memory_bytes: float) -> None:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    sizes = (
        f"{n_bytes / MEBIBYTE:.0f} MiB of images don't fit into {memory_bytes / MEBIBYTE:.0f} MiB of memory"
    )
    if free < 1.05 * n_bytes:
        raise InputError(
            f"{sizes}, nor onto {folder} ({free / MEBIBYTE:.0f} MiB free); let TMPDIR name a larger local disk"
        )
    log.info("%s: they are copied to %s and read from there", sizes, folder)


def _read_whole(volume: Volume) -> NDArray[Any]:
    return volume.read(Box.of_shape(volume.shape))


def _mapped(volume: Volume) -> NDArray[Any]:
    """Copy a volume to a temporary file without a name, some whole chunks at a time, and memory-map it."""
    mapped = _new_mapped(volume.shape, volume.dtype)
    for box in tiles(Box.of_shape(volume.shape), (volume.chunks[0], 8 * volume.chunks[1], volume.shape[2])):
        mapped[box.slices] = volume.read(box)
    return mapped


def _new_mapped(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def border_maps(images: list[LabelledArray], weight: float, sigma: float) -> list[NDArray[np.float32]]:
    """Return each image's weights of voxels between touching objects, (Z, Y, X); mapped if the image is."""
    from genenet.training.weight_maps import border_weights  # imports scipy, which is slow and rarely needed

    maps = []
    for image in images:
        new = _new_mapped if isinstance(image.labels, np.memmap) else np.empty
        result: NDArray[np.float32] = new(image.labels.shape, np.dtype(np.float32))
        for z in range(len(result)):
            result[z : z + 1] = border_weights(image.labels[z : z + 1], weight, sigma)
        maps.append(result)
    return maps
