"""The score that a surrogate model predicted for a genome before it was trained."""

from __future__ import annotations

from pydantic import FiniteFloat, NonNegativeFloat

from genenet.core.models import Closed


class PredictedScore(Closed):
    """A predicted validation score.

    Attributes:
        metric: of the score, a name of ``SELECTION_METRICS``.
        mean: that is expected.
        deviation: standard deviation of the prediction.
    """

    metric: str
    mean: FiniteFloat
    deviation: NonNegativeFloat
