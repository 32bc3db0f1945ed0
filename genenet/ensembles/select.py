"""From scored trainings to an ensemble: rank them, compare the strategies, write the ensemble's folder."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from genenet.config.ensemble import STRATEGIES
from genenet.config.instance_metrics import THRESHOLD_METRIC
from genenet.config.instances import InstanceSettings
from genenet.core.atomic_files import write_csv
from genenet.core.errors import InputError
from genenet.ensembles.anytime import moments, write_moments
from genenet.ensembles.calibration import calibrate
from genenet.ensembles.description import (
    ClassVoxels,
    EnsembleDescription,
    NormalisationEntry,
)
from genenet.ensembles.ensemble import Member, entries, write_ensemble
from genenet.ensembles.intervals import ValidationBlocks, lead_intervals
from genenet.ensembles.objects import tuned, validation_images
from genenet.ensembles.ranking import write_ranking
from genenet.ensembles.seen import reference_of
from genenet.ensembles.standings import standings
from genenet.ensembles.strategies import choose_all, write_strategies
from genenet.metrics.ambiguity import Decomposition
from genenet.metrics.block_scores import BlockCounts
from genenet.training.outcome_reader import read_outcomes
from genenet.training.prepared import open_prepared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.config.ensemble import EnsembleSettings
    from genenet.config.settings import SelectSettings
    from genenet.core.paths import ResultPaths
    from genenet.ensembles.curve import Point
    from genenet.ensembles.strategies import ChosenEnsemble
    from genenet.objects.tuned import TunedObjects
    from genenet.training.outcomes import Outcome
    from genenet.training.prepared import Prepared

log = logging.getLogger(__name__)


def select(paths: ResultPaths, runs: Sequence[str], settings: SelectSettings) -> None:
    """Rank trainings, choose an ensemble by each strategy, and write one of them with the tables.

    ::

        trainings ──► ranking ──► best networks with a score ─► ensemble of each strategy
                      ranking.csv     curve of best_n               │  ensemble_strategies.json
                                      ensemble_curve.csv            ├──► the configured strategy: ensemble/
                                                                    │    (selected/, if it is to be refitted)
                                                                    └──► best_n over time: anytime.csv

    Args:
        paths: of the search.
        runs: all its trainings.
        settings: how the ensemble is chosen.

    Raises:
        InputError: If fewer trainings than ``ensemble.minimum`` were successful.
    """
    outcomes = read_outcomes(paths, runs, settings.ensemble.metric)
    genomes = [outcome for outcome in outcomes if not outcome.is_baseline]
    candidates = _candidates(genomes, settings.ensemble, paths)
    train, validation = (open_prepared(Path(paths.data(split))) for split in ("train", "validation"))
    curve, ensembles = choose_all(paths, candidates, validation, settings.ensemble)
    chosen, best_n = ensembles[settings.ensemble.strategy], ensembles["best_n"]

    write_ranking(Path(paths.ranking), outcomes)
    _write_curve(Path(paths.curve), candidates[: len(curve)], curve)
    write_strategies(Path(paths.strategies), ensembles, chosen.strategy)
    size, combination = len(best_n.members), settings.ensemble.combination
    over_time = moments(paths, genomes, validation, size, combination, settings.ensemble.metric)
    write_moments(Path(paths.anytime), over_time)
    members = [each for outcome, weight in chosen.members for each in Member.of(paths, outcome, weight)]
    description = _description(settings, outcomes, chosen, members, train, validation)
    combination, blocks = description.combination, ValidationBlocks(paths, validation)
    counted = blocks.counted(chosen.members, combination)
    calibration = calibrate(paths, chosen.members, validation, combination)
    images, rule = (train, validation), description.normalisation.rule
    found = {
        "calibration": calibration,
        "reference": reference_of(paths, chosen.members, images, rule, combination, calibration.temperature),
        "blocks": BlockCounts.of(counted),
        "pair_ambiguities": chosen.pair_ambiguities,
        "tuned_objects": _tuned_objects(settings, paths, chosen, validation, combination),
        "intervals": lead_intervals(blocks, counted, outcomes, settings.ensemble.metric),
    }
    description = description.model_copy(update=found)
    folder = paths.selected if settings.ensemble.refit else paths.ensemble
    write_ensemble(Path(folder), members, description)
    for line in standings(description, None, outcomes, [])[0].lines:
        log.info("%s", line)
    if not_found := description.validation.not_found(description.classes):
        log.warning("on the validation images, %s", not_found)


def _tuned_objects(
    settings: SelectSettings,
    paths: ResultPaths,
    chosen: ChosenEnsemble,
    validation: Prepared,
    combination: str,
) -> dict[str, TunedObjects]:
    """Return the thresholds of objects that are best on the validation images, by class."""
    if not validation.objects:
        return {}
    images = validation_images(paths, chosen.members, validation, combination)
    metric = settings.ensemble.object_metric or THRESHOLD_METRIC
    smallest = InstanceSettings().min_size_voxels
    return {name: tuned(of_class, metric, smallest) for name, of_class in images.items() if of_class}


def _candidates(genomes: Sequence[Outcome], settings: EnsembleSettings, paths: ResultPaths) -> list[Outcome]:
    """Return the genomes' trainings that may become members: those with weights and a score, best first."""
    candidates = [o for o in genomes if o.is_ok and o.score(settings.metric) is not None]
    if len(candidates) >= settings.minimum:
        return candidates
    others = [outcome for outcome in genomes if outcome not in candidates]
    reasons = "; ".join(_why_not(outcome, paths) for outcome in others[:3])
    raise InputError(
        f"{paths.results}: {len(candidates)} trainings were successful, ensemble.minimum is {settings.minimum}: "
        f"{reasons}{' …' if len(others) > 3 else ''}"
    )


