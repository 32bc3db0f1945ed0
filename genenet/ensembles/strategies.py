"""All strategies to choose an ensemble, side by side: members, scores on the validation images, cost."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import PCG64, SeedSequence

from genenet.config.ensemble import COMBINATIONS, STRATEGIES
from genenet.config.instance_metrics import THRESHOLD_METRIC
from genenet.config.instances import InstanceSettings
from genenet.core.random_streams import Stream
from genenet.ensembles import selection
from genenet.ensembles.curve import best_size, curve_of, open_run, point_of
from genenet.ensembles.description import StrategiesFile, StrategyEntry, WeightedRun
from genenet.ensembles.objects import validation_images
from genenet.training.object_images import object_rank, rank_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from genenet.config.ensemble import EnsembleSettings
    from genenet.core.paths import ResultPaths
    from genenet.ensembles.curve import Point
    from genenet.ensembles.selection import Weights
    from genenet.training.object_images import ObjectImage
    from genenet.training.outcomes import Outcome
    from genenet.training.prepared import Prepared

log = logging.getLogger(__name__)

DIGITS = 6  # of ambiguities
POOL = 3  # greedy and weighted choose from this times max_size networks


@dataclass(frozen=True)
class Pool:
    """The networks that strategies choose from, best first.

    Attributes:
        labels: (Z, Y, X) of each validation image.
        probabilities: of each network, of each image, (C, Z, Y, X) in 255 levels.
        scores: of each network on the validation images, by the metric of the settings.
        curve: the ensembles of the first 1, 2, … networks.
        settings: metric, sizes, and how the members of best_n are combined.
        object_images: what an ensemble of some of them predicts of the objects on the validation images, by class.
        object_ranks: how good the objects of each network are; None where its training didn't score them.
    """

    labels: Sequence[Any]
    probabilities: Sequence[Sequence[Any]]
    scores: Sequence[float]
    curve: Sequence[Point]
    settings: EnsembleSettings
    object_images: Callable[[Weights], Mapping[str, Sequence[ObjectImage]]] = lambda _: {}
    object_ranks: Sequence[float | None] = ()

    @cached_property
    def products(self) -> selection.ProbabilityProducts:
        """The products of the networks' probabilities, which are read once."""
        return selection.ProbabilityProducts.of(self.labels, self.probabilities)


def best_n(pool: Pool) -> Weights:
    """Choose the networks with the highest score: as many as the settings ask for, or as are best on the curve."""
    size = best_size(pool.curve, pool.settings.size, pool.settings.metric)
    return dict(enumerate(COMBINATIONS[pool.settings.combination].weights(pool.scores[:size])))


def greedy(pool: Pool) -> Weights:
    """Add networks one by one, on a sample of voxels (``selection.greedy``)."""
    rng = np.random.Generator(PCG64(SeedSequence(0, spawn_key=(Stream.GREEDY_ENSEMBLES,))))
    voxels = selection.sample(pool.labels, pool.probabilities, rng)
    return selection.greedy(voxels, pool.settings.most_members, rng, pool.settings.metric)


def weighted(pool: Pool) -> Weights:
    """Weigh networks for the least squared error (``selection.weighted``)."""
    return selection.weighted(pool.products, pool.settings.most_members)


def best_objects(pool: Pool) -> Weights:
    """Choose the networks with the best objects: as many as the settings ask for, or as are best together."""
    metric, settings = pool.settings.object_metric or THRESHOLD_METRIC, pool.settings
    smallest = InstanceSettings().min_size_voxels

    def rank(weights: Weights) -> float:
        return object_rank(pool.object_images(weights), metric, smallest)

    scores = [
        rank({network: 1.0}) if known is None else known for network, known in enumerate(pool.object_ranks)
    ]
    order = sorted(range(len(scores)), key=lambda network: (-scores[network], network))
    weigh = COMBINATIONS[settings.combination].weights
    ensembles = []
    for size in range(1, min(settings.most_members, len(order)) + 1):
        chosen = order[:size]
        ensembles.append(dict(zip(chosen, weigh([pool.scores[i] for i in chosen]), strict=True)))
    log.info("objects, by %s: %s", metric, ", ".join(f"{scores[i]:.3f}" for i in order))
    return ensembles[-1] if settings.size != "auto" else max(ensembles, key=rank)


