"""How well a surrogate model has predicted the scores of the genomes that were trained after it had chosen them.

``genenet status`` uses it, so it imports no numpy.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from statistics import correlation, fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from genenet.training.outcomes import Outcome

FEWEST = 3  # pairs of numbers, of which a rank correlation says something


@dataclass(frozen=True)
class Agreement:
    """Predicted scores beside real ones.

    Attributes:
        n: number of genomes that have both.
        rank_correlation: Spearman's, 1 if the order is right; None with fewer than three genomes, or if all are equal.
        mean_error: mean absolute difference.
    """

    n: int
    rank_correlation: float | None
    mean_error: float

    @property
    def text(self) -> str:
        """The same in words."""
        known = self.rank_correlation is not None
        order = f"rank correlation with the real scores {self.rank_correlation:.2f}, " if known else ""
        return f"{order}mean error {self.mean_error:.3f} ({self.n} genomes)"


def predicted(outcomes: Iterable[Outcome], metric: str) -> list[tuple[Outcome, float]]:
    """Return the genomes with a real and a predicted score by ``metric``, and the predicted one."""
    over = [run for run in outcomes if run.is_over and run.score(metric) is not None]
    return [(run, run.predicted.mean) for run in over if run.predicted and run.predicted.metric == metric]


def agreement(outcomes: Iterable[Outcome], metric: str) -> Agreement | None:
    """Return how well the scores were predicted; None if no genome has both scores."""
    pairs = [(mean, run.ranked_score(metric)) for run, mean in predicted(outcomes, metric)]
    if not pairs:
        return None
    means, real = [mean for mean, _ in pairs], [score for _, score in pairs]
    return Agreement(len(pairs), rank_correlation(means, real), fmean(abs(a - b) for a, b in pairs))


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation, equal values sharing their mean rank; None where it isn't defined."""
    if len(a) < FEWEST or min(len(set(a)), len(set(b))) == 1:
        return None
    return correlation(_ranks(a), _ranks(b))


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value, from 0; the mean rank of equal values."""
    ordered = sorted(values)
    return [(bisect_left(ordered, value) + bisect_right(ordered, value) - 1) / 2 for value in values]
