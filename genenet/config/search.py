"""Which genomes a search trains, and for how long: ``search:`` in config.yaml."""

from __future__ import annotations

from operator import not_
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic import NonNegativeInt as NonNegative
from pydantic import PositiveInt as Positive

from genenet.config.start import member_genomes
from genenet.core.models import Closed
from genenet.genes.domains import Region
from genenet.genes.feasible_regions import read_region, regions_schema
from genenet.genes.hyperparameters import LEVELS
from genenet.genes.variation_settings import Mutation, Probability, refuse

Strategy = Literal["random", "halving", "evolution", "evolution_and_halving", "surrogate"]


class Draws(Closed):
    """What a genome depends on, except its round and index."""

    seed: NonNegative = 0
    regions: dict[str, dict[str, Any]] = Field(
        {},
        description="feasible regions by level of the gene (net: values; path, stack, layer, edge: deltas)",
        json_schema_extra=regions_schema(),
    )

    @model_validator(mode="after")
    def _regions_can_be_read(self) -> Self:
        regions = self.feasible_regions()
        for level, name in ((a, b) for a in LEVELS[1:] for b in regions.get(a, {})):
            values = self.regions.get("net", {}).get(name)
            if values is not None and not (isinstance(values, list) and len(values) > 1):
                raise ValueError(
                    f"regions.{level}.{name}: has no room, since net.{name} is fixed; give net a region"
                )
        return self

    def feasible_regions(self) -> dict[str, dict[str, Region]]:
        """Return the regions by level and hyperparameter."""
        unknown = set(self.regions) - set(LEVELS)
        if unknown:
            raise ValueError(f"regions.{min(unknown)}: no such level; use one of {', '.join(LEVELS)}")
        return {
            level: {name: read_region(level, name, value) for name, value in regions.items()}
            for level, regions in self.regions.items()
        }


class Halving(Closed):
    """Successive halving (Jamieson and Talwalkar 2016): short trainings of many genomes, longer ones of the best."""

    eta: Annotated[int, Field(ge=2)] = Field(
        3,
        description="one genome in eta continues to the next rung, which ends after eta times the iterations",
    )
    rungs: Annotated[int, Field(ge=2)] = Field(
        3, description="number of rungs; the last one ends after training.iterations"
    )
    brackets: Positive = Field(
        1,
        description="Hyperband (Li et al. 2018): number of halvings; each begins one rung later, with fewer genomes",
    )

    @model_validator(mode="after")
    def _brackets_have_rungs(self) -> Self:
        if self.brackets > self.rungs:
            raise ValueError(
                f"brackets {self.brackets} is more than rungs {self.rungs}; each begins one rung later"
            )
        return self


class InheritedWeights(Closed):
    """Children begin with the weights of a parent, where the layers match, and are trained for a shorter time."""

    iterations: float = Field(
        1 / 3,
        gt=0,
        le=1,
        description="iterations of a child, as a share of training.iterations; rounded to a multiple of "
        "training.validation_interval",
    )

    def iterations_of_child(self, iterations: int, validation_interval: int) -> int:
        """Return the iterations of a child, where a whole training has ``iterations``."""
        exact = self.iterations * iterations / validation_interval
        return min(iterations, max(1, round(exact)) * validation_interval)


class Breeding(Closed):
    """Regularised evolution (Real et al. 2019): the best of a few of the newest genomes become parents."""

    population: Positive = Field(
        20, description="number of possible parents: the newest genomes that have a score"
    )
    tournament: Positive = Field(
        5,
        description="number of possible parents that are drawn at random; the best of them becomes a parent",
    )
    crossover: Probability = Field(
        0.3,
        description="share of children that have two parents; each gene comes from one of the two, with equal "
        "probability",
    )
    mutation: Mutation = Mutation()

    @model_validator(mode="before")
    @classmethod
    def _has_no_crossing(cls, value: Any) -> Any:
        return refuse(value, {"crossing": "crossover, the share of children that have two parents"})


class Evolution(Breeding):
    """How children are bred, and with which weights they begin."""

    inherit_weights: InheritedWeights | None = Field(
        None,
        description="children begin with the weights of a parent and are trained for fewer iterations; null: they "
        "begin with random weights and are trained like all others",
    )

    @property
    def breeding(self) -> Breeding:
        """What children depend on, but for their weights."""
        return Breeding.model_validate(self.model_dump(exclude={"inherit_weights"}))


class Surrogate(Closed):
    """A surrogate model (as in SMAC, Hutter et al. 2011) chooses the genomes of later rounds from many candidates.

    Half of the candidates are drawn at random, half are children of the best, made with the options of ``evolution``.
    """

    candidates: Annotated[int, Field(ge=10)] = Field(
        400, description="number of candidates from which the genomes of a round are chosen"
    )
    least_scores: Annotated[int, Field(ge=4)] = Field(
        8,
        description="number of genomes with a score that the model needs; with fewer, a round is drawn at random",
    )


