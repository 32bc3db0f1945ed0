"""Where an axis of scores begins, so that the few networks that don't learn don't press all others together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

FENCE = 3.0  # interquartile ranges below the first quartile, Tukey's outer fence
LEAST_SPREAD = 0.02  # ARI; networks as near as that aren't far from each other


@dataclass(frozen=True)
class Focus:
    """An axis of ARI on which those far below stand at the lower edge.

    Attributes:
        range: first and last ARI of the axis.
        lowest: of those that are drawn to scale.
    """

    range: tuple[float, float]
    lowest: float

    @classmethod
    def of(cls, aris: Sequence[float], shown: Sequence[float] = ()) -> Focus:
        """Return where most of some scores are.

        Args:
            aris: that say what is far below.
            shown: what else is drawn; the axis reaches up to it.
        """
        q1, q3 = np.quantile(aris, [0.25, 0.75])
        lowest = min(ari for ari in aris if ari >= q1 - FENCE * max(q3 - q1, LEAST_SPREAD))
        highest = max([*aris, *shown])
        height = max(highest - lowest, LEAST_SPREAD)
        return cls((lowest - 0.14 * height, highest + 0.08 * height), lowest)

    def height(self, ari: float) -> float:
        """Return where an ARI is drawn."""
        edge = (2 * self.range[0] + self.lowest) / 3
        return max(ari, edge) if ari < self.lowest else ari
