"""What ensembles cost when they segment, beside their scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genenet.config.selection_metrics import SELECTION_METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.ensembles.description import StrategyEntry
    from genenet.training.outcomes import Outcome


@dataclass(frozen=True)
class PricedEnsemble:
    """An ensemble with its score on the validation images.

    Attributes:
        title: of the ensemble.
        size: number of members.
        seconds: for a million voxels, of all members together.
        score: by the metric of the selection.
        is_best_k: whether it belongs to the best-k curve; otherwise a strategy has chosen it.
    """

    title: str
    size: int
    seconds: float
    score: float
    is_best_k: bool


def priced_ensembles(
    runs: Sequence[Outcome],
    added: Sequence[str],
    scores: Sequence[float | None],
    strategies: Sequence[StrategyEntry],
    metric: str,
) -> list[PricedEnsemble]:
    """Return the best-k ensembles and those of the strategies, as far as score and cost are known.

    Args:
        runs: all trainings.
        added: the run that each size of the best-k curve adds.
        scores: of the sizes.
        strategies: the ensembles of all strategies.
        metric: of the scores.
    """
    prices = {run.run: run.seconds_per_megavoxel for run in runs}
    total: float | None = 0.0
    found = []
    for size, (run, score) in enumerate(zip(added, scores, strict=True), start=1):
        price = prices.get(run)
        total = None if total is None or price is None else total + price
        if total is not None and score is not None:
            found.append(PricedEnsemble(f"best {size}", size, total, score, True))
    for entry in strategies:
        score = SELECTION_METRICS[metric].of_scores(entry.validation.metrics)
        if entry.seconds_per_megavoxel is not None and score is not None:
            title = entry.strategy.replace("_", " ")
            found.append(PricedEnsemble(title, len(entry.members), entry.seconds_per_megavoxel, score, False))
    return found
