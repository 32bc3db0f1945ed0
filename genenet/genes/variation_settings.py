"""How children differ from their parents, as closed models that a config can hold. No numpy."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, model_validator

from genenet.core.models import Closed
from genenet.genes.hyperparameters import Level

Probability = Annotated[float, Field(ge=0, le=1)]


class ByLevel(Closed):
    """A number for each level of genes."""

    def of(self, level: Level) -> float:
        """Return the number of a level."""
        return float(getattr(self, level))


class MutationRates(ByLevel):
    """Probability that a gene of this level changes a hyperparameter; smaller where there are more genes."""

    net: Probability = 0.2
    path: Probability = 0.1
    stack: Probability = 0.05
    layer: Probability = 0.02
    edge: Probability = 0.02


class MutationScales(ByLevel):
    """Standard deviation of an additive step at genes of this level, as a share of the region's width."""

    net: PositiveFloat = 0.2
    path: PositiveFloat = 0.2
    stack: PositiveFloat = 0.2
    layer: PositiveFloat = 0.2
    edge: PositiveFloat = 0.2


class Mutation(Closed):
    """How a child differs from its one parent."""

    kind: Literal["additive", "replacing"] = Field(
        "additive", description="a normal step from the parent's value, or a new draw from the region"
    )
    rates: MutationRates = MutationRates()
    scales: MutationScales = MutationScales()

    @model_validator(mode="before")
    @classmethod
    def _has_no_groups(cls, value: Any) -> Any:
        refuse(value, {"group_rates": "rates, or one number in search.regions for what should stay as it is"})
        return refuse(value, {"group_scales": "scales"})


def refuse(value: Any, replaced: dict[str, str]) -> Any:
    """Return the value; raises ValueError if it has a key of an earlier version, with what replaces the key."""
    for key, what in replaced.items():
        if isinstance(value, dict) and key in value:
            raise ValueError(f"{key}: this key has been removed; use {what}")
    return value
