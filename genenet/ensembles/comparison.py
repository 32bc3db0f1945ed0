"""The ensemble beside the controls: a row for each, and whether the variety of the networks pays."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genenet.config.selection_metrics import SCORES
from genenet.ensembles.claims import by_title, mean_of_known, refit_gain
from genenet.ensembles.intervals import paired_interval
from genenet.ensembles.variety import verdict
from genenet.genes.baselines import title_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from genenet.ensembles.controls import ControlFile, ControlTraining
    from genenet.ensembles.description import EnsembleDescription
    from genenet.ensembles.tested import ScoresOnTestImages
    from genenet.metrics.block_scores import BlockCounts
    from genenet.metrics.intervals import ConfidenceInterval
    from genenet.metrics.scores import ClassScores
    from genenet.training.outcomes import Outcome

# what controls, baselines and single networks learned from, by whether there are folds
LEARNED_FROM = {False: "the training images only", True: "all parts of the labelled images but one"}


@dataclass(frozen=True)
class ComparedRow:
    """The ensemble, a single network, a baseline or a control, with what it cost.

    Attributes:
        title: what it is.
        kind: member (the ensemble), other (a network), baseline or control.
        validation: scores by metric; a baseline of several seeds has their means.
        test: the same on the test images; None where it wasn't measured.
        own_seconds: of the trainings of its own networks.
        all_seconds: of all trainings that it needs, the search that its networks were found by included.
        notes: trainings that failed, and why.
        intervals: of the ensemble's lead by metric, on the images that the verdict is about; none if unknown.
    """

    title: str
    kind: str
    validation: dict[str, float | None]
    test: dict[str, float | None] | None
    own_seconds: float
    all_seconds: float
    notes: tuple[str, ...] = ()
    intervals: dict[str, ConfidenceInterval | None] = field(default_factory=dict)

    @property
    def has_scores(self) -> bool:
        """Whether at least one training was successful."""
        return any(value is not None for value in self.validation.values())


@dataclass(frozen=True)
class Comparison:
    """The table of the controls, and the sentence below it.

    Attributes:
        rows: the ensemble first.
        verdict: whether variety beats the controls.
        reservations: sentences on what the verdict doesn't say.
        has_test: whether the verdict is about the test images.
        spread: standard deviation of the ARI over the seeds of each control, by its title.
    """

    rows: list[ComparedRow]
    verdict: str
    reservations: list[str]
    has_test: bool
    spread: dict[str, float]


def comparison(
    ensemble: EnsembleDescription,
    test: ScoresOnTestImages | None,
    runs: Sequence[Outcome],
    controls: Sequence[ControlFile],
) -> Comparison | None:
    """Compare an ensemble with its controls; None if there are none.

    Controls and baselines learn from the training images only, or from all folds but one, so the ensemble is compared
    as it was before a refit.

    Args:
        ensemble: the chosen one.
        test: its scores on the test images, if there are any.
        runs: all ranked trainings, best first.
        controls: what is known of them.
    """
    if not controls:
        return None
    search = sum(run.seconds or 0.0 for run in runs if not run.is_baseline)
    tested = {each.run: each.test for control in controls for each in control.trainings if each.test}
    tested |= test.networks if test else {}
    members = set(ensemble.runs)
    of_members = sum(run.seconds or 0.0 for run in runs if run.run in members)
    is_refitted = ensemble.refit is not None and bool(ensemble.refit.refitted)
    first = ComparedRow(
        f"Ensemble of {ensemble.size_text}" + ", before the refit" * is_refitted,
        "member",
        _scores(ensemble.validation),
        _scores(test.comparable) if test else None,
        of_members,
        search,
    )
    rows = [first, *_single(runs, tested, search), *_baselines(runs, tested)]
    blocks = test.comparable.blocks if test else ensemble.blocks
    rows += [_control(each, search, blocks, test is not None) for each in controls]
    has_test = test is not None
    reservations = list(_reservations(len(members), rows, has_test))
    if is_refitted:
        seen = LEARNED_FROM[any(run.n_folds for run in runs)]
        before = f"Controls learned from {seen}, so the ensemble is compared as before the refit."
        reservations += [before, *filter(None, [refit_gain(ensemble, test)])]
    return Comparison(rows, verdict(rows, has_test), reservations, has_test, _spreads(controls, has_test))


def _reservations(n_members: int, rows: Sequence[ComparedRow], has_test: bool) -> Iterator[str]:
    if not has_test:
        yield "The ensemble was selected on the validation images, which favours it; test images (data.test) would not."
    if n_members == 1:
        yield "The ensemble has a single network, so this says nothing about variety."
    for row in rows:
        if row.kind == "control" and not row.has_scores:
            yield f"{row.title}: none of the trainings of this control was successful, so it isn't compared."


def _scores(scores: ClassScores | None) -> dict[str, float | None]:
    return {name: scores.metrics.get(name) if scores else None for name in SCORES}


def _single(runs: Sequence[Outcome], tested: dict[str, ClassScores], search: float) -> Iterator[ComparedRow]:
    """Yield the best network of the search."""
    best = next((run for run in runs if run.is_ok and not run.is_baseline), None)
    if best and best.scores:
        test = tested.get(best.run)
        yield ComparedRow(
            f"Best single network, {best.title}",
            "other",
            _scores(best.scores.validation),
            _scores(test) if test else None,
            best.seconds or 0.0,
            search,
        )


def _baselines(runs: Sequence[Outcome], tested: dict[str, ClassScores]) -> Iterator[ComparedRow]:
    """Yield each baseline of the ranking, with the means over its seeds."""
    for of_one in by_title(runs):
        title = of_one[0].title
        tests = [tested[run.run] for run in of_one if run.run in tested]
        seconds = mean_of_known(run.seconds for run in of_one) or 0.0
        yield ComparedRow(
            title if len(of_one) == 1 else f"{title}, mean of {len(of_one)} seeds",
            "baseline",
            _means([run.scores.validation for run in of_one if run.scores and run.scores.validation]),
            _means(tests) if len(tests) == len(of_one) else None,
            seconds,
            seconds,
        )


def _means(scores: Sequence[ClassScores]) -> dict[str, float | None]:
    return {name: mean_of_known(each.metrics.get(name) for each in scores) for name in SCORES}


def _control(control: ControlFile, search: float, ours: BlockCounts | None, has_test: bool) -> ComparedRow:
    """Return the row of a control; one of the best network also needs the search that found it."""
    mean = control.test if has_test else control.validation
    intervals = {
        metric: paired_interval(ours, [mean.blocks], metric, mean.without) if mean else None
        for metric in SCORES
    }
    is_best, own = control.baseline is None, control.seconds
    beside = sum(each.seconds or 0.0 for each in control.trainings[1:])  # the first one is the search's
    return ComparedRow(
        title_of_control(control),
        "control",
        _scores(control.validation),
        _scores(control.test) if control.test else None,
        own,
        search + beside if is_best else own,
        tuple(_note(each) for each in control.trainings if not each.is_ok),
        intervals,
    )


def _note(training: ControlTraining) -> str:
    return f"{training.run} {training.status}" + (f": {training.reason}" if training.reason else "")


def title_of_control(control: ControlFile) -> str:
    """Return what the report calls a control, with the number of networks that it has."""
    what = title_of(control.baseline) if control.baseline else control.trainings[0].run
    if control.is_long:
        iterations = control.trainings[0].iterations
        return (
            f"{what}, one training of {iterations:,} iterations"
            if iterations
            else f"{what}, one long training"
        )
    good, n = sum(each.is_ok for each in control.trainings), len(control.trainings)
    return f"{what}, ensemble of {good if good == n else f'{good} of {n}'} seeds"


def _spreads(controls: Sequence[ControlFile], has_test: bool) -> dict[str, float]:
    """Return the standard deviation of the ARI over the seeds of each control that has several networks."""
    found = {}
    for control in controls:
        scores = [each.test if has_test else each.validation for each in control.trainings if each.is_ok]
        aris = [each.ari for each in scores if each and each.ari is not None]
        if len(aris) > 1:
            found[title_of_control(control)] = statistics.stdev(aris)
    return found