class Search(Draws):
    """Which genomes are drawn, and how many."""

    strategy: Strategy = Field(
        "random",
        description="random: all genomes are drawn and trained in full; halving: only the best continue; evolution: "
        "later rounds are children of the best; evolution_and_halving: both; surrogate: a model of the scores so far "
        "chooses the genomes of later rounds from many candidates",
    )
    n_genomes: Positive | Annotated[list[Positive], Field(min_length=1)] = Field(
        6, description="number of genomes; a list gives that of each round: [20, 10, 10]"
    )
    from_: Path | None = Field(
        None,
        alias="from",
        exclude_if=not_,
        description="the results folder of a finished search, or an ensemble's folder, whose members are the genomes "
        "of this search, with members: true; null: genomes are drawn. training.start is then the same folder",
    )
    members: bool = Field(
        False,
        exclude_if=not_,
        description="only with from: the genomes are those of the ensemble's members, best first; n_genomes is their "
        "number, or how many of them are trained",
    )
    halving: Halving = Halving()
    evolution: Evolution = Evolution()
    surrogate: Surrogate = Surrogate()

    @model_validator(mode="before")
    @classmethod
    def _has_no_preset(cls, value: Any) -> Any:
        if isinstance(value, dict) and "preset" in value:
            raise ValueError(
                f"preset: this key has been moved; write preset: {value['preset']} at the top of the config, beside "
                "search:"
            )
        return value

    @model_validator(mode="before")
    @classmethod
    def _members_are_counted(cls, value: Any) -> Any:
        """Without ``n_genomes``, all members are meant. Their number is needed before any job can be planned."""
        is_counted = not isinstance(value, dict) or "n_genomes" in value
        if is_counted or not value.get("members") or not isinstance(value.get("from"), str | Path):
            return value
        return {**value, "n_genomes": len(member_genomes(Path(value["from"])))}

    @model_validator(mode="after")
    def _members_are_those_of_a_search(self) -> Self:
        if self.members and self.from_ is None:
            raise ValueError("members: of which ensemble? Give from: the results folder of a finished search")
        if self.from_ is not None and not self.members:
            raise ValueError(
                "from: only members: true is possible beside it; to begin with the weights of another search, and draw "
                "genomes as ever, use training.start"
            )
        if self.members and self.strategy != "random":
            raise ValueError(
                f"strategy: {self.strategy} makes genomes of its own, but members: true names them all; leave strategy "
                "out"
            )
        return self

    @model_validator(mode="after")
    def _rounds_fit_the_strategy(self) -> Self:
        n = self.n_genomes
        if self.breeds and (isinstance(n, int) or len(n) < 2):
            raise ValueError(
                f"n_genomes: {self.strategy} has rounds; give the number of genomes of each, such as [20, 10, 10]"
            )
        if not self.breeds and not isinstance(n, int):
            raise ValueError(f"n_genomes: {self.strategy} has one round; give one number, such as {sum(n)}")
        if self.evolves and self.halving.brackets > 1:
            raise ValueError(f"halving.brackets: not with {self.strategy}, whose rounds have the same rungs")
        if self.asks_a_model and not isinstance(n, int) and max(n[1:]) > self.surrogate.candidates:
            raise ValueError(
                f"surrogate.candidates {self.surrogate.candidates} is less than the {max(n[1:])} genomes of a round; "
                "raise it, for example to ten times the genomes of a round"
            )
        if self.evolution.inherit_weights and not self.evolves:
            raise ValueError(
                f"evolution.inherit_weights: has no effect, since strategy is {self.strategy}; leave it out, or use "
                "evolution"
            )
        return self

    @property
    def evolves(self) -> bool:
        """Whether later rounds are children of earlier ones."""
        return self.strategy.startswith("evolution")

    @property
    def asks_a_model(self) -> bool:
        """Whether a surrogate model chooses the genomes of later rounds."""
        return self.strategy == "surrogate"

    @property
    def breeds(self) -> bool:
        """Whether the genomes of later rounds depend on the scores of earlier ones."""
        return self.evolves or self.asks_a_model

    @property
    def halves(self) -> bool:
        """Whether trainings are cut short if others are better."""
        return self.strategy.endswith("halving")

    @property
    def n_by_round(self) -> list[int]:
        """Genomes of each round. Brackets are rounds; they cost about the same (Li et al. 2018, algorithm 1)."""
        if not isinstance(self.n_genomes, int):
            return self.n_genomes
        if not self.halves:
            return [self.n_genomes]
        eta, k = self.halving.eta, self.halving.rungs
        return [-(-self.n_genomes * k // ((k - b) * eta**b)) for b in range(self.halving.brackets)]
