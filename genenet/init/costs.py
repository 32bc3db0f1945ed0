"""What drawn networks cost: operations, memory, and the voxels that a training step teaches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from numpy.random import PCG64, Generator, SeedSequence

from genenet.config.search import Draws
from genenet.core.random_streams import Stream
from genenet.genes.baselines import BASELINES
from genenet.genes.gene_graph import grow
from genenet.genes.generation import draw, drawn, lower_input_size
from genenet.genes.memory import TORCH_BYTES, training_bytes
from genenet.genes.plan import plan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from genenet.genes.feasible_regions import Regions
    from genenet.genes.genome import Genome
    from genenet.init.sizes import Sizes

SEED = 1
N_DRAWN = 20  # genomes that are drawn to see what a search costs
N_TRIED = 60  # draws to see how many of them are feasible


@dataclass(frozen=True)
class TrainingCost:
    """What a genome costs; ``flops``, ``memory_bytes`` and ``n_taught`` are those of a training step with its batch.

    ``n_taught`` is the number of voxels of the output: the loss compares them with the labels.
    """

    genome: Genome
    n_parameters: int
    flops: float
    memory_bytes: int
    n_taught: int
    input_size: int


def feasible_regions(regions: Mapping[str, Mapping[str, Any]]) -> Regions:
    """Read regions as config.yaml writes them."""
    return Draws(regions=regions).feasible_regions()


def feasible_share(regions: Regions) -> float:
    """Return the share of draws from these regions that can be built."""
    rng = Generator(PCG64(SeedSequence(SEED, spawn_key=(Stream.TRIAL_DRAWS,))))
    nets = (grow(lambda gene: drawn(gene, regions, rng)) for _ in range(N_TRIED))
    return sum(lower_input_size(net, regions) is None for net in nets) / N_TRIED


def costs(sizes: Sizes, n_classes: int) -> list[TrainingCost]:
    """Return what the search's genomes cost, in the search's order; of a small search some more are drawn."""
    regions = feasible_regions(sizes.regions)
    genomes = (draw(regions, SEED, index) for index in range(max(N_DRAWN, sizes.n_genomes)))
    return [cost_of(genome, sizes.batch_size, n_classes) for genome in genomes]


def baseline_cost(name: str, options: Mapping[str, Any], batch_size: int, n_classes: int) -> TrainingCost:
    """Return what a baseline costs."""
    return cost_of(BASELINES[name].genome(**options), batch_size, n_classes)


def cost_of(genome: Genome, batch_size: int, n_classes: int) -> TrainingCost:
    """Return what a genome costs."""
    built = plan(genome.net, n_classes)
    flops = built.step_flops(batch_size)
    memory = TORCH_BYTES + training_bytes(built, batch_size, 4)
    n_taught = batch_size * math.prod(built.output_shape)
    return TrainingCost(genome, built.n_parameters, flops, memory, n_taught, built.input_shape[2])
