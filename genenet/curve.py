"""What ensembles of the first 1, 2, … networks are worth on the validation images, from stored probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from genenet.decomposition import Decomposition, Growing, member_weights, votes
from genenet.errors import InputError
from genenet.metrics import Contingency
from genenet.probabilities import open_probabilities

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import ExitStack

    from genenet.config import Combination
    from genenet.paths import RunPaths
    from genenet.prepare import Prepared


@dataclass
class Point:
    """A size on the best-k curve: the ensemble of that many members on the validation images."""

    contingency: Contingency
    decomposition: Decomposition

    @classmethod
    def empty(cls, n_classes: int) -> Self:
        """Begin with no voxels."""
        return cls(Contingency.empty(n_classes), Decomposition())

    def add(self, ensemble: Growing) -> None:
        """Count a slice."""
        ensemble.count(self.decomposition)
        self.contingency.add(ensemble.labels, ensemble.most_probable())


def curve_of(
    labels: Sequence[Any],
    probabilities: Sequence[Sequence[Any]],
    aris: Sequence[float],
    n_classes: int,
    combination: Combination,
) -> list[Point]:
    """Return what the ensembles of the first 1, 2, … networks are worth, slice by slice.

    Args:
        labels: (Z, Y, X) of each image.
        probabilities: of each network, of each image, (C, Z, Y, X) in 255 levels.
        aris: of each network.
        n_classes: C.
        combination: of the members.
    """
    curve = [Point.empty(n_classes) for _ in aris]
    weights = member_weights(combination, aris)
    for n, ensemble in _growing(labels, probabilities, weights, n_classes, combination == "vote"):
        curve[n].add(ensemble)
    return curve


def worth_of(
    labels: Sequence[Any],
    probabilities: Sequence[Sequence[Any]],
    weights: Sequence[float],
    n_classes: int,
    voting: bool = False,
) -> Point:
    """Return what the one ensemble of all of these networks is worth, with given weights; else as ``curve_of``."""
    point = Point.empty(n_classes)
    for n, ensemble in _growing(labels, probabilities, weights, n_classes, voting):
        if n == len(weights) - 1:
            point.add(ensemble)
    return point


def _growing(
    labels: Sequence[Any],
    probabilities: Sequence[Sequence[Any]],
    weights: Sequence[float],
    n_classes: int,
    voting: bool,
) -> Iterator[tuple[int, Growing]]:
    """Yield, for each slice, the last member's index and the ensemble up to it."""
    for index, of_image in enumerate(labels):
        for z in range(of_image.shape[0]):
            ensemble = Growing(np.asarray(of_image[z : z + 1]), n_classes)
            for n, (arrays, weight) in enumerate(zip(probabilities, weights, strict=True)):
                levels = np.asarray(arrays[index][:, z : z + 1])
                ensemble.add(votes(levels) if voting else levels, weight)
                yield n, ensemble


def best_size(curve: Sequence[Point], size: int | Literal["auto"]) -> int:
    """Return how many members are chosen: as many as asked for and there, or the size of the highest ARI."""
    aris = [point.contingency.adjusted_rand_index for point in curve]
    return int(np.argmax(aris)) + 1 if size == "auto" else min(size, len(curve))


def open_run(run: RunPaths, validation: Prepared, stack: ExitStack) -> list[Any]:
    """Open a training's probabilities of the validation images, one array for each."""
    stored = stack.enter_context(open_probabilities(run.validation))
    if stored.checksum != validation.checksum:
        raise InputError(
            f"{run.validation}: made from other validation images than those prepared; train again"
        )
    return stored.arrays
