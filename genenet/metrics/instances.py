"""Scores of numbered objects against true ones.

A true and a predicted object match if their intersection over union (IoU) is above one half: then neither can match
another. Sources:

    Average precision at an IoU: TP / (TP + FP + FN), as in the Data Science Bowl 2018 (Caicedo et al. 2019, Nucleus
    segmentation across imaging experiments, Nature Methods 16, 1247-1253).
    Panoptic quality: Kirillov et al. (2019), Panoptic segmentation, CVPR, eq. 1.
    Adapted Rand error and variation of information: ``genenet.metrics.partitions``. Voxels of no true object are left
    out, as in the CREMI challenge; those of no predicted object count as one more object.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.metrics.instance_scores import SizeClass
from genenet.metrics.partitions import adapted_rand, conditional_entropy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genenet.metrics.instance_overlaps import OverlapTable

    Counts = NDArray[np.int64]
    Indices = NDArray[np.intp]

MATCH = 0.5  # objects with a larger IoU match


def n_matched(table: OverlapTable, iou: float = MATCH) -> int:
    """Return how many true objects match a predicted one, with an IoU above ``iou``, which is at least 0.5."""
    return int((table.iou > iou).sum())


def _errors(table: OverlapTable, iou: float) -> tuple[int, int]:
    """Return the numbers of predicted and of true objects without a match."""
    matched = n_matched(table, iou)
    return len(table.predicted_objects[0]) - matched, len(table.true_objects[0]) - matched


def _ratio(a: float, b: float) -> float:
    return a / b if b else math.nan


def average_precision_50(table: OverlapTable) -> float:
    """Return the matches at IoU 0.5, divided by all objects, matches counted once."""
    return _ratio(matched := n_matched(table), matched + sum(_errors(table, MATCH)))


def average_precision_75(table: OverlapTable) -> float:
    """Return the matches at IoU 0.75, divided by all objects, matches counted once."""
    return _ratio(matched := n_matched(table, 0.75), matched + sum(_errors(table, 0.75)))


def f1(table: OverlapTable) -> float:
    """Return the harmonic mean of the shares of predicted and of true objects that match."""
    return _ratio(2 * (matched := n_matched(table)), 2 * matched + sum(_errors(table, MATCH)))


def panoptic_quality(table: OverlapTable) -> float:
    """Return the sum of the matches' IoU, divided by the mean number of true and predicted objects."""
    matched = n_matched(table)
    return _ratio(float(table.iou[table.iou > MATCH].sum()), matched + sum(_errors(table, MATCH)) / 2)


def _inside_true(table: OverlapTable) -> tuple[Counts, Indices, Indices]:
    """Return the counts (n,) of voxels in true objects, and for each the indices of its true and predicted object."""
    rows = table.true != 0
    true, predicted = (np.unique(ids[rows], return_inverse=True)[1] for ids in (table.true, table.predicted))
    return table.voxels[rows], true, predicted


def _sums(places: Indices, voxels: Counts) -> Counts:
    sums = np.zeros(int(places.max(initial=-1)) + 1, np.int64)
    np.add.at(sums, places, voxels)
    return sums


def adapted_rand_error(table: OverlapTable) -> float:
    """Return 1 - F score of the pairs of voxels that share an object, in true objects."""
    voxels, true, predicted = _inside_true(table)
    return adapted_rand(voxels, _sums(true, voxels), _sums(predicted, voxels)).error


def vi_split(table: OverlapTable) -> float:
    """Return the conditional entropy H(predicted | true) in bits, in true objects."""
    voxels, true, _ = _inside_true(table)
    return conditional_entropy(voxels, _sums(true, voxels)[true])


def vi_merge(table: OverlapTable) -> float:
    """Return the conditional entropy H(true | predicted) in bits, in true objects."""
    voxels, _, predicted = _inside_true(table)
    return conditional_entropy(voxels, _sums(predicted, voxels)[predicted])


def n_split(table: OverlapTable) -> float:
    """Return how many more pieces than one the true objects have: predicted objects that lie mostly in them."""
    return float(np.maximum(_n_inside(table)[0] - 1, 0).sum())


def n_merged(table: OverlapTable) -> float:
    """Return how many more true objects than one lie mostly in the predicted objects."""
    return float(np.maximum(_n_inside(table)[1] - 1, 0).sum())


def n_false(table: OverlapTable) -> float:
    """Return how many predicted objects lie mostly where there is no object."""
    of_predicted = table.sizes[1]
    return float(((table.true == 0) & (table.predicted != 0) & (2 * table.voxels > of_predicted)).sum())


def n_missed(table: OverlapTable) -> float:
    """Return how many true objects lie mostly where nothing is predicted."""
    of_true = table.sizes[0]
    return float(((table.predicted == 0) & (table.true != 0) & (2 * table.voxels > of_true)).sum())


def _n_inside(table: OverlapTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each true object the predicted ones with more than half of their voxels in it; and the reverse."""
    of_true, of_predicted = table.sizes
    pieces = table.true[table.are_objects & (2 * table.voxels > of_predicted)]
    contents = table.predicted[table.are_objects & (2 * table.voxels > of_true)]
    found = []
    for all_of_them, named in ((table.true_objects[0], pieces), (table.predicted_objects[0], contents)):
        found.append(np.bincount(np.searchsorted(all_of_them, named), minlength=len(all_of_them)))
    return found[0], found[1]


def by_size(table: OverlapTable) -> list[SizeClass]:
    """Return what became of the true objects of each size, in powers of ten voxels, smallest first."""
    voxels = table.true_objects[1]
    names = _fates(table)
    decades = np.floor(np.log10(np.maximum(voxels, 1))).astype(int)
    found = []
    for decade in np.unique(decades).tolist():
        here = decades == decade
        counts: dict[str, Any] = {
            name: int((names[here] == index).sum())
            for index, name in enumerate(("found", "merged", "split", "missed"))
        }
        found.append(SizeClass(from_voxels=10**decade, to_voxels=10 ** (decade + 1) - 1, **counts))
    return found


def _fates(table: OverlapTable) -> NDArray[np.int64]:
    """Return of each true object whether it is found (0), merged (1), split (2) or missed (3)."""
    ids = table.true_objects[0]
    n_pieces, n_contents = _n_inside(table)
    fates = np.where(n_pieces > 1, 2, 3)
    rows = table.are_objects & (2 * table.voxels > table.sizes[0])
    with_others = n_contents[np.searchsorted(table.predicted_objects[0], table.predicted[rows])] > 1
    fates[np.searchsorted(ids, table.true[rows][with_others])] = 1
    fates[np.searchsorted(ids, table.true[table.iou > MATCH])] = 0
    return fates
