"""``controls:``, what a search is compared with: one architecture with several seeds, and one long training.

A search of architectures costs many trainings. The controls spend them in simpler ways, so that the report can say
whether the variety of the networks pays. They are never members of the ensemble.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, field_validator

from genenet.core.choices import OneOf
from genenet.core.models import Closed
from genenet.core.paths import LONG, baseline_run, control_run
from genenet.genes.baselines import BASELINES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

BEST = "best"  # the control of the search's best network
BaselineName = Annotated[str, OneOf(BASELINES)]


class Controls(Closed):
    """Trainings that the ensemble is compared with in the report; they are never members of the ensemble."""

    seeds: int = Field(
        4,
        ge=2,
        description="number of trainings of one architecture, each with other random numbers, that form an ensemble: "
        "of the best network of the search, and of each baseline below. The training in the search counts as "
        "the first",
    )
    baselines: list[BaselineName] | None = Field(
        None,
        description="baselines of which an ensemble of several seeds is trained; null: all that are switched on",
    )
    long: list[BaselineName] | None = Field(
        None,
        description="baselines that are trained once more, with as many iterations as all trainings of the search "
        "together; null: the same as baselines",
    )

    @field_validator("baselines", "long")
    @classmethod
    def _each_once(cls, names: list[str] | None) -> list[str] | None:
        for name in names or ():
            if (names or []).count(name) > 1:
                raise ValueError(f"{name} is given twice; name each baseline once")
        return names

    def check(self, switched_on: Collection[str]) -> None:
        """Raise ValueError if a baseline is named that isn't switched on under ``baselines:``."""
        for key, names in (("baselines", self.baselines), ("long", self.long)):
            for name in names or ():
                if name not in switched_on:
                    raise ValueError(
                        f"controls.{key}: {name} is not switched on; add it under baselines: ({name}: {{}}), "
                        "or leave it out here"
                    )

    def planned(self, n_seeds: Mapping[str, int]) -> list[Control]:
        """Return the controls in the order of the report.

        Args:
            n_seeds: of the baselines that are switched on, by name. These trainings count as the first ones.
        """
        several = list(n_seeds) if self.baselines is None else self.baselines
        once = several if self.long is None else self.long
        repeats = range(1, self.seeds + 1)
        return [
            Control(BEST, tuple(control_run(BEST, repeat) for repeat in repeats[1:])),
            *(
                Control(name, tuple(_run_of(name, repeat, n_seeds[name]) for repeat in repeats), name)
                for name in several
            ),
            *(Control(f"{name}_{LONG}", (control_run(name, None),), name, is_long=True) for name in once),
        ]


def _run_of(baseline: str, repeat: int, n_seeds: int) -> str:
    """Return the name of a baseline's training: one of ``baselines:``, as long as these are enough."""
    if repeat > n_seeds:
        return control_run(baseline, repeat)
    return baseline_run(baseline, repeat)


@dataclass(frozen=True)
class Control:
    """One control.

    Attributes:
        name: ``best``, or that of a baseline, with ``_long`` for its long training.
        runs: its trainings. Those of ``best`` are without the search's own training of that network, whose name is
            known once the networks are ranked.
        baseline: that is trained; None for the best network of the search.
        is_long: whether it is one long training instead of several seeds.
    """

    name: str
    runs: tuple[str, ...]
    baseline: str | None = None
    is_long: bool = False
