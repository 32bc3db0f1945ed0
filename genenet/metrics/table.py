"""The scores of a segmentation that are one number: each is an entry of one table.

A metric that is added to METRICS appears in ``scores.json``, in ``ranking.csv`` and, if it says so, in the report. The
table of those by which networks are compared is ``genenet.config.selection_metrics``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genenet.config.selection_metrics import SELECTION_METRICS
from genenet.core.choices import Choice, Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from genenet.metrics.contingency import Contingency


@dataclass(frozen=True)
class Metric(Choice):
    """A score; its function takes a table of counts and returns a float, nan where the score isn't defined.

    Attributes:
        title: for the heads of tables and plots.
        is_better_high: whether more is better.
        is_headline: whether the report shows it with the ARI, in large figures and in its tables.
    """

    title: str = ""
    is_better_high: bool = True
    is_headline: bool = False

    def function(self) -> Callable[[Any], float]:
        """Return the function, also if it is a property of the table of counts."""
        found: Any = super().function()
        function: Callable[[Any], float] = getattr(found, "fget", found)
        return function


def _metric(name: str, title: str, text: str, function: str, low: bool = False, head: bool = False) -> Metric:
    path = f"genenet.metrics.contingency:{function}"
    return Metric(name, text, path, title=title, is_better_high=not low, is_headline=head)


METRICS = Table(
    "metric",
    [
        _metric(
            "ari",
            "ARI",
            "adjusted Rand index over class labels; 1 is perfect. It isn't defined if the labels show only one class",
            "ari_of_several_classes",
            head=True,
        ),
        _metric(
            "accuracy",
            "Accuracy",
            "share of the voxels that have the right class",
            "Contingency.accuracy",
            head=True,
        ),
        _metric(
            "mean_iou",
            "Mean IoU",
            "mean of the intersection over union (IoU) of the classes that occur in the labels or in the result",
            "Contingency.mean_iou",
            head=True,
        ),
        _metric(
            "adapted_rand_error",
            "Adapted Rand error",
            "1 - F score of the pairs of voxels that have the same class; 0 is perfect",
            "Contingency.adapted_rand_error",
            low=True,
        ),
        _metric(
            "variation_of_information_split",
            "VI split",
            "conditional entropy H(result | labels) in bits; 0 is perfect",
            "variation_of_information_split",
            low=True,
        ),
        _metric(
            "variation_of_information_merge",
            "VI merge",
            "conditional entropy H(labels | result) in bits; 0 is perfect",
            "variation_of_information_merge",
            low=True,
        ),
    ],
)


def score_of_counts(contingency: Contingency, metric: str) -> float:
    """Return the score by a metric of SELECTION_METRICS; nan if it isn't defined."""
    wanted = SELECTION_METRICS[metric]
    value = wanted.of_scores({name: METRICS[name].function()(contingency) for name in wanted.of})
    return math.nan if value is None else value
