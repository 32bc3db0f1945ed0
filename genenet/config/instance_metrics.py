"""The scores of numbered objects that are one number: each is an entry of one table."""

from __future__ import annotations

from dataclasses import dataclass

from genenet.core.choices import Choice, Table


@dataclass(frozen=True)
class InstanceMetric(Choice):
    """A score; its function takes an ``OverlapTable`` and returns a float, nan where the score isn't defined.

    Attributes:
        title: for the heads of tables and plots.
        is_better_high: whether more is better.
        is_headline: whether the report shows it.
    """

    title: str = ""
    is_better_high: bool = True
    is_headline: bool = False


def _metric(name: str, title: str, text: str, low: bool = False, head: bool = False) -> InstanceMetric:
    path = f"genenet.metrics.instances:{name}"
    return InstanceMetric(name, text, path, title=title, is_better_high=not low, is_headline=head)


INSTANCE_METRICS = Table(
    "metric of objects",
    [
        _metric(
            "average_precision_50",
            "AP 0.5",
            "matches with an IoU above 0.5, divided by true, predicted and matched objects together",
            head=True,
        ),
        _metric("average_precision_75", "AP 0.75", "the same with an IoU above 0.75"),
        _metric(
            "f1", "F1", "harmonic mean of the shares of true and of predicted objects that match", head=True
        ),
        _metric("panoptic_quality", "PQ", "F1 times the mean IoU of the matches"),
        _metric(
            "adapted_rand_error",
            "Adapted Rand error",
            "1 - F score of the pairs of voxels in the same object; 0 is perfect",
            low=True,
            head=True,
        ),
        _metric(
            "vi_split", "VI split", "conditional entropy H(result | truth) in bits; 0 is perfect", low=True
        ),
        _metric(
            "vi_merge", "VI merge", "conditional entropy H(truth | result) in bits; 0 is perfect", low=True
        ),
        _metric("n_split", "Splits", "pieces of true objects beyond the first", low=True, head=True),
        _metric(
            "n_merged", "Merges", "true objects beyond the first in a predicted object", low=True, head=True
        ),
        _metric("n_missed", "Missed", "true objects that lie mostly where nothing is predicted", low=True),
        _metric("n_false", "False", "predicted objects that lie mostly where nothing is", low=True),
    ],
)

THRESHOLD_METRIC = (
    "panoptic_quality"  # by which thresholds of objects are chosen, unless a config says otherwise
)
