"""Parts of images, and the two that a split or the folds of a cross-validation are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from genenet.config.types import ImageRegion
    from genenet.core.geometry import Triple
    from genenet.init.classes import Classes
    from genenet.init.survey import LabelledLook

REFIT_SHARE = 0.1  # of the labelled voxels: as many are worth training the members again, on all of them


@dataclass(frozen=True)
class Part:
    """An image or a region of it.

    Attributes:
        look: the image.
        region: as config.yaml writes it; None is the whole image.
        counts: (N_IDS,), voxels that were read by label id; the last is for ids that can't be classes.
    """

    look: LabelledLook
    region: ImageRegion | None
    counts: NDArray[np.int64]

    @classmethod
    def whole(cls, look: LabelledLook) -> Part:
        """Return the whole image."""
        return cls(look, None, look.places[0].sum(axis=0))

    @classmethod
    def between(cls, look: LabelledLook, axis: int, start: int, stop: int) -> Part:
        """Return the region from ``start`` to ``stop`` along an axis."""
        z, y, x = ((start, stop) if each == axis else None for each in range(3))
        return cls(look, (z, y, x), look.places[axis][start:stop].sum(axis=0))

    @property
    def shape(self) -> Triple:
        """Voxels along z, y, x."""
        ends = self.region or (None, None, None)
        z, y, x = (i[1] - i[0] if i else n for i, n in zip(ends, self.look.image.shape, strict=True))
        return z, y, x


@dataclass(frozen=True)
class Offer:
    """A cross-validation that would be better.

    Attributes:
        n: number of folds.
        gained: names of the classes that it would learn and score as well.
        is_longer: whether trainings keep their iterations, so that the search takes ``n`` times as long.
    """

    n: int
    gained: list[str]
    is_longer: bool = False


@dataclass(frozen=True)
class Split:
    """What is for training, what for validation, and what to know about it.

    Attributes:
        train: with folds, all images.
        validation: with folds, all images.
        notes: what is unusual.
        folds: the parts that each fold validates on; empty without cross-validation.
        offer: a cross-validation that would be better.
    """

    train: list[Part]
    validation: list[Part]
    notes: list[str] = field(default_factory=list)
    folds: list[list[Part]] = field(default_factory=list)
    offer: Offer | None = None

    @property
    def n_folds(self) -> int:
        """The number of trainings of each network; 1 without cross-validation."""
        return max(1, len(self.folds))

    @property
    def pieces(self) -> list[Part]:
        """The smallest images that networks learn from."""
        return [part for parts in self.folds for part in parts] or self.train

    @property
    def is_of_one_image(self) -> bool:
        """Whether both are regions of one image."""
        return self.train[0].region is not None

    @property
    def n_validation(self) -> int:
        """Voxels of the validation images; with folds, the mean over the folds."""
        return sum(z * y * x for z, y, x in (part.shape for part in self.validation)) // self.n_folds

    def counts(self, classes: Classes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the voxels of each class in training and in validation, both (C,)."""
        train, validation = (_counts(parts, classes) for parts in (self.train, self.validation))
        return train, validation

    def counts_of_folds(self, classes: Classes) -> NDArray[np.int64]:
        """Return the voxels of each class in the validation of each fold, (N_FOLDS, C)."""
        return np.array([_counts(parts, classes) for parts in self.folds])

    def lost(self, classes: Classes) -> list[str]:
        """Return the names of the labelled classes that can't be learnt, or can't be scored by a network that did.

        With folds, these are the classes that one fold only has.
        """
        of_parts = self.counts_of_folds(classes) if self.folds else np.array(self.counts(classes))
        n_with = (of_parts > 0).sum(axis=0)
        return [name for name, n in zip(classes.names, n_with, strict=False) if n == 1]

    def reason_to_refit(self, classes: Classes) -> str | None:
        """Return why the members should be trained again on all images in the end; None if there is little to gain.

        It pays if the validation shows another image, or holds a good part of what was labelled. With folds, it pays
        only if that training is a longer one, since the networks of all folds have learned from all images together.
        """
        if self.folds:
            return f"Each network of the search learns from {self.n_folds - 1} of {self.n_folds} folds"
        if not self.is_of_one_image:
            return (
                "Validation is an image of its own"
                if len(self.validation) == 1
                else "Validation has its own images"
            )
        train, validation = (int(counts.sum()) for counts in self.counts(classes))
        share = validation / max(1, train + validation)
        return f"Validation has {share:.0%} of the labelled voxels" if share >= REFIT_SHARE else None

    def has_two_classes(self, classes: Classes) -> bool:
        """Return whether training and validation have two classes at least."""
        return all((counts > 0).sum() >= 2 for counts in self.counts(classes))

    def lacks(self, classes: Classes) -> tuple[int, int]:
        """Return how many of the labelled classes are missing from training, and how many from validation."""
        train, validation = self.counts(classes)
        exists = train + validation > 0
        return int((exists & (train == 0)).sum()), int((exists & (validation == 0)).sum())

    def distance(self, classes: Classes) -> float:
        """Return the difference between the class frequencies of both parts, 0 to 2."""
        train, validation = self.counts(classes)
        return float(np.abs(train / max(1, train.sum()) - validation / max(1, validation.sum())).sum())


def _counts(parts: Iterable[Part], classes: Classes) -> NDArray[np.int64]:
    """Return the voxels of each class in all parts together, (C,)."""
    total: NDArray[np.int64] = np.sum([part.counts[classes.columns] for part in parts], axis=0)
    return total
