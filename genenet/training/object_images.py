"""The objects of labelled images beside those that a network or an ensemble predicts, and the scores of both.

Images are held in memory, two bytes for each voxel and class of objects; of larger ones than ``MOST_VOXELS`` the first
slices are used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import cc3d
import numpy as np

from genenet.config.instance_metrics import INSTANCE_METRICS, THRESHOLD_METRIC
from genenet.config.instances import InstanceSettings
from genenet.core.geometry import Box
from genenet.core.ignore import IGNORE
from genenet.metrics.instance_overlaps import InstanceOverlaps, OverlapTable, together
from genenet.metrics.instance_scores import InstanceScores
from genenet.objects.finder import find_in_memory
from genenet.objects.measures import ContactMeasures, Seen
from genenet.objects.stages import Thresholds
from genenet.objects.tuned import TunedObjects
from genenet.training.probabilities import open_probabilities

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from genenet.core.outputs import Outputs
    from genenet.objects.stages import Levels
    from genenet.training.prepared import Prepared, PreparedImage

    Values = NDArray[np.float64]

Grid = Sequence[tuple[float, float, float]]  # overlap, extent, seed

GRID: Grid = list(product((0.0, 0.3), (0.3, 0.5, 0.7), (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)))
COARSE: Grid = list(product((0.0, 0.3), (0.5,), (0.6, 0.8, 0.95)))  # enough to compare networks
MOST_VOXELS = 2**25


@dataclass(frozen=True)
class ObjectImage:
    """The true objects of one class in an image, and what an ensemble predicts; all (Z, Y, X).

    Attributes:
        truth: numbers of objects.
        ignored: voxels that don't count.
        labels: the predicted class is the objects' own, or a class that they consist of.
        of_object: probability, 255 is 1.
        border: probability of their border.
        disagreement: of the members, 0 to 1.
    """

    truth: NDArray[np.uint64]
    ignored: NDArray[np.bool_]
    labels: NDArray[np.bool_]
    of_object: Levels
    border: Levels
    disagreement: NDArray[np.float32]

    def found(self, thresholds: Thresholds) -> NDArray[np.uint32]:
        """Return the numbered objects."""
        return find_in_memory(self.of_object, self.border, thresholds)

    def overlaps(self, found: NDArray[Any]) -> OverlapTable:
        """Return how found objects overlap the true ones."""
        counted = InstanceOverlaps()
        counted.add(self.truth, found, self.ignored)
        return counted.table()

    def components(self) -> NDArray[Any]:
        """Return the connected components of the predicted classes, which is all there is without borders."""
        components: NDArray[Any] = cc3d.connected_components(self.labels.astype(np.uint8), connectivity=6)
        return components

    def contacts(self, found: NDArray[np.uint32]) -> tuple[Values, NDArray[np.bool_]]:
        """Return border, disagreement and faces (3, n) of contacts, and which contacts (n,) are wrong.

        A contact is wrong if more than half of both objects lies in the same true one. It isn't known where one of
        them lies mostly in no true object.
        """
        measures = ContactMeasures(int(found.max(initial=0)))
        box = Box.of_shape((found.shape[0], found.shape[1], found.shape[2]))
        nothing = np.zeros(found.shape)
        measures.add(
            Seen(
                box,
                found,
                nothing.astype(np.uint8),
                nothing,
                self.border / 255,
                self.disagreement.astype(np.float64),
            )
        )
        (low, high), sums = measures.table()
        faces = sums[:3].sum(axis=0)
        table = self.overlaps(found)
        inside = table.are_objects & (2 * table.voxels > table.sizes[1])
        main = np.zeros(measures.n_objects + 1, np.uint64)
        main[table.predicted[inside].astype(np.int64)] = table.true[inside]
        known = (main[low] != 0) & (main[high] != 0)
        wrong: NDArray[np.bool_] = main[low] == main[high]
        return np.stack([sums[3] / 2 / faces, sums[4] / 2 / faces, faces])[:, known], wrong[known]


class ImageInParts:
    """Collects an ``ObjectImage`` of each class of objects, slice by slice."""

    def __init__(self, image: PreparedImage, outputs: Outputs) -> None:
        self._image, self._outputs = image, outputs
        self._names = [each.name for each in outputs.objects]
        shape = image.labels.shape
        self.depth = max(1, min(shape[0], MOST_VOXELS // math.prod(shape[1:])))
        self._levels = np.zeros((2 * len(self._names), self.depth, *shape[1:]), np.uint8)
        self._labels = np.zeros((self.depth, *shape[1:]), np.uint8)
        self._disagreement = np.zeros(self._labels.shape, np.float32)

    def add(self, z: int, p: NDArray[np.floating], disagreement: NDArray[np.floating] | None = None) -> None:
        """Add a slice: the ensemble's probabilities of the outputs (C, 1, Y, X), and its disagreement (1, Y, X)."""
        if z >= self.depth:
            return
        self._labels[z] = self._outputs.semantic(p).argmax(axis=0)[0]
        for number, (border, _) in enumerate(self._outputs.borders):
            of_object = self._outputs.object_probability(p, number)
            for row, values in ((2 * number, of_object), (2 * number + 1, p[border])):
                self._levels[row, z] = np.rint(np.clip(values[0], 0, 1) * 255)
        if disagreement is not None:
            self._disagreement[z] = disagreement[0]

    def images(self) -> dict[str, ObjectImage]:
        """Return the image of each class of objects whose true ones are known."""
        ids = list(self._outputs.classes).index
        ignored = np.asarray(self._image.labels[: self.depth]) == IGNORE
        return {
            each.name: ObjectImage(
                np.asarray(self._image.instances[each.name][: self.depth]),
                ignored,
                np.isin(self._labels, [ids(name) for name in each.of]),
                self._levels[2 * number],
                self._levels[2 * number + 1],
                self._disagreement,
            )
            for number, each in enumerate(self._outputs.objects)
            if each.name in self._image.instances
        }


