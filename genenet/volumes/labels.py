"""Labels of an image, read as class ids: checked, and with IGNORE where nothing is learnt or scored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError
from genenet.core.geometry import Box, Triple, by, origin_of, tiles
from genenet.core.ignore import IGNORE
from genenet.volumes.base import Volume, crop

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from genenet.config.types import ImageRegion


@dataclass(frozen=True)
class ClassLabels:
    """Integer labels of which each is a class or ``ignore_label``, or anything where ``mask`` is 0.

    Attributes:
        volume: the labels as they are stored.
        n_classes: their ids are 0 to n_classes - 1; if 0 is the ignored label, 1 to n_classes stand for them.
        ignore_label: of voxels that are neither learnt nor scored; None if all are.
        mask: of the same shape; where it is 0, labels are ignored.
        origin: where the region begins in the file.
    """

    volume: Volume
    n_classes: int
    ignore_label: int | None
    mask: Volume | None = None
    origin: Triple = (0, 0, 0)

    @property
    def name(self) -> str:
        """How messages call them."""
        return self.volume.name

    @property
    def first(self) -> int:
        """The label of the first class."""
        return first_label(self.ignore_label)

    def crop(self, region: ImageRegion | None) -> ClassLabels:
        """Return those of a region of the file; raises InputError if it reaches outside."""
        origin = origin_of(region)
        mask = crop(self.mask, region) if self.mask else None
        return replace(self, volume=crop(self.volume, region), mask=mask, origin=origin)

    def read(self, box: Box) -> NDArray[np.uint8]:
        """Return the class ids of a box, (Z, Y, X).

        Raises:
            InputError: If a label is none of the classes.
        """
        classes = np.empty(box.shape, np.uint8)
        masks: Iterable[NDArray[Any] | None] = self.mask.read(box) if self.mask else [None] * box.shape[0]
        for ids, mask, out in zip(
            self.volume.read(box), masks, classes, strict=True
        ):  # by slice: less memory
            self._to_classes(ids, mask, out)
        return classes

    def _to_classes(self, ids: NDArray[Any], mask: NDArray[Any] | None, out: NDArray[np.uint8]) -> None:
        ignored = np.zeros(ids.shape, bool) if mask is None else mask == 0
        if self.ignore_label is not None:
            ignored |= ids == self.ignore_label
        out[...], known = _class_ids(ids, self.first, self.n_classes)
        out[ignored] = IGNORE
        unknown = ~(known | ignored)
        if unknown.any():
            raise self._unknown_label(int(ids[unknown][0]))

    def _unknown_label(self, label: int) -> InputError:
        """Look through all labels once more, to say how often and where."""
        count, first = 0, None
        for box in tiles(Box.of_shape(self.volume.shape), (1, *self.volume.shape[1:])):
            found = self.volume.read(box)[0] == label
            if self.mask:
                found &= self.mask.read(box)[0] != 0
            count += int(found.sum())
            if first is None and count:
                inside = np.unravel_index(int(found.argmax()), found.shape)
                first = tuple((np.array([box.start[0], *inside]) + self.origin).tolist())
        last = self.first + self.n_classes - 1
        return InputError(
            f"{self.volume.name}: label {label} ({count} voxels, the first at z, y, x = {first}) is none of the "
            f"{self.n_classes} classes, which are {self.first} to {last}; name its class, or set ignore_label: {label}"
        )


class ShownLabels(Volume):
    """Labels as class ids, for viewing: labels that are no class become IGNORE, and nothing is an error."""

    def __init__(self, labels: Volume, n_classes: int, ignore_label: int | None) -> None:
        self._take_over(labels)
        self._labels, self._first, self._n_classes = labels, first_label(ignore_label), n_classes
        self.dtype = np.dtype(np.uint8)

    def _read(self, box: Box) -> NDArray[np.uint8]:
        return _class_ids(self._labels.read(box), self._first, self._n_classes)[0]


def _class_ids(ids: NDArray[Any], first: int, n_classes: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return labels as class ids, with IGNORE for those of no class, and which labels are of a class."""
    known = (ids >= first) & (ids < first + n_classes)
    classes = (ids - first).astype(np.uint8)
    classes[~known] = IGNORE
    return classes, known


def first_label(ignore_label: int | None) -> int:
    """Return the label of the first class: 0, or 1 if 0 means that the class isn't known."""
    return 1 if ignore_label == 0 else 0


def check_integers(volume: Volume, image: Volume, otherwise: str) -> Volume:
    """Return a volume of integers and of an image's shape.

    Raises:
        InputError: If its shape or type is another; ``otherwise`` says what would be right, with the type at ``{}``.
    """
    check_shape(volume, image)
    check_type(volume, otherwise)
    return volume


def check_shape(volume: Volume, image: Volume) -> None:
    """Raise InputError if labels or a mask have another shape than their image."""
    if volume.shape != image.shape:
        raise InputError(
            f"{volume.name}: its shape {by(volume.shape)} isn't that of {image.name}, {by(image.shape)}; "
            "each voxel needs a value: crop or resample one of them"
        )


def check_type(volume: Volume, otherwise: str) -> None:
    """Raise InputError if labels or a mask aren't integers; ``otherwise`` is the message, with the type at ``{}``."""
    if volume.dtype.kind not in "bui":
        raise InputError(f"{volume.name}: {otherwise.format(volume.dtype)}")
