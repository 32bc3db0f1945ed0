"""Chooses an ensemble among networks that were trained on arrays."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

import numpy as np

from genenet.api.ensemble import Ensemble, load_ensemble
from genenet.config import types
from genenet.config.ensemble import COMBINATIONS, EnsembleSettings
from genenet.config.selection_metrics import RANKING_METRIC, SELECTION_METRICS, SelectionMetric
from genenet.core.errors import InputError
from genenet.core.validation import validate
from genenet.ensembles import ensemble as on_disk
from genenet.ensembles.calibration import means
from genenet.ensembles.curve import Point, best_size, curve_of
from genenet.ensembles.description import EnsembleDescription, NormalisationEntry
from genenet.ensembles.reference import Reference
from genenet.ensembles.seen import predictions_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.api.training import Trained
    from genenet.genes.genome import Genome
    from genenet.networks.network import Network


def make_ensemble(
    trained: Sequence[Trained],
    *,
    voxel_size_nm: types.VoxelSize,
    size: int | Literal["auto"] = "auto",
    combination: str = "mean",
    metric: str = RANKING_METRIC,
) -> Ensemble:
    """Rank trained networks by their validation score and make an ensemble of the best few.

    Args:
        trained: networks that were trained with the same classes, normalisation, training and validation image.
        voxel_size_nm: of these images, along z, y, x, in nm; ``genenet segment`` compares other images with it.
        size: number of members; ``auto`` is the number with the highest score on the validation image.
        combination: ``mean`` of the members' probabilities, ``weighted`` mean by score, or majority ``vote``.
        metric: the score: ``ari``, ``mean_iou``, or ``both``, which is their mean.

    Raises:
        InputError: If no network is given, or if they were trained differently.

    Example:
        >>> import genenet
        >>> from genenet.phantoms.phantom import CLASSES
        >>> train, validation = (genenet.make_phantom((1, 96, 96), seed) for seed in (1, 2))
        >>> regions = {"net": {"n_convkernels": [3, 6], "n_stacks": 1, "input_size": 64}}
        >>> trained = [
        ...     genenet.train(
        ...         genenet.random_genome(regions, seed=1, index=index),
        ...         *train,
        ...         validation=validation,
        ...         classes=CLASSES,
        ...         iterations=4,
        ...         threads=1,
        ...     )
        ...     for index in range(2)
        ... ]
        >>> ensemble = genenet.make_ensemble(trained, voxel_size_nm=(40, 10, 10), size=2)
        >>> len(ensemble), ensemble.segment(validation[0], threads=1).shape
        (2, (1, 96, 96))
    """
    _check_alike(trained)
    values = {"size": size, "combination": combination, "metric": metric, "voxel_size_nm": voxel_size_nm}
    chosen = validate(_Choice, {**values, "max_size": 10**6}, "make_ensemble")
    ranked, of_ranked = _ranked(trained, SELECTION_METRICS[chosen.metric])
    first = ranked[0]
    curve = curve_of(
        [first.labels],
        [[t.probabilities] for t in ranked],
        of_ranked,
        len(first.classes),
        chosen.combination,
    )
    n_members = best_size(curve, chosen.size, chosen.metric)
    point = curve[n_members - 1]
    weights = COMBINATIONS[chosen.combination].weights(of_ranked[:n_members])
    members = [
        new_member(t.genome, t.network, t.genome.name, t.scores["ari"], weight)
        for t, weight in zip(ranked, weights, strict=False)
    ]
    description = _description(ranked[:n_members], chosen, point, members)
    with TemporaryDirectory() as folder:
        place = Path(folder) / "ensemble"
        on_disk.write_ensemble(place, members, description)
        return load_ensemble(place)


class _Choice(EnsembleSettings):
    """How an ensemble is chosen, and the voxel size of its images."""

    voxel_size_nm: types.VoxelSize


def _description(
    networks: Sequence[Trained], chosen: _Choice, point: Point, members: Sequence[on_disk.Member]
) -> EnsembleDescription:
    trained = networks[0]
    return EnsembleDescription(
        classes=trained.classes,
        voxel_size_nm=chosen.voxel_size_nm,
        dtypes=trained.dtypes,
        normalisation=NormalisationEntry.of(trained.normalisation),
        selected_on=["validation image"],
        validation=point.scores,
        metric=chosen.metric,
        combination=chosen.combination,
        reference=_reference(networks, members, chosen.combination),
        members=on_disk.entries(members),
    )


def _reference(networks: Sequence[Trained], members: Sequence[on_disk.Member], combination: str) -> Reference:
    """Return what the ensemble has seen; of the validation image, all voxels that aren't masked."""
    first, weights = networks[0], [member.weight for member in members]
    levels = [[network.probabilities] for network in networks]
    slices = means([first.labels], levels, weights, len(first.classes), COMBINATIONS[combination].votes)
    inside = first.inside if first.inside is not None else np.ones(first.labels.shape, bool)
    counted = ((p, inside[z : z + 1]) for z, (_, p) in enumerate(slices))
    return Reference(images=first.greys, validation=predictions_of(counted, len(first.classes), None))


def _ranked(trained: Sequence[Trained], metric: SelectionMetric) -> tuple[list[Trained], list[float]]:
    """Return networks, best first, and their scores: -1 where one isn't defined, so that it ranks last.

    Raises:
        InputError: If no network has a score.
    """
    scores = {id(each): metric.of_scores(each.scores) for each in trained}
    if all(score is None for score in scores.values()):
        raise InputError(
            f"make_ensemble: no network has a score ({metric.title}), since the validation labels show fewer than "
            "two classes; validate on an image with at least two"
        )
    found = {key: -1.0 if score is None else score for key, score in scores.items()}
    ranked = sorted(trained, key=lambda each: -found[id(each)])
    return ranked, [found[id(each)] for each in ranked]


def _check_alike(trained: Sequence[Trained]) -> None:
    if not trained:
        raise InputError("make_ensemble: no trained networks are given; give at least one")
    first = trained[0]
    for each in trained[1:]:
        if each.classes != first.classes or each.normalisation != first.normalisation:
            raise InputError(
                f"{each!r}: was trained with other classes, normalisation or image than {first!r}; members must agree"
            )
        if not np.array_equal(each.labels, first.labels):
            raise InputError(
                f"{each!r}: was scored on another validation image than {first!r}; their scores can't be compared"
            )


def new_member(
    genome: Genome, network: Network, run: str, validation_ari: float | None, weight: float
) -> on_disk.Member:
    """Return a member with the weights of a network that was trained in memory."""
    from genenet.networks.weights import save_weights

    def write(folder: Path) -> None:
        genome.write(folder / on_disk.GENOME)
        save_weights(network.state_dict(), genome.id, folder / on_disk.WEIGHTS)

    return on_disk.Member(run, genome.id, validation_ari, weight, write)
