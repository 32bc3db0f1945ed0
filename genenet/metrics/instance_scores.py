"""The scores of numbered objects, as files hold them; :mod:`genenet.metrics.instances` computes them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field, NonNegativeInt

from genenet.config.instance_metrics import INSTANCE_METRICS
from genenet.core.models import Closed

if TYPE_CHECKING:
    from genenet.metrics.instance_overlaps import OverlapTable


class SizeClass(Closed):
    """What became of the true objects of one size; each is counted once.

    Attributes:
        from_voxels: the smallest size.
        to_voxels: the largest size.
        found: matched.
        merged: of the others, those that lie mostly in a predicted object with another true one.
        split: of the others, those with several pieces.
        missed: the rest.
    """

    from_voxels: NonNegativeInt
    to_voxels: NonNegativeInt
    found: NonNegativeInt
    merged: NonNegativeInt
    split: NonNegativeInt
    missed: NonNegativeInt


class InstanceScores(Closed):
    """The scores of numbered objects, as files hold them.

    Attributes:
        n_true: true objects.
        n_predicted: predicted objects.
        metrics: by the names of INSTANCE_METRICS; None where one isn't defined.
        by_size: of the true objects, smallest first, in powers of ten voxels.
    """

    n_true: NonNegativeInt
    n_predicted: NonNegativeInt
    metrics: dict[str, float | None]
    by_size: list[SizeClass] = Field(default_factory=list)

    @classmethod
    def of(cls, table: OverlapTable) -> InstanceScores:
        """Return the scores of a table."""
        from genenet.metrics.instances import by_size  # imports numpy

        values = {name: INSTANCE_METRICS[name].function()(table) for name in INSTANCE_METRICS}
        return cls(
            n_true=len(table.true_objects[0]),
            n_predicted=len(table.predicted_objects[0]),
            metrics={name: None if math.isnan(value) else round(value, 6) for name, value in values.items()},
            by_size=by_size(table),
        )
