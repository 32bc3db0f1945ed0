"""The ways to choose boxes that ``config.labelling.WAYS`` names; all are deterministic, with a seed where they draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence

from genenet.core.random_streams import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from genenet.config.labelling import SuggestionSettings
    from genenet.config.types import VoxelSize
    from genenet.core.geometry import Box
    from genenet.labelling.lattice import BoxLattice

    # Of boxes, a row of features of each, (N, F)
    Features = Callable[[Sequence[Box]], NDArray[np.float64]]

LEAST_EXAMINED, EXAMINED = (
    40,
    5,
)  # boxes of the highest scores that are compared, at least; for each that is wanted


@dataclass(frozen=True)
class Choosing:
    """What a way to choose boxes knows.

    Attributes:
        settings: number of boxes, seed, diversity.
        lattice: the places that a box may have.
        allowed: which of them are free: inside the mask, and without labelled voxels, (N,).
        scores: how much labelling each is expected to teach, (N,).
        labelled: boxes that are labelled already.
        features: what the networks see in boxes.
        voxel_size_nm: along z, y, x.
    """

    settings: SuggestionSettings
    lattice: BoxLattice
    allowed: NDArray[np.bool_]
    scores: NDArray[np.float64]
    labelled: Sequence[Box]
    features: Features
    voxel_size_nm: VoxelSize

    @property
    def free(self) -> NDArray[np.int64]:
        """The indices of the places that are allowed."""
        return np.flatnonzero(self.allowed)


def by_score(known: Choosing) -> list[int]:
    """Return boxes of high scores that don't look alike, the first one first.

    Of the highest scores, that one comes next whose score times its distance from the nearest box that is chosen or
    labelled is the largest: a weighted form of choosing farthest points (Gonzalez 1985), as for core sets (Sener and
    Savarese 2018). A distance is one of features, in units of the median distance, and at most 1.
    """
    n, diversity = known.settings.n, known.settings.diversity
    order = known.free[np.argsort(-known.scores[known.free], kind="stable")]
    examined = known.lattice.apart(order, max(LEAST_EXAMINED, EXAMINED * n) if diversity else n)
    if not diversity or len(examined) <= 1:
        return examined[:n]
    boxes = [*map(known.lattice.box, examined), *known.labelled]
    distances = _distances(known.features(boxes))
    worth = known.scores[examined]
    chosen = _far_apart(worth, distances, list(range(len(examined), len(boxes))), n, diversity)
    return [examined[i] for i in chosen]


def by_chance(known: Choosing) -> list[int]:
    """Return boxes drawn at random."""
    rng = Generator(PCG64(SeedSequence(known.settings.seed, spawn_key=(Stream.SUGGESTED_BOXES,))))
    return known.lattice.apart(rng.permutation(known.free), known.settings.n)


def by_distance(known: Choosing) -> list[int]:
    """Return boxes far from each other and from labelled ones; the first one is the nearest to the volume's centre."""
    size_nm = np.array(known.voxel_size_nm)
    places = (known.lattice.places[known.free] + np.array(known.lattice.size) / 2) * size_nm
    middle = np.array(known.lattice.shape) / 2 * size_nm
    from_centre = np.linalg.norm(places - middle, axis=1)
    nearest = np.full(len(places), np.inf)
    for box in known.labelled:
        centre = (np.array(box.start) + np.array(box.stop)) / 2 * size_nm
        nearest = np.minimum(nearest, np.linalg.norm(places - centre, axis=1))
    chosen: list[int] = []
    free = np.ones(len(places), bool)
    while free.any() and len(chosen) < known.settings.n:
        is_first = not chosen and not known.labelled
        worth = np.where(free, -from_centre if is_first else nearest, -np.inf)
        best = int(worth.argmax())
        chosen.append(int(known.free[best]))
        free &= ~known.lattice.meets([known.lattice.box(chosen[-1])])[known.free]
        nearest = np.minimum(nearest, np.linalg.norm(places - places[best], axis=1))
    return chosen


def _distances(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distances (N, N) of rows of features, each of unit deviation, in units of their median."""
    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(spread > 1e-9, spread, np.inf)
    squares = np.square(scaled).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * scaled @ scaled.T, 0))
    between = distances[np.triu_indices(len(distances), 1)]
    median = float(np.median(between))
    return np.asarray(distances / (median or 1.0))


def _far_apart(
    worth: NDArray[np.float64],
    distances: NDArray[np.float64],
    taken: Sequence[int],
    n: int,
    diversity: float,
) -> list[int]:
    """Return up to n of the first ``len(worth)`` rows of the distances, the best first; ``taken`` are others."""
    nearest = np.ones(len(worth))
    for index in taken:
        nearest = np.minimum(nearest, distances[: len(worth), index])
    chosen: list[int] = []
    free = np.ones(len(worth), bool)
    while free.any() and len(chosen) < n:
        best = int(np.where(free, worth * nearest**diversity, -1.0).argmax())
        chosen.append(best)
        free[best] = False
        nearest = np.minimum(nearest, distances[: len(worth), best])
    return chosen
