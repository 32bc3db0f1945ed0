"""Whether the variety of an ensemble's networks pays: the sentence on the ensemble and the best control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genenet.config.selection_metrics import SCORES
from genenet.ensembles.claims import in_text
from genenet.ensembles.verdicts import PERCENT, Lead, LeadVerdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.ensembles.comparison import ComparedRow


@dataclass(frozen=True)
class _AgainstBest:
    """The ensemble's lead over the control that is the best one by a metric."""

    lead: Lead
    rival: ComparedRow

    @property
    def name(self) -> str:
        """The metric, as it stands in a sentence."""
        return in_text(self.lead.metric)

    @property
    def text(self) -> str:
        """How far the ensemble is ahead or behind, with the interval and, if that is so, that it shows nothing."""
        lead, value = self.lead, self.lead.value or 0.0
        shows = "; no difference is shown" if lead.verdict is LeadVerdict.NO_DIFFERENCE else ""
        brackets = f" ({PERCENT} interval: {lead.range}{shows})" if lead.interval else ""
        how = f"{abs(value):.3f} {self.name} {'ahead of' if value > 0 else 'behind'}"
        return (how if value else f"as good in {self.name} as") + brackets


def verdict(rows: Sequence[ComparedRow], has_test: bool) -> str:
    """Return the sentence that says whether the ensemble beats the best control, in each of the metrics."""
    ensemble, controls = rows[0], [row for row in rows if row.kind == "control"]
    found = [each for metric in SCORES if (each := _against_best(metric, ensemble, controls, has_test))]
    if not found:
        return "Whether variety beats the controls can't be said: there is no score that both have."
    is_proven = any(each.lead.interval for each in found)
    good = LeadVerdict.BEATS if is_proven else LeadVerdict.UNPROVEN_AHEAD
    won = [each.name for each in found if each.lead.verdict is good]
    lost = [each.name for each in found if each.lead.verdict is not good]
    verb = "beats" if is_proven else "is ahead of"
    answer = f"Variety {verb} the controls" if won else "Variety doesn't beat the controls"
    if won and lost:
        answer += f" in {' and '.join(won)}, but not in {' and '.join(lost)}"
    where = "test" if has_test else "validation"
    rivals = dict.fromkeys(each.rival.title for each in found)
    texts = {rival: " and ".join(e.text for e in found if e.rival.title == rival) for rival in rivals}
    beside = " and ".join(f"{text} the best control ({rival})" for rival, text in texts.items())
    chance = "" if is_proven else "; no interval is known, so differences may be chance"
    return f"{answer}: on the {where} images the ensemble is {beside}{chance}."


def _against_best(
    metric: str, ensemble: ComparedRow, controls: Sequence[ComparedRow], has_test: bool
) -> _AgainstBest | None:
    """Compare the ensemble with the best control; None if one of them has no such score."""

    def score(row: ComparedRow) -> float | None:
        return ((row.test or {}) if has_test else row.validation).get(metric)

    known = [(value, row) for row in controls if (value := score(row)) is not None]
    own = score(ensemble)
    if own is None or not known:
        return None
    value, rival = max(known, key=lambda pair: pair[0])
    return _AgainstBest(Lead(metric, own - value, rival.intervals.get(metric)), rival)