@dataclass(frozen=True)
class ChosenEnsemble:
    """An ensemble that a strategy has chosen.

    Attributes:
        strategy: its name.
        members: with their weights, the heaviest first.
        point: its scores on the validation images.
        pair_ambiguities: of each pair of members, on the validation images (``ProbabilityProducts.pair_ambiguities``).
    """

    strategy: str
    members: list[tuple[Outcome, float]]
    point: Point
    pair_ambiguities: list[list[float]]

    @property
    def seconds_per_megavoxel(self) -> float | None:
        """Time that its members took for the validation images; None if it isn't known for one of them."""
        each = [outcome.seconds_per_megavoxel for outcome, _ in self.members]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known) if len(known) == len(each) else None

    def entry(self, is_chosen: bool) -> StrategyEntry:
        """Return the ensemble's entry in the file of all strategies."""
        price = self.seconds_per_megavoxel
        return StrategyEntry(
            strategy=self.strategy,
            chosen=is_chosen,
            members=[WeightedRun(run=outcome.run, weight=weight) for outcome, weight in self.members],
            validation=self.point.scores,
            seconds_per_megavoxel=None if price is None else round(price, 4),
        )


def choose_all(
    paths: ResultPaths, candidates: Sequence[Outcome], validation: Prepared, settings: EnsembleSettings
) -> tuple[list[Point], Mapping[str, ChosenEnsemble]]:
    """Return the best-k curve, and the ensemble of each strategy by name.

    Args:
        paths: of the search.
        candidates: trainings with weights, best first.
        validation: the prepared validation images.
        settings: metric, sizes, and how the members of best_n are combined.
    """
    outcomes, n = candidates[: POOL * settings.max_size], settings.max_size
    labels, n_classes = [image.labels for image in validation.images], len(validation.classes)
    scores = [outcome.ranked_score(settings.metric) for outcome in outcomes]
    with ExitStack() as stack:
        files = [open_run(paths.run(outcome.run), validation, stack) for outcome in outcomes]
        curve = curve_of(labels, files[:n], scores[:n], n_classes, settings.combination)

        def object_images(weights: Weights) -> Mapping[str, Sequence[ObjectImage]]:
            members = [(outcomes[i], weight) for i, weight in weights.items()]
            return validation_images(paths, members, validation, settings.combination)

        pool = Pool(labels, files, scores, curve, settings, object_images, _object_ranks(outcomes, settings))
        ambiguities, found = pool.products.pair_ambiguities().round(DIGITS), {}
        for name, strategy in STRATEGIES.items():
            if strategy.needs_objects and name != settings.strategy:
                continue
            weights: Weights = strategy.function()(pool)
            votes = COMBINATIONS[settings.combination].votes and not strategy.gives_weights
            point = point_of(labels, [files[i] for i in weights], list(weights.values()), n_classes, votes)
            members = [(outcomes[i], weight) for i, weight in weights.items()]
            of_members = ambiguities[np.ix_(list(weights), list(weights))].tolist()
            found[name] = ChosenEnsemble(name, members, point, of_members)
    return curve, found


def _object_ranks(outcomes: Sequence[Outcome], settings: EnsembleSettings) -> list[float | None]:
    """Return how good the objects of each network are, as its training has scored them; more is better."""
    metric = settings.object_metric or THRESHOLD_METRIC
    found = [list(outcome.scores.objects.values()) if outcome.scores else [] for outcome in outcomes]
    return [fmean(rank_of(each, metric) for each in scores) if scores else None for scores in found]


def write_strategies(path: Path, found: Mapping[str, ChosenEnsemble], chosen: str) -> None:
    """Write the ensembles of all strategies."""
    StrategiesFile(strategies=[each.entry(name == chosen) for name, each in found.items()]).write(path)
