"""An ensemble's squared error, split into its members' and their ambiguity (Krogh and Vedelsby 1995)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genenet.core.ignore import IGNORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass
class Decomposition:
    """Sums over labelled voxels of squared distances between probabilities (C,) and one-hot labels (C,).

    Krogh and Vedelsby (1995), eq. 6: for a weighted mean, error = mean error of the members - ambiguity holds exactly.
    Each of the three is a mean over voxels, from 0 to 2.
    """

    n_voxels: int = 0
    error_sum: float = 0.0
    member_sum: float = 0.0
    ambiguity_sum: float = 0.0

    @property
    def error(self) -> float:
        """Squared error of the ensemble's mean."""
        return self.error_sum / max(1, self.n_voxels)

    @property
    def member_error(self) -> float:
        """Weighted mean of the members' squared errors."""
        return self.member_sum / max(1, self.n_voxels)

    @property
    def ambiguity(self) -> float:
        """Weighted mean of the members' squared distances from the ensemble's mean."""
        return self.ambiguity_sum / max(1, self.n_voxels)

    def as_dict(self) -> dict[str, float]:
        """Return the three means."""
        return {
            "squared_error": self.error,
            "member_squared_error": self.member_error,
            "ambiguity": self.ambiguity,
        }


LEVELS = 255.0  # the stored level of probability 1


class Growing:
    """The ensemble of the members added so far, on one set of voxels.

    Args:
        labels: class ids of any shape.
        n_classes: of the probabilities.
    """

    def __init__(self, labels: NDArray[np.uint8], n_classes: int) -> None:
        self.labels = labels
        self.known = labels != IGNORE
        # sum of weight times levels: exact for equal weights
        self.total = np.zeros((n_classes, *labels.shape))
        self.squares = np.zeros(labels.shape)  # sum of weight times |p|²
        self.errors = np.zeros(labels.shape)
        self.weight = 0.0

    def add(self, levels: NDArray[np.uint8], weight: float) -> None:
        """Add a member's probabilities, (C, …) in 255 levels."""
        p = levels / LEVELS
        length = np.square(p).sum(axis=0)
        self.total += float(weight) * levels  # an integer times uint8 would wrap around
        self.squares += weight * length
        self.errors += weight * (length - 2 * self._of_truth(p) + 1)
        self.weight += weight

    def most_probable(self) -> NDArray[np.int64]:
        """Return the ensemble's classes."""
        found: NDArray[np.int64] = self.total.argmax(axis=0)
        return found

    def mean(self) -> NDArray[np.float64]:
        """Return the ensemble's probabilities, (C, …)."""
        found: NDArray[np.float64] = self.total / (self.weight * LEVELS)
        return found

    def count(self, into: Decomposition) -> None:
        """Add the errors of the ensemble so far to a decomposition."""
        mean = self.mean()
        length = np.square(mean).sum(axis=0)
        into.n_voxels += int(self.known.sum())
        into.error_sum += float((length - 2 * self._of_truth(mean) + 1)[self.known].sum())
        into.member_sum += float(self.errors[self.known].sum() / self.weight)
        into.ambiguity_sum += float((self.squares / self.weight - length)[self.known].sum())

    def _of_truth(self, p: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of each voxel's true class; unlabelled voxels have an arbitrary value."""
        truth = np.where(self.known, self.labels, 0)
        found: NDArray[np.float64] = np.take_along_axis(p, truth[None].astype(np.int64), axis=0)[0]
        return found


def votes(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return 255 for the most probable class and 0 for the others, (C, …); ties go to the first class."""
    classes = np.arange(len(levels)).reshape(-1, *[1] * (levels.ndim - 1))
    return np.where(levels.argmax(axis=0)[None] == classes, np.uint8(LEVELS), np.uint8(0))


def equal_weights(scores: Sequence[float]) -> list[float]:
    """Return a weight of 1 for each member."""
    return [1.0 for _ in scores]


def score_weights(scores: Sequence[float]) -> list[float]:
    """Return the validation score of each member as its weight; values of 0 and less become 0.001."""
    return [max(score, 1e-3) for score in scores]
