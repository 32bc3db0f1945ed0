"""The temperature of an ensemble, fitted on the stored probabilities of the validation images."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence

from genenet.config.ensemble import COMBINATIONS
from genenet.core.ignore import IGNORE
from genenet.core.random_streams import Stream
from genenet.ensembles.curve import open_run
from genenet.ensembles.description import CalibrationEntry, ReliabilityScores
from genenet.metrics.ambiguity import Growing, votes
from genenet.metrics.calibration import Reliability, best_temperature, with_priors, with_temperature

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from genenet.core.paths import ResultPaths
    from genenet.training.outcomes import Outcome
    from genenet.training.prepared import Prepared

SAMPLED = 200_000  # voxels that the temperature is fitted on


def calibrate(
    paths: ResultPaths, members: Sequence[tuple[Outcome, float]], validation: Prepared, combination: str
) -> CalibrationEntry:
    """Fit the temperature of an ensemble, and score its probabilities with and without it.

    Args:
        paths: of the search.
        members: trainings, with their weights.
        validation: the prepared validation images.
        combination: of the members, a name of COMBINATIONS.
    """
    n_voxels = sum(int(np.prod(image.labels.shape)) for image in validation.images)
    temperature = best_temperature(*_sample(stored_means(paths, members, validation, combination), n_voxels))
    return calibration_of(stored_means(paths, members, validation, combination), temperature)


def calibration_of(
    slices: Iterator[tuple[NDArray[np.uint8], NDArray[np.floating]]],
    temperature: float,
    priors: Sequence[float] = (),
) -> CalibrationEntry:
    """Score probabilities with and without a temperature.

    Args:
        slices: labels (…) and class probabilities (C, …).
        temperature: of the ensemble.
        priors: factors of the classes, which follow the temperature.
    """
    before, after = Reliability(), Reliability()
    for truth, p in slices:
        before.add(truth, p)
        after.add(truth, with_priors(with_temperature(p, temperature), priors))
    scores = (ReliabilityScores.model_validate(each.as_dict()) for each in (before, after))
    return CalibrationEntry(temperature=temperature, **dict(zip(("before", "after"), scores, strict=True)))


def stored_means(
    paths: ResultPaths, members: Sequence[tuple[Outcome, float]], validation: Prepared, combination: str
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
    """Yield what ``means`` does, of trainings with their weights; the other arguments are those of ``calibrate``."""
    with ExitStack() as stack:
        files = [open_run(paths.run(outcome.run), validation, stack) for outcome, _ in members]
        labels, weights = [image.labels for image in validation.images], [weight for _, weight in members]
        voting = COMBINATIONS[combination].votes
        yield from means(labels, files, weights, len(validation.classes), voting)


def means(
    labels: Sequence[Any],
    probabilities: Sequence[Sequence[Any]],
    weights: Sequence[float],
    n_classes: int,
    voting: bool = False,
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
    """Yield the labels (1, Y, X) of each slice and the ensemble's probabilities (C, 1, Y, X), from stored ones.

    Args:
        labels: (Z, Y, X) of each image.
        probabilities: of each network, of each image, (C, Z, Y, X) in 255 levels.
        weights: of the networks.
        n_classes: C.
        voting: whether each network votes for one class.
    """
    for index, of_image in enumerate(labels):
        for z in range(of_image.shape[0]):
            truth = np.asarray(of_image[z : z + 1])
            ensemble = Growing(truth, n_classes)
            for arrays, weight in zip(probabilities, weights, strict=True):
                levels = np.asarray(arrays[index][:, z : z + 1])
                ensemble.add(votes(levels) if voting else levels, weight)
            yield truth, ensemble.mean()


def _sample(
    slices: Iterator[tuple[NDArray[np.uint8], NDArray[np.float64]]], n_voxels: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Draw SAMPLED labelled voxels evenly from all slices: labels (N,) and probabilities (C, N)."""
    rng = Generator(PCG64(SeedSequence(0, spawn_key=(Stream.CALIBRATION,))))
    labels, found = [], []
    for truth, p in slices:
        chosen = (rng.random(truth.shape) * n_voxels < SAMPLED) & (truth != IGNORE)
        labels.append(truth[chosen])
        found.append(p[:, chosen])
    return np.concatenate(labels), np.concatenate(found, axis=1)
