"""The claims of a search: the ensemble compared with its best network and the baselines."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genenet.config.selection_metrics import SCORES, SELECTION_METRICS
from genenet.ensembles.verdicts import Lead
from genenet.metrics.table import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from genenet.ensembles.description import (
        EnsembleDescription,
        EnsembleScores,
        StrategyEntry,
    )
    from genenet.ensembles.tested import ScoresOnTestImages
    from genenet.metrics.intervals import ConfidenceInterval
    from genenet.metrics.scores import ClassScores
    from genenet.training.outcomes import Outcome


@dataclass(frozen=True)
class Contender:
    """One of the compared networks or ensembles; a baseline of several seeds has their means.

    Attributes:
        title: what the report calls it.
        kind: member (the ensemble), other (a network), baseline or control.
        ari, mean_iou: its scores.
        score: the same by the metric of the selection.
        lead: of the ensemble over it; None for the ensemble itself.
        n_seeds: number of trainings that the scores are means of.
        name: what a sentence calls it.
    """

    title: str
    kind: str
    ari: float | None
    mean_iou: float | None
    score: float | None = None
    lead: Lead | None = None
    n_seeds: int = 1
    name: str = ""

    @property
    def spread(self) -> float | None:
        """Standard deviation of the score over seeds; None for one seed."""
        return self.lead.spread if self.lead else None


@dataclass(frozen=True)
class Beaten:
    """How many networks have a higher score than a baseline, and the lead of the best one."""

    title: str
    n: int
    lead: float
    spread: float | None


def contenders(ensemble: EnsembleDescription, runs: Sequence[Outcome]) -> list[Contender]:
    """Return the ensemble, the best network and the baselines on validation, by the metric of the selection."""
    metric, scores = ensemble.metric, ensemble.validation
    reached = SELECTION_METRICS[metric].of_scores(scores.metrics)
    intervals = {each.against: each.interval for each in ensemble.intervals}
    title = f"Ensemble of {len(ensemble.runs)}"
    found = [Contender(title, "member", scores.ari, scores.mean_iou, reached)]
    for name, seeds in rivals_of(runs):
        of_seeds = [run.scores.validation for run in seeds if run.scores and run.scores.validation]
        found.append(rival(seeds, of_seeds, metric, reached, intervals.get(name)))
    return found


def rivals_of(runs: Iterable[Outcome]) -> Iterator[tuple[str, list[Outcome]]]:
    """Yield the best network with its run, and the successful seeds of each baseline with its title."""
    ranked = list(runs)
    single = next((run for run in ranked if run.is_ok and not run.is_baseline), None)
    if single:
        yield single.run, [single]
    for seeds in by_title(ranked):
        yield seeds[0].title, seeds


def rival(
    runs: Sequence[Outcome],
    of_seeds: Sequence[ClassScores],
    metric: str,
    of_ensemble: float | None,
    interval: ConfidenceInterval | None,
) -> Contender:
    """Return the best network, or a baseline by the means over its seeds.

    Args:
        runs: its trainings.
        of_seeds: their scores.
        metric: of SELECTION_METRICS.
        of_ensemble: score of the ensemble by this metric.
        interval: of the ensemble's lead.
    """
    known = [SELECTION_METRICS[metric].of_scores(each.metrics) for each in of_seeds]
    scores = [score for score in known if score is not None]
    mean, n = mean_of_known(scores), len(runs)
    spread = statistics.stdev(scores) if len(scores) > 1 else None
    is_baseline, title = runs[0].is_baseline, runs[0].title
    return Contender(
        title if is_baseline else f"Best single network, {title}",
        "baseline" if is_baseline else "other",
        mean_of_known(each.ari for each in of_seeds),
        mean_of_known(each.mean_iou for each in of_seeds),
        mean,
        Lead(metric, minus(of_ensemble, mean), interval, spread),
        n,
        f"the {title}" + f" (mean of {n} seeds)" * (n > 1) if is_baseline else f"the best network ({title})",
    )


def by_title(runs: Sequence[Outcome]) -> Iterator[list[Outcome]]:
    """Yield each baseline's successful trainings."""
    baselines = [run for run in runs if run.is_ok and run.is_baseline]
    for title in dict.fromkeys(run.title for run in baselines):
        yield [run for run in baselines if run.title == title]


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are known; None if none is."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def beaten(runs: Sequence[Outcome], compared: Sequence[Contender], metric: str) -> list[Beaten]:
    """Return how the networks compare with each baseline by a metric of SELECTION_METRICS."""
    networks = [score for run in runs if not run.is_baseline and (score := run.score(metric)) is not None]
    baselines = [(c, c.score) for c in compared if c.kind == "baseline"]
    return [
        Beaten(c.title, sum(other > score for other in networks), max(networks) - score, c.spread)
        for c, score in baselines
        if score is not None and networks
    ]


@dataclass(frozen=True)
class StrategyRow:
    """An ensemble as one of the strategies chooses it.

    Attributes:
        members: run and share of the weight.
        test: scores on the test images, if there are any.
        relative_price: seconds for a million voxels, relative to those of best_n.
    """

    title: str
    is_chosen: bool
    members: list[tuple[str, float]]
    validation: EnsembleScores
    test: ClassScores | None
    relative_price: float | None


def strategies(entries: Sequence[StrategyEntry], test: ScoresOnTestImages | None) -> list[StrategyRow]:
    """Return the strategies as ``ensemble_strategies.json`` and ``test_scores.json`` hold them, best n first."""
    first = entries[0].seconds_per_megavoxel if entries else None
    return [_strategy_row(entry, test, first) for entry in entries]


def _strategy_row(entry: StrategyEntry, test: ScoresOnTestImages | None, first: float | None) -> StrategyRow:
    total = sum(member.weight for member in entry.members)
    price, others = entry.seconds_per_megavoxel, test.strategies if test else {}
    return StrategyRow(
        entry.strategy.replace("_", " "),
        entry.chosen,
        [(member.run, member.weight / total) for member in entry.members],
        entry.validation,
        (test.comparable if test else None) if entry.chosen else others.get(entry.strategy),
        price / first if price and first else None,
    )


def refit_gain(ensemble: EnsembleDescription, test: ScoresOnTestImages | None) -> str | None:
    """Return the sentence on what the refit changed on the test images; None without refitted members or a score."""
    before = test.before_refit if test and ensemble.refit and ensemble.refit.refitted else None
    if not test or not before:
        return None
    gains = {name: minus(test.metrics.get(name), before.metrics.get(name)) for name in SCORES}
    texts = [f"{in_text(name)} by {gain:+.3f}" for name, gain in gains.items() if gain is not None]
    return f"On the test images, the refit changed {' and '.join(texts)}." if texts else None


def in_text(metric: str) -> str:
    """Return a metric's title as it stands in a sentence: ARI, mean IoU."""
    title = METRICS[metric].title
    return title if title.isupper() else title[0].lower() + title[1:]


def minus(a: float | None, b: float | None) -> float | None:
    """Return the difference of two numbers; None if one is missing."""
    return None if a is None or b is None else a - b
