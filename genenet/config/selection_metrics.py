"""The scores of validation by which networks and ensembles are compared and chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from genenet.core.choices import Choice, OneOf, Table


@dataclass(frozen=True)
class SelectionMetric(Choice):
    """A score of validation by which networks and ensembles are compared; more is better.

    Its function makes one number of the values of several metrics.

    Attributes:
        title: for sentences and for the axes of plots.
        of: names of ``genenet.metrics.table.METRICS``.
    """

    title: str = ""
    of: tuple[str, ...] = ()

    def of_scores(self, scores: Mapping[str, float | None]) -> float | None:
        """Return the score, given metrics by name; None if one of those that it needs isn't defined."""
        values = [scores.get(name) for name in self.of]
        known = [value for value in values if value is not None and math.isfinite(value)]
        return float(self.function()(known)) if len(known) == len(values) else None


SELECTION_METRICS = Table(
    "metric of selection",
    [
        SelectionMetric("ari", "the adjusted Rand index (ARI)", "statistics:fmean", title="ARI", of=("ari",)),
        SelectionMetric(
            "mean_iou",
            "the mean IoU of the classes, in which a rare class counts as much as a frequent one",
            "statistics:fmean",
            title="mean IoU",
            of=("mean_iou",),
        ),
        SelectionMetric(
            "both",
            "the mean of ARI and mean IoU",
            "statistics:fmean",
            title="mean of ARI and mean IoU",
            of=("ari", "mean_iou"),
        ),
    ],
)
SCORES = tuple(
    dict.fromkeys(name for entry in SELECTION_METRICS.values() for name in entry.of)
)  # ari, mean_iou
SelectionMetricName = Annotated[str, OneOf(SELECTION_METRICS)]
RANKING_METRIC = "ari"  # networks are compared by it unless the config names another
