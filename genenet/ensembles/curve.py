"""Scores of the ensembles of the first 1, 2, … networks on the validation images, from stored probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from genenet.config.ensemble import COMBINATIONS
from genenet.config.selection_metrics import RANKING_METRIC
from genenet.core.errors import InputError
from genenet.ensembles.description import EnsembleScores
from genenet.metrics.ambiguity import Decomposition, Growing, votes
from genenet.metrics.contingency import Contingency, class_scores
from genenet.metrics.table import score_of_counts
from genenet.training.probabilities import open_probabilities

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import ExitStack

    from genenet.core.paths import RunPaths
    from genenet.training.prepared import Prepared


@dataclass
class Point:
    """A size on the best-k curve: the ensemble of that many members on the validation images."""

    contingency: Contingency
    decomposition: Decomposition

    @property
    def scores(self) -> EnsembleScores:
        """The ensemble's scores on the validation images."""
        of_classes = class_scores(self.contingency).model_dump()
        return EnsembleScores.model_validate({**of_classes, **self.decomposition.as_dict()})


def curve_of(
    labels: Sequence[Any],
    probabilities: Sequence[Sequence[Any]],
    scores: Sequence[float],
    n_classes: int,
    combination: str,
) -> list[Point]:
    """Return the scores of the ensembles of the first 1, 2, … networks, computed slice by slice.

    Args:
        labels: (Z, Y, X) of each image.
        probabilities: of each network, of each image, (C, Z, Y, X) in 255 levels.
        scores: of each network on the validation images.
        n_classes: C.
        combination: of the members, a name of COMBINATIONS.
    """
    way, sizes = COMBINATIONS[combination], range(1, len(scores) + 1)
    return points_of(labels, probabilities, way.weights(scores), n_classes, sizes, way.votes)


def points_of(
    labels: Sequence[Any],
    probabilities: Sequence[Sequence[Any]],
    weights: Sequence[float],
    n_classes: int,
    sizes: Collection[int],
    voting: bool = False,
) -> list[Point]:
    """Return the same for given weights, and only for ensembles of the given sizes."""
    points = {size: Point(Contingency.empty(n_classes), Decomposition()) for size in sizes}
    for index, of_image in enumerate(labels):
        for z in range(of_image.shape[0]):
            truth = np.asarray(of_image[z : z + 1])
            ensemble = Growing(truth, n_classes)
            for size, (arrays, weight) in enumerate(zip(probabilities, weights, strict=True), start=1):
                levels = np.asarray(arrays[index][:, z : z + 1])
                ensemble.add(votes(levels) if voting else levels, weight)
                if size in points:
                    ensemble.count(points[size].decomposition)
                    points[size].contingency.add(truth, ensemble.most_probable())
    return list(points.values())


def point_of(
    labels: Sequence[Any],
    probabilities: Sequence[Sequence[Any]],
    weights: Sequence[float],
    n_classes: int,
    voting: bool = False,
) -> Point:
    """Return the scores of the ensemble of all these networks; the arguments are those of ``points_of``."""
    (point,) = points_of(labels, probabilities, weights, n_classes, [len(weights)], voting)
    return point


def best_size(curve: Sequence[Point], size: int | Literal["auto"], metric: str = RANKING_METRIC) -> int:
    """Return the number of members: the given size, if there are enough networks, or the one of highest score."""
    if size != "auto":
        return min(size, len(curve))
    return int(np.argmax([score_of_counts(point.contingency, metric) for point in curve])) + 1


def open_run(run: RunPaths, validation: Prepared, stack: ExitStack) -> list[Any]:
    """Open a training's class probabilities of the validation images: one array (C, Z, Y, X) for each image.

    Raises:
        InputError: If they are of other images than the prepared ones.
    """
    stored = stack.enter_context(open_probabilities(run.validation))
    if stored.checksum != validation.checksum:
        raise InputError(
            f"{run.validation}: made from other validation images than the prepared ones; train again"
        )
    return stored.semantic
