"""Scores of an ensemble on prepared images, such as the test images, and of the ensembles that weren't chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genenet.config.instances import InstanceSettings
from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.ensembles.calibration import calibration_of
from genenet.ensembles.claims import rivals_of
from genenet.ensembles.description import read_strategies
from genenet.ensembles.ensemble import load_ensemble
from genenet.ensembles.intervals import blocks_of
from genenet.ensembles.objects import object_scores
from genenet.ensembles.ranking import read_runs
from genenet.ensembles.tested import ScoresOnTestImages
from genenet.genes.genome import read_genome
from genenet.genes.plan import plan
from genenet.metrics.block_scores import BlockScores
from genenet.networks.network import Network
from genenet.networks.predictor import Predictor
from genenet.networks.weights import load_network
from genenet.objects.tuned import ObjectScores, TunedObjects
from genenet.training.object_images import ImageInParts, ObjectImage
from genenet.training.outcome_reader import read_outcome
from genenet.training.prepared import open_prepared

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import torch
    from numpy.typing import NDArray

    from genenet.core.paths import ResultPaths
    from genenet.ensembles.ensemble import LoadedEnsemble
    from genenet.metrics.scores import ClassScores


def evaluate_ensemble(folder: Path, data: Path, device: torch.device) -> ScoresOnTestImages:
    """Return the ensemble's scores over all images of a prepared file, slice by slice.

    Raises:
        InputError: If the classes aren't those of the ensemble.
    """
    ensemble, prepared = load_ensemble(folder), open_prepared(data)
    if list(prepared.classes) != list(ensemble.classes):
        raise InputError(f"{data}: has classes {prepared.classes}, the ensemble {ensemble.classes}")
    outputs = ensemble.outputs
    predictor = replace(ensemble.predictor(device), outputs=None)  # borders are needed, too
    counts = blocks_of(prepared)
    parts = [ImageInParts(image, outputs) for image in prepared.images] if outputs.objects else []

    def slices() -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        for index, image in enumerate(prepared.images):
            norm = ensemble.normalisation.of(image.statistics)
            fixed = predictor.for_volume(image.volume, norm, image.inside)
            for z, found in fixed.slices(image.volume, norm):
                p = found[: len(outputs)]
                if parts:
                    parts[index].add(z, p, found[-1])
                labels, probabilities = np.asarray(image.labels[z : z + 1]), outputs.semantic(p)
                counts.add(index, z, labels, ensemble.final(probabilities).argmax(axis=0))
                yield labels, probabilities

    calibration = calibration_of(slices(), ensemble.temperature or 1.0, ensemble.class_priors)
    facts = {"volumes": [image.name for image in prepared.images], "calibration": calibration}
    scores = {**BlockScores.of(counts).model_dump(), "objects": _object_scores(parts, ensemble)}
    return ScoresOnTestImages.model_validate({**facts, **scores})


def _object_scores(parts: Sequence[ImageInParts], ensemble: LoadedEnsemble) -> dict[str, ObjectScores]:
    """Return the scores of the objects of each class whose true ones are known."""
    images: dict[str, list[ObjectImage]] = {}
    for part in parts:
        for name, image in part.images().items():
            images.setdefault(name, []).append(image)
    smallest = InstanceSettings().min_size_voxels
    return {
        name: object_scores(of_class, ensemble.tuned_objects.get(name, TunedObjects()), smallest)
        for name, of_class in images.items()
    }


@dataclass(frozen=True)
class OtherScores:
    """Scores of what the ensemble is compared with: ensembles by their strategy, networks by their run."""

    strategies: dict[str, ClassScores]
    networks: dict[str, BlockScores]


def evaluate_others(paths: ResultPaths, folder: Path, data: Path, device: torch.device) -> OtherScores:
    """Return the scores of the strategies that weren't chosen, of the best network and of the baselines.

    Args:
        paths: of the search.
        folder: of its ensemble, as in ``evaluate_means``.
        data: the prepared images.
        device: that the networks run on.
    """
    others = {e.strategy: e.members for e in read_strategies(Path(paths.strategies)) if not e.chosen}
    means = {name: {member.run: member.weight for member in members} for name, members in others.items()}
    ranked = read_runs(paths, set()) if Path(paths.ranking).exists() else []
    alone = {run.run: {run.run: 1.0} for _, seeds in rivals_of(ranked) for run in seeds}
    found = evaluate_means(paths, means | alone, folder, data, device)
    strategies = {name: found[name].without_blocks() for name in means}
    return OtherScores(strategies, {run: found[run] for run in alone})


def evaluate_means(
    paths: ResultPaths,
    weights: Mapping[str, Mapping[str, float]],
    folder: Path,
    data: Path,
    device: torch.device,
) -> dict[str, BlockScores]:
    """Return the scores of weighted means of trainings, by name, over all images of a prepared file.

    Each network predicts only once, even if it is a member of several ensembles. One slice of each is in memory.

    Args:
        paths: of the search.
        weights: by name of the mean and training; those of one mean have the sum 1.
        folder: of the search's ensemble, which says how images are normalised.
        data: the prepared images.
        device: that the networks run on.
    """
    ensemble, prepared = load_ensemble(folder), open_prepared(data)
    runs = sorted({run for of_run in weights.values() for run in of_run})
    predictors = [
        Predictor(_networks(paths, run, len(ensemble.outputs)), device, outputs=ensemble.outputs)
        for run in runs
    ]
    counts = {name: blocks_of(prepared) for name in weights}
    for index, image in enumerate(prepared.images):
        norm = ensemble.normalisation.of(image.statistics)
        volume = image.volume
        fixed = [predictor.for_volume(volume, norm, image.inside) for predictor in predictors]
        for z in range(volume.shape[0]):
            box = Box.of_shape((1, *volume.shape[1:]), (z, 0, 0))
            found = [predictor.probabilities(volume, norm, box) for predictor in fixed]
            truth = np.asarray(image.labels[z : z + 1])
            for name, of_run in weights.items():
                mean = sum(of_run[r] * p for r, p in zip(runs, found, strict=True) if r in of_run)
                counts[name].add(index, z, truth, np.asarray(mean).argmax(axis=0))
    return {name: BlockScores.of(each) for name, each in counts.items()}


def _networks(paths: ResultPaths, run: str, n_outputs: int) -> list[Network]:
    """Return the network of a run, or those of all its folds, whose mean it stands for."""
    genome = read_genome(paths.genome(run))
    trainings = read_outcome(paths, run).trainings
    networks = (
        load_network(genome, plan(genome.net, n_outputs), paths.run(each).weights) for each in trainings
    )
    return [network.without_norms() for network in networks]
