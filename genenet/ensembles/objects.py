"""Objects on labelled images: the thresholds that find them best, the risk of their contacts, and their scores."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from genenet.config.ensemble import COMBINATIONS
from genenet.metrics.ambiguity import votes
from genenet.metrics.instance_overlaps import together
from genenet.metrics.instance_scores import InstanceScores
from genenet.objects.stages import Thresholds
from genenet.objects.tuned import ContactReliability, ObjectScores, Risk, TunedObjects
from genenet.training.object_images import (
    GRID,
    ImageInParts,
    ObjectImage,
    rank_of,
    scores_of,
    tried,
)
from genenet.training.probabilities import open_probabilities

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genenet.core.paths import ResultPaths
    from genenet.training.outcomes import Outcome
    from genenet.training.prepared import Prepared

    Values = NDArray[np.float64]

TOLERANCE = 0.05  # of the best score, within which thresholds count as equally good
LEAST_CONTACTS = 20  # on which a risk is fitted
N_BINS = 10

log = logging.getLogger(__name__)


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
    ranked = [(rank_of(found.scores, metric), found) for found in tried(images, GRID, min_size_voxels)]
    best = max(rank for rank, _ in ranked)
    enough = best - TOLERANCE * abs(best) if math.isfinite(best) else best
    good = [(found.seed, found.overlap, rank, found) for rank, found in ranked if rank >= enough]
    chosen = max(good, key=lambda each: each[:3])[3]
    return chosen.model_copy(update={"risk": fitted_risk(images, chosen.chosen(min_size_voxels))})


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
