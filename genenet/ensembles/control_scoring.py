"""The scores of a control: its networks alone, and their mean as an ensemble."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genenet.core.errors import InputError
from genenet.ensembles.controls import ControlFile, ControlTraining, best_of_ranking
from genenet.ensembles.curve import open_run, point_of
from genenet.ensembles.scoring import evaluate_means
from genenet.genes.genome import read_genome
from genenet.metrics.contingency import class_scores
from genenet.training.outcome_reader import read_outcome
from genenet.training.prepared import open_prepared

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from genenet.config.planned_controls import ControlSettings
    from genenet.core.paths import ResultPaths
    from genenet.metrics.scores import ClassScores
    from genenet.training.outcomes import Outcome


def score_control(
    paths: ResultPaths, settings: ControlSettings, device: torch.device, ensemble: Path | None = None
) -> ControlFile:
    """Return the scores of a control; trainings without weights are left out of the mean.

    Args:
        paths: of the search.
        settings: of the control.
        device: that the networks predict the test images on.
        ensemble: folder of the search's ensemble before a refit, which says how the networks that learned from the
            training images expect images; None: the ensemble.

    Raises:
        InputError: If a training has no results, or the networks of the search aren't ranked yet.
    """
    runs = list(settings.runs)
    if settings.baseline is None:  # the search's own training counts as the first: it has the same settings
        runs.insert(0, best_of_ranking(paths, read_genome(paths.genome(runs[0])).id))
    outcomes = [read_outcome(paths, run) for run in runs]
    for each in outcomes:
        if each.scores is None:
            raise InputError(each.problem or f"{each.files.scores}: no such file")
    good = [each for each in outcomes if each.is_ok]
    test = _test_scores(paths, settings, good, device, ensemble or Path(paths.ensemble))
    return ControlFile(
        control=settings.control,
        baseline=settings.baseline,
        is_long=settings.is_long,
        trainings=[_training(each, test.get(each.run)) for each in outcomes],
        validation=_validation_scores(paths, good),
        test=test.get(settings.control),
    )


def _training(outcome: Outcome, test: ClassScores | None) -> ControlTraining:
    return ControlTraining(
        run=outcome.run,
        status=outcome.status or "",
        reason=outcome.reason,
        seconds=outcome.seconds,
        iterations=outcome.scores.iterations if outcome.scores else None,
        validation=outcome.scores.validation if outcome.scores else None,
        test=test,
    )


def _validation_scores(paths: ResultPaths, outcomes: Sequence[Outcome]) -> ClassScores | None:
    """Return the scores of the mean of the stored probabilities; None without networks."""
    if not outcomes:
        return None
    validation = open_prepared(Path(paths.data("validation")))
    labels: list[Any] = [image.labels for image in validation.images]
    with ExitStack() as stack:
        files = [open_run(outcome.files, validation, stack) for outcome in outcomes]
        return class_scores(point_of(labels, files, [1.0] * len(files), len(validation.classes)).contingency)


def _test_scores(
    paths: ResultPaths,
    settings: ControlSettings,
    outcomes: Sequence[Outcome],
    device: torch.device,
    ensemble: Path,
) -> dict[str, ClassScores]:
    """Return the scores on the test images: of each network by its run, and of their mean by the control's name."""
    if not settings.has_test or not outcomes:
        return {}
    weights = {outcome.run: {outcome.run: 1.0} for outcome in outcomes}
    weights[settings.control] = {outcome.run: 1 / len(outcomes) for outcome in outcomes}
    return evaluate_means(paths, weights, ensemble, Path(paths.data("test")), device)
