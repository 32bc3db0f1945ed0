"""How children are made of their parents, as closed models that a config can hold. No numpy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from genenet.core.models import Closed
from genenet.genes.hyperparameters import Group, Level

Probability = Annotated[float, Field(ge=0, le=1)]


class MutationRates(Closed):
    """Probability that a gene of this level changes a hyperparameter; smaller where there are more genes."""

    net: Probability = 0.2
    path: Probability = 0.1
    stack: Probability = 0.05
    layer: Probability = 0.02
    edge: Probability = 0.02


class MutationScales(Closed):
    """Standard deviation of an additive step at genes of this level, as a share of the region's width."""

    net: PositiveFloat = 0.2
    path: PositiveFloat = 0.2
    stack: PositiveFloat = 0.2
    layer: PositiveFloat = 0.2
    edge: PositiveFloat = 0.2


class GroupRates(Closed):
    """Factors on the rates, by what a hyperparameter is for; 0 leaves a group as it is."""

    architecture: Probability = 1.0
    optimisation: Probability = 1.0
    regularisation: Probability = 1.0


class GroupScales(Closed):
    """Factors on the scales, by what a hyperparameter is for."""

    architecture: PositiveFloat = 1.0
    optimisation: PositiveFloat = 1.0
    regularisation: PositiveFloat = 1.0


class Mutation(Closed):
    """How a child differs from its one parent."""

    kind: Literal["additive", "replacing"] = Field(
        "additive", description="a normal step from the parent's value, or a new draw from the region"
    )
    rates: MutationRates = MutationRates()
    group_rates: GroupRates = GroupRates()
    scales: MutationScales = MutationScales()
    group_scales: GroupScales = GroupScales()

    def rate(self, level: Level, group: Group) -> float:
        """Return the probability that a hyperparameter is changed."""
        return float(getattr(self.rates, level) * getattr(self.group_rates, group))

    def scale(self, level: Level, group: Group) -> float:
        """Return the deviation of an additive step, as a share of the region's width."""
        return float(getattr(self.scales, level) * getattr(self.group_scales, group))


class CrossoverRates(Closed):
    """Probability that a gene of this level is the second parent's; at the net, that a hyperparameter is."""

    net: Probability = 0.5
    path: Probability = 0.5
    stack: Probability = 0.5
    layer: Probability = 0.5
    edge: Probability = 0.5


class Crossover(Closed):
    """What a child has of which parent."""

    rates: CrossoverRates = CrossoverRates()
    whole_groups: bool = Field(
        False, description="the net's hyperparameters of a group come from one parent together"
    )
