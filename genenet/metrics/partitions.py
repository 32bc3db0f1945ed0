"""Scores of two partitions of the same voxels, from the numbers of voxels in their parts.

Numbers of pairs of voxels are Python integers, since they exceed 64 bits from about 4e9 voxels on, and products of two
such numbers much earlier.

Sources:
    Adapted Rand error: Arganda-Carreras et al. (2015), Crowdsourcing the creation of image segmentation
    algorithms for connectomics, Front. Neuroanat. 9:142.
    Variation of information: Meilă (2007), Comparing clusterings, J. Multivariate Analysis 98, 873-895.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]


class AdaptedRand(NamedTuple):
    """Scores of the pairs of voxels that are in the same part: of the same class, or of the same object.

    Precision is the share of the prediction's pairs that are also pairs of the truth (merging lowers it). Recall is the
    share of the truth's pairs that are also pairs of the prediction (splitting lowers it). They are nan where there is
    no pair. ``error`` is 1 - their harmonic mean.
    """

    error: float
    precision: float
    recall: float


class VariationOfInformation(NamedTuple):
    """Conditional entropies in bits; their sum is the variation of information."""

    split: float  # H(prediction | truth): true parts are split
    merge: float  # H(truth | prediction): true parts are merged


def pairs_of(n: int) -> int:
    """Return the number of pairs of n voxels."""
    return n * (n - 1) // 2


def pairs_inside(counts: Counts) -> int:
    """Return the number of pairs of voxels that are in the same part, for the voxels of each part."""
    return sum(map(pairs_of, counts.ravel().tolist()))


def ratio(part: int, whole: int) -> float:
    """Return the part's share of the whole; nan if the whole is 0."""
    # Python divides integers of any size with one rounding
    return part / whole if whole else math.nan


def adapted_rand(both: Counts, true: Counts, predicted: Counts) -> AdaptedRand:
    """Return adapted Rand error, precision and recall; nan without voxels.

    The error is that of ``skimage.metrics.adapted_rand_error``. Precision and recall are swapped there: the values that
    scikit-image 0.26 returns contradict its documentation (its issue 6485), which is followed here. If neither side has
    a pair of voxels, the error is 0.

    Args:
        both: voxels of each pair of a true and a predicted part, of any shape.
        true: voxels of each true part.
        predicted: voxels of each predicted part.
    """
    in_both, in_true, in_predicted = pairs_inside(both), pairs_inside(true), pairs_inside(predicted)
    error = ratio(in_true + in_predicted - 2 * in_both, in_true + in_predicted)
    if math.isnan(error) and true.any():
        error = 0.0
    return AdaptedRand(error, precision=ratio(in_both, in_predicted), recall=ratio(in_both, in_true))


def conditional_entropy(counts: Counts, wholes: Counts) -> float:
    """Return the entropy of one partition given the other, in bits; nan without voxels.

    It is the sum of n_ij / n * log2(n_i / n_ij). All terms are positive, and log1p keeps those of nearly pure parts
    exact; a difference of entropies would suffer from cancellation.

    Args:
        counts: (P,) voxels n_ij of each pair of parts that occurs.
        wholes: (P,) voxels n_i of the pair's part in the given partition.
    """
    n = int(counts.sum())
    if n == 0:
        return math.nan
    return float((counts / n * np.log1p((wholes - counts) / counts)).sum() / math.log(2))
