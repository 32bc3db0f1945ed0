"""Scores of class labels from Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from genenet.api.arrays import labels_of, mask_of, volume_of
from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.core.ignore import IGNORE
from genenet.metrics.contingency import Contingency, scores
from genenet.volumes.labels import ClassLabels, check_integers, check_type, first_label


def score(
    labels: ArrayLike,
    predicted: ArrayLike,
    *,
    classes: Sequence[str] | None = None,
    ignore_label: int | None = None,
) -> dict[str, Any]:
    """Compare classes with labels: ``ari`` (1 is perfect), ``accuracy``, ``mean_iou``, ``iou`` of each class.

    Args:
        labels: true class ids, integers of any 2D or 3D shape; from 1 on if ``ignore_label`` is 0.
        predicted: class ids from 0 on, integers of the same shape.
        classes: names by label id; by default there are as many classes as the largest id requires.
        ignore_label: voxels with this label aren't counted, nor are masked ones of numpy masked arrays.

    Returns:
        The scores by name; ``None`` where one isn't defined.

    Raises:
        InputError: If the arrays don't hold integers, differ in shape, or hold ids that aren't classes.

    Example:
        >>> import genenet
        >>> scores = genenet.score([[0, 0, 1], [0, 1, 1]], [[0, 0, 1], [1, 1, 1]])
        >>> round(scores["accuracy"], 3), scores["iou"]
        (0.833, [0.6666666666666666, 0.75])
    """
    prediction = volume_of(predicted, "predicted")
    check_type(prediction, "the classes are {}; give class ids as integers")
    given, ignored = labels_of(labels, "labels", ignore_label)
    truth = check_integers(given, prediction, "labels are {}; give integers")
    whole = Box.of_shape(truth.shape)
    ids, found = truth.read(whole), prediction.read(whole)
    inside = mask_of(predicted, "predicted")
    if inside:
        found[inside.read(whole) == 0] = 0  # ignored, whatever its value is
    known = ids[ids != ignored] if ignored is not None else ids
    largest = max(int(known.max(initial=0)) - first_label(ignored), int(found.max(initial=0)))
    n = len(classes) if classes is not None else 1 + largest
    if n > IGNORE:
        raise InputError(f"labels: ids up to {n - 1}; {IGNORE} classes are possible, from 0 on")
    contingency = Contingency.empty(n)
    true = ClassLabels(truth, n, ignored, inside).read(whole)
    if found.size and not 0 <= found.min() <= found.max() < n:
        raise InputError(
            f"predicted: ids {found.min()} to {found.max()}; those of {n} classes are 0 to {n - 1}"
        )
    contingency.add(true, found)
    return scores(contingency, classes)