def object_rank(images: Mapping[str, Sequence[ObjectImage]], metric: str, min_size_voxels: int) -> float:
    """Return how good objects can be by a metric, more is better: the mean over the classes of objects.

    Args:
        images: by class of objects.
        metric: a name of INSTANCE_METRICS.
        min_size_voxels: of the seeds.
    """
    best = [
        max(rank_of(found.scores, metric) for found in tried(of_class, COARSE, min_size_voxels))
        for of_class in images.values()
    ]
    return sum(best) / len(best)


def tried(images: Sequence[ObjectImage], grid: Grid, min_size_voxels: int) -> Iterator[TunedObjects]:
    """Yield the scores of each of these thresholds."""
    for overlap, extent, seed in grid:
        scores = scores_of(images, Thresholds(seed, extent, overlap, min_size_voxels))
        yield TunedObjects(seed=seed, extent=extent, overlap=overlap, scores=scores)


def rank_of(scores: InstanceScores | None, metric: str) -> float:
    """Return a metric so that more is better; -inf if it isn't defined."""
    value = scores.metrics[metric] if scores else None
    if value is None:
        return -math.inf
    return value if INSTANCE_METRICS[metric].is_better_high else -value


def scores_of(images: Iterable[ObjectImage], thresholds: Thresholds) -> InstanceScores:
    """Return the scores of the objects of several images together."""
    return InstanceScores.of(together([image.overlaps(image.found(thresholds)) for image in images]))


def network_objects(probabilities: Path, validation: Prepared) -> dict[str, InstanceScores]:
    """Return the scores of a network's objects on the validation images, by class; none without such classes.

    The thresholds are those of a coarse grid with the best panoptic quality.

    Args:
        probabilities: that the training has stored.
        validation: the images.
    """
    outputs = validation.outputs
    if not outputs.objects:
        return {}
    found: dict[str, list[ObjectImage]] = {each.name: [] for each in outputs.objects}
    with open_probabilities(probabilities) as stored:
        for image, array in zip(validation.images, stored.arrays, strict=True):
            parts = ImageInParts(image, outputs)
            for z in range(parts.depth):
                parts.add(z, np.asarray(array[:, z : z + 1]) / 255)
            for name, of_class in parts.images().items():
                found[name].append(of_class)
    smallest = InstanceSettings().min_size_voxels
    return {name: _best(images, smallest) for name, images in found.items() if images}


def _best(images: Sequence[ObjectImage], min_size_voxels: int) -> InstanceScores:
    scores = [each.scores for each in tried(images, COARSE, min_size_voxels) if each.scores]
    return max(scores, key=lambda each: rank_of(each, THRESHOLD_METRIC))
