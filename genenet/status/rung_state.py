"""How far trainings are to go for now, where a search has rungs: told from the rankings."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from genenet.core.tolerant_read import glimpse
from genenet.status.run_state import RunState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from genenet.config.rounds import Round
    from genenet.core.paths import ResultPaths


@dataclass
class Aims:
    """What is known of the rungs.

    Attributes:
        iterations: that a training is to reach, by run; the whole where there are no rungs.
        open: trainings of which it isn't known yet which genomes they go on with; ``iterations`` are what they add.
    """

    iterations: dict[str, int] = field(default_factory=dict)
    open: list[RunState] = field(default_factory=list)


def read_aims(rounds: Sequence[Round], paths: ResultPaths) -> Aims:
    """Look at the rankings of all rungs but the last ones."""
    aims = Aims()
    for each in rounds:
        if each.rungs:
            aims.iterations |= dict.fromkeys(each.runs, each.rungs[0].iterations)
        for rung, next_ in pairwise(each.rungs):
            best = list(_ranked(paths.rung(each.number, rung.iterations)))[: next_.n_slots]
            aims.iterations |= dict.fromkeys(best, next_.iterations)
            added = next_.iterations - rung.iterations
            if not best:
                aims.open += [RunState(run="", state="waiting", iterations=added)] * next_.n_slots
    return aims


def _ranked(path: str) -> Iterator[str]:
    """Yield the runs of a ranking that have weights, best first; none if it isn't there or isn't whole."""
    seen = glimpse(path)
    slots = seen.json().get("slots") if seen else None
    for slot in slots if isinstance(slots, list) else ():
        if isinstance(slot, dict) and slot.get("status") == "ok" and isinstance(slot.get("run"), str):
            yield slot["run"]