def _why_not(outcome: Outcome, paths: ResultPaths) -> str:
    reason = "the validation labels show fewer than two classes, so no ARI is defined"
    return f"{outcome.run} {outcome.status} ({outcome.reason or reason}; log: {paths.train_log(outcome.run)})"


def _description(
    settings: SelectSettings,
    outcomes: Sequence[Outcome],
    chosen: ChosenEnsemble,
    members: Sequence[Member],
    train: Prepared,
    validation: Prepared,
) -> EnsembleDescription:
    baselines = [outcome for outcome in outcomes if outcome.is_baseline and outcome.is_ok]
    has_weights = STRATEGIES[chosen.strategy].gives_weights
    return EnsembleDescription(
        classes=train.classes,
        objects=list(train.objects),
        voxel_size_nm=train.voxel_size_nm,
        dtypes=sorted({image.image.dtype.name for image in train.images}),
        normalisation=NormalisationEntry.of(train.rule(settings.normalisation)),
        selected_on=[image.name for image in validation.images],
        validation=chosen.point.scores,
        metric=settings.ensemble.metric,
        strategy=chosen.strategy,
        combination="weighted" if has_weights else settings.ensemble.combination,
        class_voxels=ClassVoxels(train=train.class_counts, validation=validation.class_counts),
        baselines={outcome.run.removeprefix("baselines/"): outcome.ari for outcome in baselines},
        members=entries(members),
    )


def _write_curve(path: Path, ranked: Sequence[Outcome], curve: Sequence[Point]) -> None:
    """Write a CSV row for each size of the best-k curve."""
    rows = [
        (
            size,
            outcome.run,
            point.contingency.adjusted_rand_index,
            point.contingency.mean_iou,
            *point.decomposition.as_dict().values(),
        )
        for size, (outcome, point) in enumerate(zip(ranked, curve, strict=True), start=1)
    ]
    columns = ("size", "added", "validation_ari", "mean_iou", *Decomposition().as_dict())
    write_csv(path, columns, rows)
