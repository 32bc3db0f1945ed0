"""Objects on labelled images: the thresholds that find them best, the risk of their contacts, and their scores.

Images are held in memory, two bytes for each voxel and class of objects; of larger ones than ``MOST_VOXELS`` the first
slices are used.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import cc3d
import numpy as np

from genenet.config.ensemble import COMBINATIONS
from genenet.config.instance_metrics import INSTANCE_METRICS
from genenet.core.geometry import Box
from genenet.core.ignore import IGNORE
from genenet.metrics.ambiguity import votes
from genenet.metrics.instance_overlaps import InstanceOverlaps, OverlapTable, together
from genenet.metrics.instances import InstanceScores
from genenet.objects.finder import find_in_memory
from genenet.objects.measures import ContactMeasures, Seen
from genenet.objects.stages import Thresholds
from genenet.objects.tuned import ContactReliability, ObjectScores, Risk, TunedObjects
from genenet.training.probabilities import open_probabilities

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genenet.core.outputs import Outputs
    from genenet.core.paths import ResultPaths
    from genenet.objects.stages import Levels
    from genenet.training.outcomes import Outcome
    from genenet.training.prepared import Prepared, PreparedImage

    Values = NDArray[np.float64]

Grid = Sequence[tuple[float, float, float]]  # overlap, extent, seed

GRID: Grid = list(product((0.0, 0.3), (0.3, 0.5, 0.7), (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)))
COARSE: Grid = list(product((0.0, 0.3), (0.5,), (0.6, 0.8, 0.95)))  # enough to compare networks
TOLERANCE = 0.05  # of the best score, within which thresholds count as equally good
MOST_VOXELS = 2**25
LEAST_CONTACTS = 20  # on which a risk is fitted
N_BINS = 10

log = logging.getLogger(__name__)


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


def validation_images(
    paths: ResultPaths, members: Sequence[tuple[Outcome, float]], validation: Prepared, combination: str
) -> dict[str, list[ObjectImage]]:
    """Return what an ensemble predicts of the objects on the validation images, by class, from stored probabilities."""
    outputs, voting = validation.outputs, COMBINATIONS[combination].votes
    total = sum(weight for _, weight in members)
    found: dict[str, list[ObjectImage]] = {each.name: [] for each in outputs.objects}
    with ExitStack() as stack:
        stored = [
            stack.enter_context(open_probabilities(paths.run(outcome.run).validation))
            for outcome, _ in members
        ]
        for index, image in enumerate(validation.images):
            parts = ImageInParts(image, outputs)
            for z in range(parts.depth):
                levels = [np.asarray(each.arrays[index][:, z : z + 1]) for each in stored]
                members_p = [(votes(each) if voting else each) / 255 for each in levels]
                shares = [weight / total for _, weight in members]
                parts.add(z, *mean_and_disagreement(members_p, shares))
            for name, found_image in parts.images().items():
                found[name].append(found_image)
    return found


def mean_and_disagreement(members: Sequence[Values], shares: Sequence[float]) -> tuple[Values, Values]:
    """Return the members' weighted mean (C, …), and the weighted mean of their squared distances from it (…)."""
    mean: Values = sum(share * p for share, p in zip(shares, members, strict=True))  # type: ignore[assignment]
    apart = sum(share * ((p - mean) ** 2).sum(axis=0) for share, p in zip(shares, members, strict=True))
    return mean, np.asarray(apart)


def tuned(images: Sequence[ObjectImage], metric: str, min_size_voxels: int) -> TunedObjects:
    """Return the thresholds of objects that suit images, and the risk of contacts.

    Of all thresholds whose score is within ``TOLERANCE`` of the best, those that merge least are taken: the highest
    seed, then the largest overlap. A volume is larger than the images that thresholds are chosen on, and one leak
    anywhere between two objects merges them as a whole. So merges become more with size, and splits don't.

    Args:
        images: of one class of objects.
        metric: a name of INSTANCE_METRICS.
        min_size_voxels: of the seeds.
    """
    tried = [(_rank(found.scores, metric), found) for found in _tried(images, GRID, min_size_voxels)]
    best = max(rank for rank, _ in tried)
    enough = best - TOLERANCE * abs(best) if math.isfinite(best) else best
    good = [(found.seed, found.overlap, rank, found) for rank, found in tried if rank >= enough]
    chosen = max(good, key=lambda each: each[:3])[3]
    return chosen.model_copy(update={"risk": fitted_risk(images, chosen.chosen(min_size_voxels))})


