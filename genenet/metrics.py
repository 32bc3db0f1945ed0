"""Scores of a segmentation from one contingency table, which is accumulated slab by slab.

Sources: Hubert and Arabie (1985) for the adjusted Rand index, Arganda-Carreras et al. (2015) for the adapted
Rand error, Meilă (2007) for the variation of information.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORE = 255  # the label of voxels that are neither learnt nor scored
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Contingency:
    """``table[i, j]``: voxels of true class i that were given class j; (C, C) int64, so up to 9e18 voxels."""

    table: Counts

    @classmethod
    def empty(cls, n_classes: int) -> Contingency:
        """Return a table of zeros."""
        return cls(np.zeros((n_classes, n_classes), np.int64))

    def __add__(self, other: Contingency) -> Contingency:
        """Return the table of both parts."""
        return Contingency(self.table + other.table)

    def add(self, truth: Any, prediction: Any) -> None:
        """Count voxels; arrays of equal shape. Those whose truth is IGNORE are left out.

        Raises:
            ValueError: For unequal shapes, or ids that are no classes.
        """
        truth, prediction = np.asarray(truth), np.asarray(prediction)
        if truth.shape != prediction.shape:
            raise ValueError(f"truth has shape {truth.shape}, prediction {prediction.shape}; they must agree")
        counted = truth != IGNORE
        pairs = [a[counted].astype(np.int64) for a in (truth, prediction)]
        n = len(self.table)
        for what, ids in zip(("truth", "prediction"), pairs, strict=True):
            if ids.size and not 0 <= ids.min() <= ids.max() < n:
                raise ValueError(
                    f"{what} has ids {ids.min()} to {ids.max()}; those of {n} classes are 0 to {n - 1}"
                )
        self.table[...] += np.bincount(pairs[0] * n + pairs[1], minlength=n * n).reshape(n, n)

    @property
    def n_voxels(self) -> int:
        """Voxels that were counted."""
        return int(self.table.sum())

    @property
    def adjusted_rand_index(self) -> float:
        """ARI over class labels, as ``sklearn.metrics.adjusted_rand_score``; nan without voxels.

        Pairs are counted in Python's integers: at 10^9 voxels they no longer fit into 64 bits.
        """
        if self.n_voxels == 0:
            return math.nan
        both, true, predicted = self._pairs
        everything = _pairs(self.n_voxels)
        apart = (true - both) + (predicted - both)  # pairs that one joins and the other separates
        if apart == 0:
            return 1.0
        neither = everything - true - predicted + both
        tp, fp, fn, tn = both, predicted - both, true - both, neither
        return 2 * (tp * tn - fn * fp) / ((tp + fn) * (fn + tn) + (tp + fp) * (fp + tn))

    @property
    def _pairs(self) -> tuple[int, int, int]:
        """Pairs of voxels that both, the truth, the prediction put into one class."""
        rows, columns = self.table.sum(axis=1), self.table.sum(axis=0)
        both, true, predicted = (sum(_pairs(int(n)) for n in a.ravel()) for a in (self.table, rows, columns))
        return both, true, predicted

    @property
    def accuracy(self) -> float:
        """Share of voxels with the right class; nan without voxels."""
        return _ratio(int(np.trace(self.table)), self.n_voxels)

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each class, (C,); nan where neither has it."""
        hits = np.diag(self.table)
        unions = self.table.sum(axis=0) + self.table.sum(axis=1) - hits
        return np.array([_ratio(int(h), int(u)) for h, u in zip(hits, unions, strict=True)])

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes that occur in the truth or the prediction; nan without voxels."""
        iou = self.iou
        occurs = ~np.isnan(iou)
        return float(iou[occurs].mean()) if occurs.any() else math.nan

    @property
    def adapted_rand_error(self) -> float:
        """1 - F-score of the pairs over all classes, as scikit-image without ignored labels; nan without voxels."""
        both, true, predicted = self._pairs
        if true + predicted == 0:
            return 0.0 if self.n_voxels else math.nan
        return 1 - 2 * both / (true + predicted)

    @property
    def variation_of_information(self) -> tuple[float, float]:
        """Conditional entropies in bits: (split H(prediction | truth), merge H(truth | prediction))."""
        if self.n_voxels == 0:
            return math.nan, math.nan
        joint, true, predicted = (
            _entropy(a / self.n_voxels) for a in (self.table, self.table.sum(axis=1), self.table.sum(axis=0))
        )
        return max(0.0, joint - true), max(0.0, joint - predicted)


def _pairs(n: int) -> int:
    return n * (n - 1) // 2


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _entropy(shares: NDArray[np.float64]) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log2(positive)).sum())


def scores(contingency: Contingency) -> dict[str, Any]:
    """Return all scores for JSON; what isn't defined is None."""
    split, merge = contingency.variation_of_information
    values = {
        "n_voxels": contingency.n_voxels,
        "ari": contingency.adjusted_rand_index,
        "accuracy": contingency.accuracy,
        "mean_iou": contingency.mean_iou,
        "adapted_rand_error": contingency.adapted_rand_error,
        "variation_of_information_split": split,
        "variation_of_information_merge": merge,
    }
    return {
        **{name: None if math.isnan(value) else value for name, value in values.items()},
        "iou": [None if math.isnan(value) else float(value) for value in contingency.iou],
    }


def adjusted_rand_index(truth: Any, prediction: Any) -> float:
    """Return the ARI of two label arrays in memory, by scikit-learn; voxels whose truth is IGNORE are left out."""
    from sklearn.metrics import adjusted_rand_score

    truth, prediction = np.asarray(truth), np.asarray(prediction)
    counted = truth != IGNORE
    return float(adjusted_rand_score(truth[counted], prediction[counted]))
