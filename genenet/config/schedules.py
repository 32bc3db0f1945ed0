"""``training.schedule:``, how the learning rate changes, and the table of the schedules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from pydantic import Field, NonNegativeInt

from genenet.core.choices import Choice, Table
from genenet.core.chosen import Chosen
from genenet.core.models import Closed


class WarmUp(Closed):
    """Of schedules that don't begin with a low learning rate themselves."""

    warm_up_iterations: NonNegativeInt = Field(
        0, description="iterations at the beginning in which the learning rate rises linearly"
    )

    def rise(self, iteration: int) -> float:
        """Return the factor of a step's learning rate: it rises to 1 in the last step of the warm-up."""
        steps = self.warm_up_iterations
        return min(1.0, (iteration + 1) / steps) if steps else 1.0


@dataclass(frozen=True)
class ScheduleChoice(Choice):
    """A schedule; its function takes a ``TrainingStep`` of the training and returns its learning rate.

    Attributes:
        depends_on_end: whether the rate depends on the number of iterations of the whole training, so that the
            first iterations of a longer training aren't those of a shorter one.
        hyperparameters: that it reads beside the learning rate. A search with another schedule doesn't draw them.
    """

    depends_on_end: bool = True
    hyperparameters: tuple[str, ...] = ()


SCHEDULES = Table(
    "learning-rate schedule",
    [
        ScheduleChoice(
            "exponential",
            "falls exponentially, by the factor decay_rate in decay_steps iterations (both from the genome)",
            "genenet.training.schedules:exponential",
            WarmUp,
            depends_on_end=False,
            hyperparameters=("decay_steps", "decay_rate"),
        ),
        ScheduleChoice(
            "cosine",
            "falls to 0 along half a cosine (Loshchilov and Hutter 2017, eq. 5, without restarts)",
            "genenet.training.schedules:cosine",
            WarmUp,
        ),
        ScheduleChoice(
            "one_cycle",
            "rises from 1/25 for 30 % of the iterations, then falls to 1/250000 (Smith and Topin 2019)",
            "genenet.training.schedules:one_cycle",
        ),
        ScheduleChoice(
            "constant",
            "stays at the genome's learning rate",
            "genenet.training.schedules:constant",
            WarmUp,
            depends_on_end=False,
        ),
    ],
)


class Schedule(Chosen):
    """How the learning rate changes; the genome gives its base."""

    table: ClassVar[Table[ScheduleChoice]] = SCHEDULES

    kind: str = "exponential"

    @property
    def depends_on_end(self) -> bool:
        """Whether the first iterations of a longer training differ from those of a shorter one."""
        return self.table[self.kind].depends_on_end

    @property
    def without_effect(self) -> set[str]:
        """Hyperparameters that only other schedules read."""
        read = {name for entry in self.table.values() for name in entry.hyperparameters}
        return read.difference(self.table[self.kind].hyperparameters)

    def shortened(self, share: float) -> Self:
        """Return the schedule of a training with a share of the iterations: its warm-up is shorter as well."""
        if not isinstance(self.options, WarmUp):
            return self
        warm_up = round(share * self.options.warm_up_iterations)
        return self.model_copy(update={"options": WarmUp(warm_up_iterations=warm_up)})