def object_rank(images: Mapping[str, Sequence[ObjectImage]], metric: str, min_size_voxels: int) -> float:
    """Return how good objects can be by a metric, more is better: the mean over the classes of objects.

    Args:
        images: by class of objects.
        metric: a name of INSTANCE_METRICS.
        min_size_voxels: of the seeds.
    """
    best = [
        max(_rank(found.scores, metric) for found in _tried(of_class, COARSE, min_size_voxels))
        for of_class in images.values()
    ]
    return sum(best) / len(best)


def _tried(images: Sequence[ObjectImage], grid: Grid, min_size_voxels: int) -> Iterator[TunedObjects]:
    """Yield the scores of each of these thresholds."""
    for overlap, extent, seed in grid:
        scores = scores_of(images, Thresholds(seed, extent, overlap, min_size_voxels))
        yield TunedObjects(seed=seed, extent=extent, overlap=overlap, scores=scores)


def _rank(scores: InstanceScores | None, metric: str) -> float:
    """Return a metric so that more is better; -inf if it isn't defined."""
    value = scores.metrics[metric] if scores else None
    if value is None:
        return -math.inf
    return value if INSTANCE_METRICS[metric].is_better_high else -value


def scores_of(images: Iterable[ObjectImage], thresholds: Thresholds) -> InstanceScores:
    """Return the scores of the objects of several images together."""
    return InstanceScores.of(together([image.overlaps(image.found(thresholds)) for image in images]))


def fitted_risk(images: Sequence[ObjectImage], thresholds: Thresholds) -> Risk | None:
    """Return the risk of contacts by a logistic regression; None if there are too few, or all are right or wrong."""
    from sklearn.linear_model import LogisticRegression

    means, wrong = _contacts(images, thresholds)
    if len(wrong) < LEAST_CONTACTS or wrong.all() or not wrong.any():
        log.info("%d contacts of objects, %d wrong: too few to fit their risk", len(wrong), int(wrong.sum()))
        return None
    features = Risk.features(*means)
    # scaled, so that the penalty is the same for each
    centre, scale = features.mean(axis=1, keepdims=True), features.std(axis=1, keepdims=True) + 1e-9
    model = LogisticRegression().fit(((features - centre) / scale).T, wrong)
    weights = model.coef_[0] / scale[:, 0]
    intercept = float(model.intercept_[0] - (weights * centre[:, 0]).sum())
    border, disagreement, log_faces = map(float, weights)
    return Risk(
        intercept=intercept,
        border=border,
        disagreement=disagreement,
        log_faces=log_faces,
        n_contacts=len(wrong),
    )


def _contacts(images: Iterable[ObjectImage], thresholds: Thresholds) -> tuple[Values, NDArray[np.bool_]]:
    parts = [image.contacts(image.found(thresholds)) for image in images]
    return (
        np.concatenate([np.zeros((3, 0)), *(means for means, _ in parts)], axis=1),
        np.concatenate([np.zeros(0, bool), *(wrong for _, wrong in parts)]),
    )


def object_scores(images: Sequence[ObjectImage], found: TunedObjects, min_size_voxels: int) -> ObjectScores:
    """Return the scores of objects on images that nothing was chosen on."""
    thresholds = found.chosen(min_size_voxels)
    components = together([image.overlaps(image.components()) for image in images])
    means, wrong = _contacts(images, thresholds)
    return ObjectScores(
        scores=scores_of(images, thresholds),
        components=InstanceScores.of(components),
        contacts=reliability(found.risk.of(*means), wrong) if found.risk and len(wrong) else None,
    )


def reliability(risk: Values, wrong: NDArray[np.bool_]) -> ContactReliability:
    """Return how often contacts of a risk are wrong, in bins of the risk, and the expected calibration error."""
    place = np.minimum((risk * N_BINS).astype(int), N_BINS - 1)
    counts = np.bincount(place, minlength=N_BINS)
    means, shares = (
        np.bincount(place, x, N_BINS) / np.maximum(counts, 1) for x in (risk, wrong.astype(float))
    )
    error = float((counts * np.abs(means - shares)).sum() / counts.sum())
    return ContactReliability(
        n=len(wrong),
        n_wrong=int(wrong.sum()),
        expected_calibration_error=round(error, 4),
        counts=counts.tolist(),
        mean_risk=np.round(means, 4).tolist(),
        share_wrong=np.round(shares, 4).tolist(),
    )
