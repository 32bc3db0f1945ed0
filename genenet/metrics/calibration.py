"""How far class probabilities are error rates, and the temperature that brings them closer to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax

from genenet.core.ignore import IGNORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BINS = 20  # of confidence, from 0 to 1
FLOOR = 1 / 510  # half of the distance between two stored levels; smaller probabilities are raised to it
COOLEST, HOTTEST = 0.1, 10.0  # temperatures between which the best one is sought
LARGEST_PRIOR = 4.0  # factor of a class's probability; the smallest one is its inverse
PRIOR_L2 = 1e-3  # weight of the squared logarithms of the factors, beside the mean surprise


def with_temperature(p: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """Return class probabilities (C, …) to the power of 1/temperature, divided by their sum.

    The most probable class stays the same. A temperature above 1 makes the probabilities more equal.
    """
    powers = np.maximum(p, FLOOR) ** (1 / temperature)
    shares: NDArray[np.float64] = powers / powers.sum(axis=0)
    return shares


def best_temperature(labels: NDArray[np.uint8], p: NDArray[np.floating]) -> float:
    """Return the temperature under which the labels are most probable (Guo et al. 2017, section 4.2).

    Args:
        labels: (N,) class ids.
        p: (C, N) class probabilities.

    Returns:
        The temperature, rounded to four digits; 1 if there are no labelled voxels. The mean surprise is convex in its
        inverse, so the minimum is the only one.
    """
    known = labels != IGNORE
    truth, logits = labels[known].astype(np.intp), np.log(np.maximum(p[:, known], FLOOR))
    if not len(truth):
        return 1.0

    def surprise(log_inverse: float) -> float:
        of_classes = log_softmax(math.exp(log_inverse) * logits, axis=0)
        return -float(np.take_along_axis(of_classes, truth[None], axis=0).mean())

    limits = -math.log(HOTTEST), -math.log(COOLEST)
    found = minimize_scalar(surprise, bounds=limits, method="bounded", options={"xatol": 1e-6})
    return float(f"{math.exp(-found.x):.4g}")


def _zeros() -> NDArray[np.float64]:
    return np.zeros(BINS)


def with_priors(p: NDArray[np.floating], priors: Sequence[float]) -> NDArray[np.float64]:
    """Return class probabilities (C, …) times a factor for each class, divided by their sum.

    The factors are what other frequencies of the classes in another volume amount to (Saerens, Latinne and Decaestecker
    2002, eq. 2.4). Without factors, the probabilities stay the same.
    """
    if not len(priors):
        return p.astype(np.float64)
    products = p * np.reshape(priors, (-1, *[1] * (p.ndim - 1)))
    shares: NDArray[np.float64] = products / products.sum(axis=0)
    return shares


def best_priors(labels: NDArray[np.uint8], p: NDArray[np.floating]) -> list[float]:
    """Return the factors of the class probabilities under which the labels are most probable.

    A class that the labels don't show keeps the factor 1, and the geometric mean of the others is 1, so that no class
    is forgotten because the labels don't show it.

    Args:
        labels: (N,) class ids.
        p: (C, N) class probabilities, with the temperature.

    Returns:
        A factor for each class, rounded to four digits, between LARGEST_PRIOR and its inverse.
    """
    known = labels != IGNORE
    truth, logs = labels[known].astype(np.intp), np.log(np.maximum(p[:, known], FLOOR))
    shown = np.unique(truth)
    if len(shown) < 2:
        return [1.0] * len(p)
    shares = np.bincount(truth, minlength=len(p)) / len(truth)

    def surprise(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        factors = np.zeros(len(p))
        factors[shown] = values - values.mean()
        of_classes = log_softmax(logs + factors[:, None], axis=0)
        mean = -float(np.take_along_axis(of_classes, truth[None], axis=0).mean())
        slope = (softmax(logs + factors[:, None], axis=0).mean(axis=1) - shares + 2 * PRIOR_L2 * factors)[
            shown
        ]
        return mean + PRIOR_L2 * float(np.square(factors).sum()), slope - slope.mean()

    found = minimize(surprise, np.zeros(len(shown)), jac=True, method="L-BFGS-B").x
    limit = math.log(LARGEST_PRIOR)
    factors = np.zeros(len(p))
    factors[shown] = np.clip(found - found.mean(), -limit, limit)
    return [float(f"{factor:.4g}") for factor in np.exp(factors)]


@dataclass
class Reliability:
    """Sums over labelled voxels, by bin of confidence: the probability of the most probable class.

    Attributes:
        n_voxels: (BINS,) voxels.
        confidence: (BINS,) sums of their confidence.
        correct: (BINS,) voxels whose most probable class is the true one.
        squares: sum of the squared distances between probabilities (C,) and one-hot labels.
    """

    n_voxels: NDArray[np.float64] = field(default_factory=_zeros)
    confidence: NDArray[np.float64] = field(default_factory=_zeros)
    correct: NDArray[np.float64] = field(default_factory=_zeros)
    squares: float = 0.0

    def add(self, labels: NDArray[np.uint8], p: NDArray[np.floating]) -> None:
        """Add voxels: their labels (…), and their class probabilities (C, …)."""
        known = labels != IGNORE
        truth, of_known = labels[known].astype(np.intp), p[:, known].astype(np.float64)
        confidence = of_known.max(axis=0)
        bins = np.minimum((confidence * BINS).astype(np.intp), BINS - 1)
        is_correct = of_known.argmax(axis=0) == truth
        for sums, values in (
            (self.n_voxels, None),
            (self.confidence, confidence),
            (self.correct, is_correct),
        ):
            sums += np.bincount(bins, values, minlength=BINS)
        of_truth = np.take_along_axis(of_known, truth[None], axis=0)[0]
        self.squares += float((np.square(of_known).sum(axis=0) - 2 * of_truth + 1).sum())

    @property
    def expected_error(self) -> float | None:
        """Expected calibration error: the mean distance between confidence and share of correct voxels, over bins.

        Bins count as their voxels do (Naeini et al. 2015; Guo et al. 2017, eq. 3). None if there are no voxels.
        """
        total = self.n_voxels.sum()
        return float(np.abs(self.confidence - self.correct).sum() / total) if total else None

    @property
    def brier(self) -> float | None:
        """Brier score (1950): the mean squared distance from the labels, 0 to 2. None if there are no voxels."""
        total = self.n_voxels.sum()
        return float(self.squares / total) if total else None

    def as_dict(self) -> dict[str, Any]:
        """Return the two scores, and the points of the reliability diagram."""
        filled = self.n_voxels > 0
        of_bins = np.stack([self.confidence, self.correct])[:, filled] / self.n_voxels[filled]
        return {
            "expected_calibration_error": self.expected_error,
            "brier": self.brier,
            "confidence": of_bins[0].tolist(),
            "correct": of_bins[1].tolist(),
            "voxels": self.n_voxels[filled].astype(int).tolist(),
        }
