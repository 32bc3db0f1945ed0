"""What the trainings of a search cost, in operations: worked out from the config, without torch or images."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING

from genenet.config.stages import search_rounds
from genenet.core.logs import quiet
from genenet.genes import generation
from genenet.genes.baselines import BASELINES
from genenet.genes.plan import plan

if TYPE_CHECKING:
    from genenet.config.model import Config
    from genenet.config.rounds import Round
    from genenet.genes.genome import Genome
    from genenet.genes.plan import Plan

BACKWARD = 3  # a training step takes about three times the operations of a forward pass
MOST_DRAWN = 20  # genomes whose mean stands for all


def step_operations(built: Plan, batch_size: int) -> float:
    """Return the operations of a training step; a multiplication and an addition are two."""
    return float(sum(step.flops for step in built.steps()) * BACKWARD * batch_size)


@dataclass(frozen=True)
class TrainingsCost:
    """What all trainings of a search cost together; validations aren't counted.

    Attributes:
        n_genomes: that are trained, some of them not to the end if the search halves.
        n_baselines: trainings of baselines.
        iterations: of a whole training.
        operations: of all trainings.
    """

    n_genomes: int
    n_baselines: int
    iterations: int
    operations: float

    @classmethod
    def of(cls, config: Config) -> TrainingsCost:
        """Draw some genomes of a search, and return what all cost.

        Children of an evolution count as the genomes that are drawn.

        Raises:
            InputError: If no genome can be drawn from the search's regions.
        """
        rounds, iterations = search_rounds(config), config.training.iterations
        n_genomes = sum(each.n_genomes for each in rounds)
        steps = sum(_iterations(each, iterations) for each in rounds)
        operations = steps * _mean_step(config, min(n_genomes, MOST_DRAWN))
        baselines = config.baselines.chosen()
        for name, options in baselines.items():
            genome = BASELINES[name].genome(**options.model_dump())
            operations += options.n_seeds * iterations * _step(genome, config)
        n_baselines = sum(options.n_seeds for options in baselines.values())
        return cls(n_genomes, n_baselines, iterations, operations)


def _mean_step(config: Config, n: int) -> float:
    """Return the mean operations of a step over the first ``n`` genomes."""
    regions = config.search.feasible_regions()
    with quiet(generation.__name__):  # of draws that are rejected
        genomes = [generation.draw(regions, config.search.seed, index) for index in range(n)]
    return fmean(_step(genome, config) for genome in genomes)


def _step(genome: Genome, config: Config) -> float:
    return step_operations(plan(genome.net, len(config.data.classes)), config.training.batch_size)


def _iterations(round_: Round, iterations: int) -> int:
    """Return the iterations of all trainings of a round; a rung continues the trainings of the rung before it."""
    if not round_.rungs:
        return round_.n_genomes * iterations
    first = round_.rungs[0]
    more = (b.n_slots * (b.iterations - a.iterations) for a, b in pairwise(round_.rungs))
    return first.n_slots * first.iterations + sum(more)
