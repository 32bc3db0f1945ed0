"""``ensemble:``, how the members are chosen and combined, and the tables of the ways to do it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import not_
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic import PositiveInt as Positive

from genenet.config.instance_metrics import INSTANCE_METRICS, THRESHOLD_METRIC
from genenet.config.selection_metrics import RANKING_METRIC, SELECTION_METRICS, SelectionMetricName
from genenet.core.choices import Choice, OneOf, Table
from genenet.core.models import Closed


@dataclass(frozen=True)
class StrategyChoice(Choice):
    """A way to choose members; its function takes a ``Pool`` of networks and returns the weights of the members.

    Attributes:
        gives_weights: whether the members have weights of the strategy's own; otherwise ``combination`` says how they
            are combined.
        needs_objects: whether it needs images with instances; it is then tried only if the config asks for it, since
            objects take long.
    """

    gives_weights: bool = True
    needs_objects: bool = False


@dataclass(frozen=True)
class CombinationChoice(Choice):
    """A way to combine members; its function takes their validation scores and returns their weights.

    Attributes:
        votes: whether a member counts with its most probable class only, instead of its probabilities.
    """

    votes: bool = False

    def weights(self, scores: Sequence[float]) -> list[float]:
        """Return the weights of members with these validation scores."""
        return list(self.function()(scores))


STRATEGIES = Table(
    "ensemble strategy",
    [
        StrategyChoice(
            "best_n",
            "the networks with the highest score, as many as size says",
            "genenet.ensembles.strategies:best_n",
            gives_weights=False,
        ),
        StrategyChoice(
            "greedy",
            "networks are added one by one, each time the one with which the ensemble has the highest score "
            "(Caruana et al. 2004)",
            "genenet.ensembles.strategies:greedy",
        ),
        StrategyChoice(
            "weighted",
            "the weights for which the ensemble has the least squared error (stacking, Breiman 1996)",
            "genenet.ensembles.strategies:weighted",
        ),
        StrategyChoice(
            "best_objects",
            "the networks whose objects have the best object_metric, as many as size says, or as have the best objects "
            "together; images need instances",
            "genenet.ensembles.strategies:best_objects",
            gives_weights=False,
            needs_objects=True,
        ),
    ],
)

COMBINATIONS = Table(
    "combination",
    [
        CombinationChoice(
            "mean",
            "the mean of the members' probabilities",
            "genenet.metrics.ambiguity:equal_weights",
        ),
        CombinationChoice(
            "weighted",
            "the mean of the members' probabilities, weighted by validation score",
            "genenet.metrics.ambiguity:score_weights",
        ),
        CombinationChoice(
            "vote",
            "each member votes for its most probable class",
            "genenet.metrics.ambiguity:equal_weights",
            votes=True,
        ),
    ],
)

EnsembleStrategy = Annotated[str, OneOf(STRATEGIES)]
Combination = Annotated[str, OneOf(COMBINATIONS)]


class EnsembleSettings(Closed):
    """How the ensemble is chosen."""

    metric: SelectionMetricName = Field(
        RANKING_METRIC,
        description="validation score that orders the networks, and by which members and the parents of evolution "
        f"are chosen. {SELECTION_METRICS.text}",
    )
    object_metric: Annotated[str, OneOf(INSTANCE_METRICS)] | None = Field(
        None,
        exclude_if=not_,
        description="validation score by which the thresholds of objects are chosen, where images have instances, and "
        "the members of best_objects: "
        f"{', '.join(INSTANCE_METRICS)}; null: {THRESHOLD_METRIC}",
    )
    strategy: EnsembleStrategy = Field("best_n", description=STRATEGIES.text)
    size: Positive | Literal["auto"] = Field(
        "auto",
        description="number of members; auto: the number with the highest score on the curve of best_n",
    )
    max_size: Positive = Field(
        10, description="largest number of members, on the curve and for the other strategies"
    )
    minimum: Positive = Field(
        1, description="number of successful trainings below which selection ends with an error"
    )
    combination: Combination = Field(
        "mean", description=f"{COMBINATIONS.text}. Only with strategy: best_n or best_objects"
    )
    refit: bool = Field(
        False,
        description="after the selection, train the members anew with training and validation images together, for "
        "as many iterations; members and weights stay those that validation chose, and validation scores are of the "
        "networks before",
    )

    @property
    def most_members(self) -> int:
        """The largest number of members that a strategy may choose."""
        return self.max_size if self.size == "auto" else self.size

    @model_validator(mode="after")
    def _size_is_on_the_curve(self) -> Self:
        if self.size != "auto" and self.size > self.max_size:
            raise ValueError(f"size {self.size} is more than max_size {self.max_size}; raise max_size")
        return self

    @model_validator(mode="after")
    def _strategies_give_weights(self) -> Self:
        if STRATEGIES[self.strategy].gives_weights and self.combination != "mean":
            raise ValueError(
                f"combination {self.combination}: strategy {self.strategy} gives the members weights of its own; "
                "leave combination out"
            )
        return self
