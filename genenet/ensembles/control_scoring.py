"""The scores of a control: its networks alone, and their mean as an ensemble."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genenet.core.errors import InputError
from genenet.ensembles.controls import ControlFile, ControlTraining, MeanScores, best_of_ranking
from genenet.ensembles.intervals import ValidationBlocks
from genenet.ensembles.scoring import evaluate_means
from genenet.genes.genome import read_genome
from genenet.metrics.block_scores import BlockScores
from genenet.training.outcome_reader import read_outcome
from genenet.training.prepared import open_prepared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from genenet.config.planned_controls import ControlSettings
    from genenet.core.paths import ResultPaths
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
    means = _means([each.run for each in good])
    test = _on_test(paths, settings, means, device, ensemble or Path(paths.ensemble))
    return ControlFile(
        control=settings.control,
        baseline=settings.baseline,
        is_long=settings.is_long,
        trainings=[_training(each, test.get(each.run)) for each in outcomes],
        validation=_mean_scores(_on_validation(paths, good, means)),
        test=_mean_scores(test),
    )


ALL, WITHOUT = "all", "without "  # names of means; a training's name has no blank


def _means(runs: Sequence[str]) -> dict[str, list[str]]:
    """Return the runs of the mean of all, and of the means without each of them if there are several."""
    several = {f"{WITHOUT}{run}": [r for r in runs if r != run] for run in runs} if len(runs) > 1 else {}
    return {ALL: list(runs), **several} if runs else {}


def _mean_scores(found: Mapping[str, BlockScores]) -> MeanScores | None:
    """Return the scores of the mean of all networks; None without networks."""
    if ALL not in found:
        return None
    without = [each.blocks for name, each in found.items() if name.startswith(WITHOUT)]
    return MeanScores.model_validate({**found[ALL].model_dump(), "without": without})


def _training(outcome: Outcome, test: BlockScores | None) -> ControlTraining:
    return ControlTraining(
        run=outcome.run,
        status=outcome.status or "",
        reason=outcome.reason,
        seconds=outcome.seconds,
        iterations=outcome.scores.iterations if outcome.scores else None,
        validation=outcome.scores.validation if outcome.scores else None,
        test=test and test.without_blocks(),
    )


def _on_validation(
    paths: ResultPaths, outcomes: Sequence[Outcome], means: Mapping[str, Sequence[str]]
) -> dict[str, BlockScores]:
    """Return the scores of the means of the stored probabilities of the validation images."""
    if not means:
        return {}
    blocks = ValidationBlocks(paths, open_prepared(Path(paths.data("validation"))))
    by_run = {outcome.run: outcome for outcome in outcomes}
    members = {name: [(by_run[run], 1.0) for run in runs] for name, runs in means.items()}
    return {name: BlockScores.of(blocks.counted(of_one)) for name, of_one in members.items()}


def _on_test(
    paths: ResultPaths,
    settings: ControlSettings,
    means: Mapping[str, Sequence[str]],
    device: torch.device,
    ensemble: Path,
) -> dict[str, BlockScores]:
    """Return the scores on the test images: of the means, and of each network by its run."""
    if not settings.has_test or not means:
        return {}
    shares = {name: {run: 1 / len(runs) for run in runs} for name, runs in means.items()}
    alone = {run: {run: 1.0} for run in means[ALL]}
    return evaluate_means(paths, shares | alone, ensemble, Path(paths.data("test")), device)
