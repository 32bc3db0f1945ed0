"""``ensemble:``, how the members are chosen."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic import PositiveInt as Positive

from genenet.config.types import (
    Combination,
    EnsembleStrategy,
)
from genenet.core.models import Closed


class Ensemble(Closed):
    """How the ensemble is chosen."""

    strategy: EnsembleStrategy = Field(
        "best_n",
        description="best_n: the networks of the highest ARI; greedy: one after the other, for the highest ARI of all "
        "together; weighted: by weights of least squared error",
    )
    size: Positive | Literal["auto"] = Field("auto", description="members; auto: the best size of the curve")
    max_size: Positive = Field(10, description="the curve is computed up to this size")
    minimum: Positive = Field(1, description="fewer successful trainings than this are an error")
    combination: Combination = Field(
        "mean",
        description="of the members: mean of probabilities, weighted by validation ARI, or vote of the majority",
    )

    @model_validator(mode="after")
    def _size_is_on_the_curve(self) -> Self:
        if self.size != "auto" and self.size > self.max_size:
            raise ValueError(f"size {self.size} is more than max_size {self.max_size}; raise max_size")
        return self

    @model_validator(mode="after")
    def _strategies_give_weights(self) -> Self:
        if self.strategy != "best_n" and self.combination != "mean":
            raise ValueError(
                f"combination {self.combination}: strategy {self.strategy} gives the members weights of its own; "
                "leave combination out"
            )
        return self
