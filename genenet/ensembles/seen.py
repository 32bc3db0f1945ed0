"""Makes the reference of an ensemble from the prepared images and the stored probabilities; no network is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genenet.ensembles.calibration import stored_means
from genenet.ensembles.reference import Predictions, Reference
from genenet.metrics.calibration import with_temperature
from genenet.volumes.grey_values import grey_values, rounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from genenet.core.paths import ResultPaths
    from genenet.training.outcomes import Outcome
    from genenet.training.prepared import Prepared
    from genenet.volumes.grey_values import GreyValues
    from genenet.volumes.normalisation import NormalisationRule


def reference_of(
    paths: ResultPaths,
    members: Sequence[tuple[Outcome, float]],
    splits: tuple[Prepared, Prepared],
    rule: NormalisationRule,
    combination: str,
    temperature: float | None,
) -> Reference:
    """Return what an ensemble has seen.

    Args:
        paths: of the search.
        members: trainings, with their weights.
        splits: the prepared training and validation images.
        rule: by which they are normalised.
        combination: of the members, a name of COMBINATIONS.
        temperature: of the ensemble's probabilities.
    """
    train, validation = splits
    has_folds = any(outcome.n_folds for outcome, _ in members)
    seen = [train] if has_folds else splits  # folds are validated on the training images
    means = (p for _, p in stored_means(paths, members, validation, combination))
    slices = zip(means, insides(validation), strict=True)
    predictions = predictions_of(slices, len(validation.classes), temperature)
    return Reference(images=greys_of(seen, rule), validation=predictions)


def greys_of(splits: Iterable[Prepared], rule: NormalisationRule) -> list[GreyValues]:
    """Return the normalised grey values of prepared images."""
    images = [image for split in splits for image in split.images]
    found = [grey_values(image.volume, rule.of(image.statistics), image.inside) for image in images]
    return [each for each in found if each]


def insides(prepared: Prepared) -> Iterator[NDArray[np.bool_] | None]:
    """Yield what counts (1, Y, X) of each slice of all images; None is all of it."""
    for image in prepared.images:
        for z in range(image.labels.shape[0]):
            yield None if image.mask is None else np.asarray(image.mask[z : z + 1]) != 0


def predictions_of(
    parts: Iterable[tuple[NDArray[np.floating], NDArray[np.bool_] | None]],
    n_classes: int,
    temperature: float | None,
) -> Predictions | None:
    """Return the predicted shares of the classes, and the mean uncertainty; None if no voxel counts.

    Args:
        parts: class probabilities (C, Z, Y, X), without the temperature, and which voxels (Z, Y, X) count.
        n_classes: C.
        temperature: of the ensemble's probabilities; None: they stay as they are.
    """
    counts, doubt = np.zeros(n_classes), 0.0
    for probabilities, inside in parts:
        p = probabilities.reshape(n_classes, -1) if inside is None else probabilities[:, inside]
        counts += np.bincount(p.argmax(axis=0), minlength=n_classes)
        tempered = p if temperature is None else with_temperature(p, temperature)
        doubt += float((1 - tempered.max(axis=0).astype(np.float64)).sum())
    n = counts.sum()
    if not n:
        return None
    return Predictions(class_shares=[rounded(share) for share in counts / n], uncertainty=rounded(doubt / n))
