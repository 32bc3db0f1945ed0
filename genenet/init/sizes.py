"""Which networks a search may draw, so that they fit the images and the machine; and what drawn ones cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from numpy.random import PCG64, Generator, SeedSequence

from genenet.config.search import Draws
from genenet.core.errors import InputError
from genenet.genes.baselines import UNet2015
from genenet.genes.gene_graph import grow
from genenet.genes.genome import draw, drawn, lower_input_size
from genenet.genes.memory import TORCH_BYTES, training_bytes
from genenet.genes.plan import plan

if TYPE_CHECKING:
    from genenet.genes.genome import Genome, Regions

Kind = Literal["gpu", "cpu"]

SEED = 1
N_DRAWN = 20  # genomes that are drawn to see what a search costs
N_TRIED = 60  # draws to see how many of them are feasible
DEPTHS = ((4, 3), (3, 3), (3, 2), (2, 2), (1, 2), (1, 1))  # most poolings, most layers in a stack
BACKWARD = 3  # a step takes about three times the operations of a forward
SMALLEST_UNET = 188


@dataclass(frozen=True)
class Machine:
    """What trainings run on.

    Attributes:
        kind: decides how large networks may be.
        name: for people.
        memory_bytes: of the GPU, or of the machine; None if it isn't known.
        is_here: whether it is this machine, so that it can be tried.
        threads: CPU cores of one training.
        n_at_once: trainings that run side by side.
    """

    kind: Kind
    name: str
    memory_bytes: float | None
    is_here: bool
    threads: int = 2
    n_at_once: int = 1


@dataclass(frozen=True)
class Sizes:
    """The part of config.yaml that sizes decide; regions are written as they are there."""

    regions: dict[str, dict[str, Any]]
    baseline: dict[str, Any]
    n_genomes: int
    iterations: int
    validation_interval: int
    batch_size: int

    def genomes(self, n: int) -> list[Genome]:
        """Draw the first genomes of the search."""
        regions = feasible_regions(self.regions)
        return [draw(regions, SEED, index) for index in range(n)]

    def baseline_genome(self) -> Genome:
        """Return the U-Net."""
        return UNet2015(**self.baseline).genome("unet2015")


@dataclass(frozen=True)
class Cost:
    """What a genome costs; ``flops`` and ``memory_bytes`` are of a training step with its batch."""

    genome: Genome
    n_parameters: int
    flops: float
    memory_bytes: int
    input_size: int


def max_validation(machine: Machine) -> int:
    """Return voxels that are enough for a validation, and don't take longer than training itself."""
    return 2**22 if machine.kind == "cpu" else 2**24


def choose_sizes(
    smallest: int, n_classes: int, machine: Machine, n_genomes: int | None, iterations: int | None
) -> Sizes:
    """Choose what to draw.

    Args:
        smallest: the least size along y and x of the training images.
        n_classes: of the labels.
        machine: that trains.
        n_genomes: None is what is usual there.
        iterations: likewise.

    Raises:
        InputError: If no network fits into the images.
    """
    is_cpu = machine.kind == "cpu"
    n_iterations = iterations or (1000 if is_cpu else 20_000)
    regions = _regions(smallest, is_cpu, n_iterations)
    baseline = {
        "n_convkernels": 8 if is_cpu else 32,
        "input_size": 252 if smallest >= 128 else SMALLEST_UNET + 32,
        "log_learning_rate": -2.5 if is_cpu else -3.5,
    }
    sizes = Sizes(
        regions=regions,
        baseline=baseline,
        n_genomes=n_genomes or (6 if is_cpu else 20),
        iterations=n_iterations,
        validation_interval=max(1, n_iterations // 10),
        batch_size=4,
    )
    return _within_memory(sizes, n_classes, machine)


def feasible_regions(regions: dict[str, dict[str, Any]]) -> Regions:
    """Read regions as config.yaml writes them."""
    return Draws(regions=regions).feasible_regions()


def _regions(smallest: int, is_cpu: bool, iterations: int) -> dict[str, dict[str, Any]]:
    """Return the largest space of which most draws fit into the images."""
    high = min(smallest, 128 if is_cpu else 254)
    for n_stacks, n_layers in DEPTHS[1:] if is_cpu else DEPTHS:
        net: dict[str, Any] = {
            "n_convkernels": [6, 16] if is_cpu else [16, 64],
            "n_stacks": [1, n_stacks] if n_stacks > 1 else 1,
            "n_convlayers": [1, n_layers] if n_layers > 1 else 1,
            "input_size": [high // 2, high],
            "log_learning_rate": [-3.0, -2.0] if is_cpu else [-4.0, -2.5],
            "norm": ["none", "batch"],
            "decay_steps": max(1, iterations // 5),
            "decay_rate": [0.5, 0.9],
        }
        regions = {"net": net, "stack": {"n_convlayers": [-1, 1]}} if n_layers > 1 else {"net": net}
        if feasible_share(feasible_regions(regions)) >= 0.5:
            return regions
    raise InputError(f"training images of {smallest} voxels along y or x are too small for any network")


def feasible_share(regions: Regions) -> float:
    """Return how many draws of these regions can be built."""
    rng = Generator(PCG64(SeedSequence(SEED, spawn_key=(9,))))
    nets = (grow(lambda gene: drawn(gene, regions, rng)) for _ in range(N_TRIED))
    return sum(lower_input_size(net, regions) is None for net in nets) / N_TRIED


def _within_memory(sizes: Sizes, n_classes: int, machine: Machine) -> Sizes:
    """Make batches smaller until the largest of the drawn genomes takes less than four fifths of the memory."""
    while machine.memory_bytes and sizes.batch_size > 1:
        largest = max(cost.memory_bytes for cost in costs(sizes, n_classes))
        if largest * machine.n_at_once < 0.8 * machine.memory_bytes:
            break
        sizes = replace(sizes, batch_size=sizes.batch_size // 2)
    return sizes


def costs(sizes: Sizes, n_classes: int) -> list[Cost]:
    """Return what the search's first genomes cost, those that are drawn to see it included; in the search's order."""
    return [cost_of(genome, sizes, n_classes) for genome in sizes.genomes(max(N_DRAWN, sizes.n_genomes))]


def cost_of(genome: Genome, sizes: Sizes, n_classes: int) -> Cost:
    """Return what a genome costs."""
    built = plan(genome.net, n_classes)
    flops = sum(step.flops for step in built.steps()) * BACKWARD * sizes.batch_size
    memory = TORCH_BYTES + training_bytes(built, sizes.batch_size, 4)
    return Cost(genome, built.n_parameters, flops, memory, built.input_shape[2])
