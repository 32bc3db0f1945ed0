"""What a difference between the ensemble and a rival shows: the one place that decides it and words it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from genenet.config.selection_metrics import SELECTION_METRICS
from genenet.metrics.intervals import FEW, LEVEL

if TYPE_CHECKING:
    from genenet.metrics.intervals import ConfidenceInterval

PERCENT = f"{LEVEL:.0%}".replace("%", " %")


class LeadVerdict(Enum):
    """What a difference shows; the value stands between *the ensemble* and the rival."""

    BEATS = "beats"
    NO_DIFFERENCE = "no difference to"
    BEHIND = "is behind"
    UNPROVEN_AHEAD = "may be ahead of"
    UNPROVEN_BEHIND = "may be behind"
    NOT_COMPARABLE = "can't be compared with"


@dataclass(frozen=True)
class Lead:
    """The ensemble's score minus that of a rival, on one set of images.

    Attributes:
        metric: of SELECTION_METRICS.
        value: of the difference; None if one of the scores is missing.
        interval: of the difference; None if it isn't known.
        spread: standard deviation of the rival's score over its seeds; None for one seed.
    """

    metric: str
    value: float | None
    interval: ConfidenceInterval | None = None
    spread: float | None = None

    @property
    def verdict(self) -> LeadVerdict:
        """What the difference shows: nothing if it is 0, or if its interval holds 0 or lies on the other side of 0."""
        if self.value is None:
            return LeadVerdict.NOT_COMPARABLE
        is_ahead = self.value > 0
        if not self.value:
            return LeadVerdict.NO_DIFFERENCE
        if not self.interval:
            return LeadVerdict.UNPROVEN_AHEAD if is_ahead else LeadVerdict.UNPROVEN_BEHIND
        if self.interval.may_be_chance or (self.interval.low > 0) != is_ahead:
            return LeadVerdict.NO_DIFFERENCE
        return LeadVerdict.BEATS if is_ahead else LeadVerdict.BEHIND

    @property
    def title(self) -> str:
        """The metric's title."""
        return SELECTION_METRICS[self.metric].title

    @property
    def amount(self) -> str:
        """The size of the difference with its metric: 0.055 ± 0.010 ARI."""
        size = abs(self.value or 0.0)
        spread = "" if self.spread is None else f" ± {self.spread:.3f}"
        return f"{'less than 0.001' if 0 < size < 0.0005 else f'{size:.3f}'}{spread} {self.title}"

    @property
    def range(self) -> str:
        """The limits of the interval; empty if it isn't known."""
        return f"{signed(self.interval.low)} to {signed(self.interval.high)}" if self.interval else ""

    @property
    def in_brackets(self) -> str:
        """The interval as it follows a difference in a sentence; empty if it isn't known."""
        return f" ({PERCENT} interval: {self.range})" if self.interval else ""

    def sentence(self, rival: str) -> str:
        """Return the sentence on the ensemble and a rival, such as ``the U-Net 2015``."""
        verdict, where = self.verdict, "ahead of" if (self.value or 0) > 0 else "behind"
        if verdict is LeadVerdict.NOT_COMPARABLE:
            return f"The ensemble can't be compared with {rival} by {self.title}: a score is missing."
        if verdict in (LeadVerdict.UNPROVEN_AHEAD, LeadVerdict.UNPROVEN_BEHIND):
            return (
                f"The ensemble is {self.amount} {where} {rival}; no interval is known, so this may be chance."
            )
        if verdict is not LeadVerdict.NO_DIFFERENCE:
            return f"The ensemble {verdict.value} {rival} by {self.amount}{self.in_brackets}."
        how = (
            f"it is {self.amount} {where.removesuffix(' of')}"
            if self.value
            else f"their {self.title} is the same"
        )
        return f"No difference is shown between the ensemble and {rival}: {how}{self.in_brackets}."


def signed(value: float) -> str:
    """Return a difference or a limit of it as text, with a true minus sign."""
    return f"{value:.3f}".replace("-0.000", "0.000").replace("-", "−")


def on_blocks(n_blocks: int) -> str:
    """Return a sentence on the blocks that intervals come from; it warns of few."""
    if n_blocks >= FEW:
        return f"The intervals come from {n_blocks} blocks."
    return f"The intervals are poorly known, since they come from only {n_blocks} blocks (fewer than {FEW})."
