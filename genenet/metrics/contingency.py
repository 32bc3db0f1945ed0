"""Scores of a segmentation from a contingency table, which is accumulated slab by slab.

Counts are 64-bit integers.

Source:
    Adjusted Rand index: Hubert and Arabie (1985), Comparing partitions, J. Classification 2, 193-218.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genenet.core.ignore import IGNORE
from genenet.metrics.partitions import (
    AdaptedRand,
    VariationOfInformation,
    adapted_rand,
    conditional_entropy,
    pairs_inside,
    pairs_of,
    ratio,
)
from genenet.metrics.scores import ClassScores
from genenet.metrics.table import METRICS

CHUNK_VOXELS = 2**22  # counted at a time, since counting takes about 30 bytes for each voxel
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Contingency:
    """``table[i, j]``: number of voxels of true class i that were predicted as class j; (C, C) int64."""

    table: Counts

    def __post_init__(self) -> None:
        shape = self.table.shape
        if self.table.dtype != np.int64 or len(shape) != 2 or shape[0] != shape[1] or shape[0] > IGNORE:
            raise ValueError(
                f"table has shape {shape} of {self.table.dtype}; it must be (C, C) of int64, C <= {IGNORE}"
            )

    @classmethod
    def empty(cls, n_classes: int) -> Contingency:
        """Return a table of zeros."""
        return cls(np.zeros((n_classes, n_classes), np.int64))

    def __add__(self, other: Contingency) -> Contingency:
        """Return the sum of two tables.

        Raises:
            ValueError: For unequal numbers of classes (numpy would broadcast a table of one class).
        """
        if len(self.table) != len(other.table):
            raise ValueError(f"tables of {len(self.table)} and {len(other.table)} classes can't be merged")
        return Contingency(self.table + other.table)

    def add(self, truth: Any, prediction: Any) -> None:
        """Count the voxels of arrays of equal shape, except those whose truth is IGNORE.

        Raises:
            ValueError: For unequal shapes, types other than integers, and ids that aren't classes. The table then stays
                unchanged.
        """
        truth, prediction = np.asarray(truth), np.asarray(prediction)
        if truth.shape != prediction.shape:
            raise ValueError(f"truth has shape {truth.shape}, prediction {prediction.shape}; they must agree")
        truth, prediction = truth.reshape(-1), prediction.reshape(-1)
        n = len(self.table)
        counts = np.zeros_like(self.table)
        for start in range(0, truth.size, CHUNK_VOXELS):
            chunk = slice(start, start + CHUNK_VOXELS)
            counts += _count(truth[chunk], prediction[chunk], n)
        self.table[...] += counts

    @property
    def n_voxels(self) -> int:
        """Number of voxels that were counted."""
        return int(self.table.sum())

    @property
    def n_true_classes(self) -> int:
        """Number of classes that the truth shows."""
        return int(np.count_nonzero(self.table.sum(axis=1)))

    @property
    def adjusted_rand_index(self) -> float:
        """ARI over class labels, as ``sklearn.metrics.adjusted_rand_score``.

        It is 1 if both partitions are the same, also if both have only one class. Without voxels it is nan, where
        scikit-learn returns 1: nothing was measured, and a ranking must not take that for a perfect score.
        """
        if self.n_voxels == 0:
            return math.nan
        both, true, predicted = self._pairs
        if both == true == predicted:
            return 1.0
        everything = pairs_of(self.n_voxels)
        # Index, expectation and maximum of Hubert and Arabie, each times 2 * everything, to divide only once
        above_chance = 2 * (both * everything - true * predicted)
        return above_chance / ((true + predicted) * everything - 2 * true * predicted)

    @property
    def _pairs(self) -> tuple[int, int, int]:
        """Number of pairs of voxels in one class: in both partitions, in the truth, in the prediction."""
        rows, columns = self.table.sum(axis=1), self.table.sum(axis=0)
        return pairs_inside(self.table), pairs_inside(rows), pairs_inside(columns)

    @property
    def accuracy(self) -> float:
        """Share of voxels with the right class; nan without voxels."""
        return ratio(int(np.trace(self.table)), self.n_voxels)

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each class, (C,); nan for a class that neither truth nor prediction has."""
        hits = np.diag(self.table)
        unions = self.table.sum(axis=0) + self.table.sum(axis=1) - hits
        return np.array([ratio(h, u) for h, u in zip(hits.tolist(), unions.tolist(), strict=True)])

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes that occur in the truth or the prediction; nan without voxels.

        A class that is predicted but never true counts with an IoU of 0; otherwise predicting it would cost nothing.
        """
        iou = self.iou
        occurs = ~np.isnan(iou)
        return float(iou[occurs].mean()) if occurs.any() else math.nan

    @property
    def adapted_rand(self) -> AdaptedRand:
        """Adapted Rand error, precision and recall over all classes; nan without voxels.

        The error is that of ``skimage.metrics.adapted_rand_error`` with ``ignore_labels=()``.
        """
        return adapted_rand(self.table, self.table.sum(axis=1), self.table.sum(axis=0))

    @property
    def adapted_rand_error(self) -> float:
        """The error of ``adapted_rand``."""
        return self.adapted_rand.error

    @property
    def variation_of_information(self) -> VariationOfInformation:
        """(split, merge) in bits, the order of ``skimage.metrics.variation_of_information``; nan without voxels."""
        return VariationOfInformation(_conditional_entropy(self.table), _conditional_entropy(self.table.T))


def _count(truth: NDArray[Any], prediction: NDArray[Any], n_classes: int) -> Counts:
    """Return the (C, C) table of 1D arrays of class ids."""
    counted = truth != IGNORE
    true = _class_ids("truth", truth[counted], n_classes)
    predicted = _class_ids("prediction", prediction[counted], n_classes)
    counts = np.bincount(true * n_classes + predicted, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes).astype(np.int64, copy=False)


def _class_ids(what: str, ids: NDArray[Any], n_classes: int) -> Counts:
    """Return the ids as int64, checked before the cast could change them."""
    if ids.dtype.kind not in "biu":
        raise ValueError(f"{what} is of type {ids.dtype}; class ids are integers")
    if ids.size and not 0 <= ids.min() <= ids.max() < n_classes:
        allowed = f"those of {n_classes} classes are 0 to {n_classes - 1}"
        raise ValueError(f"{what} has ids {ids.min()} to {ids.max()}; {allowed}")
    return ids.astype(np.int64)


def _conditional_entropy(table: Counts) -> float:
    """Entropy of the column given the row, in bits; nan without voxels."""
    rows, columns = table.nonzero()
    return conditional_entropy(table[rows, columns], table.sum(axis=1)[rows])


def ari_of_several_classes(contingency: Contingency) -> float:
    """Return the adjusted Rand index; nan if the truth shows fewer than two classes.

    With one class in the truth the index is 1 for a constant prediction and 0 for any other one, however good it is:
    such a score must not rank networks.
    """
    return contingency.adjusted_rand_index if contingency.n_true_classes > 1 else math.nan


def variation_of_information_split(contingency: Contingency) -> float:
    """Return H(prediction | truth) in bits."""
    return contingency.variation_of_information.split


def variation_of_information_merge(contingency: Contingency) -> float:
    """Return H(truth | prediction) in bits."""
    return contingency.variation_of_information.merge


def class_scores(contingency: Contingency, class_names: Sequence[str] | None = None) -> ClassScores:
    """Return all metrics of the table, and the counts; a metric that isn't defined is None.

    Raises:
        ValueError: If there are more or fewer names than classes.
    """
    n_classes = len(contingency.table)
    if class_names is not None and len(class_names) != n_classes:
        raise ValueError(f"{len(class_names)} class names for {n_classes} classes")
    return ClassScores(
        n_voxels=contingency.n_voxels,
        metrics={name: _defined(metric.function()(contingency)) for name, metric in METRICS.items()},
        iou=[_defined(value) for value in contingency.iou.tolist()],
        confusion=contingency.table.tolist(),
        class_names=None if class_names is None else list(class_names),
    )


def scores(contingency: Contingency, class_names: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the same for JSON."""
    return class_scores(contingency, class_names).model_dump(mode="json")


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
