"""Which networks a search may draw, so that they fit the images and the machine; and the cost of drawn networks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from numpy.random import PCG64, Generator, SeedSequence

from genenet.config.search import Draws
from genenet.core.errors import InputError
from genenet.core.random_streams import Stream
from genenet.genes.baselines import BASELINES
from genenet.genes.gene_graph import grow
from genenet.genes.generation import draw, drawn, lower_input_size
from genenet.genes.memory import TORCH_BYTES, training_bytes
from genenet.genes.plan import plan

if TYPE_CHECKING:
    from genenet.genes.feasible_regions import Regions
    from genenet.genes.genome import Genome
    from genenet.init.machine import Machine
    from genenet.init.trial import Speed

SEED = 1
N_DRAWN = 20  # genomes that are drawn to see what a search costs
N_TRIED = 60  # draws to see how many of them are feasible
DEPTHS = ((4, 3), (3, 3), (3, 2), (2, 2), (1, 2), (1, 1))  # most poolings, most layers in a stack
BACKWARD = 3  # a training step takes about three times the operations of a forward pass


@dataclass(frozen=True)
class Sizes:
    """What depends on the sizes of images and machine; regions are written as in config.yaml."""

    regions: dict[str, dict[str, Any]]
    baseline: dict[str, Any]
    n_genomes: int
    iterations: int
    validation_interval: int
    batch_size: int = 4


@dataclass(frozen=True)
class TrainingCost:
    """What a genome costs; ``flops`` and ``memory_bytes`` are those of a training step with its batch."""

    genome: Genome
    n_parameters: int
    flops: float
    memory_bytes: int
    input_size: int


def default_numbers(machine: Machine) -> tuple[int, int]:
    """Return how many genomes to draw and how many iterations to train each, for a first search."""
    return (6, 1000) if machine.kind == "cpu" else (20, 20_000)


def max_validation(machine: Machine) -> int:
    """Return voxels that are enough for a validation and don't take longer than training itself."""
    return 2**22 if machine.kind == "cpu" else 2**24


def choose_sizes(
    smallest: int, n_classes: int, machine: Machine, n_genomes: int | None, iterations: int | None
) -> Sizes:
    """Choose what to draw.

    Args:
        smallest: the smallest size along y and x of the training images.
        n_classes: of the labels.
        machine: that trains.
        n_genomes: None for the machine's default.
        iterations: None for the machine's default.

    Raises:
        InputError: If no network fits into the images.
    """
    is_cpu = machine.kind == "cpu"
    default_genomes, default_iterations = default_numbers(machine)
    n = iterations or default_iterations
    baseline = {
        "n_convkernels": 8 if is_cpu else 32,
        "input_size": 252 if smallest >= 128 else 220,
        "log_learning_rate": -2.5 if is_cpu else -3.5,
    }
    regions = _regions(smallest, is_cpu, n)
    sizes = Sizes(regions, baseline, n_genomes or default_genomes, n, max(1, n // 10))
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
    """Return the share of draws from these regions that can be built."""
    rng = Generator(PCG64(SeedSequence(SEED, spawn_key=(Stream.TRIAL_DRAWS,))))
    nets = (grow(lambda gene: drawn(gene, regions, rng)) for _ in range(N_TRIED))
    return sum(lower_input_size(net, regions) is None for net in nets) / N_TRIED


def _within_memory(sizes: Sizes, n_classes: int, machine: Machine) -> Sizes:
    """Halve the batch until the largest of the drawn genomes takes less than four fifths of the memory."""
    while machine.memory_bytes and sizes.batch_size > 1:
        largest = max(cost.memory_bytes for cost in costs(sizes, n_classes))
        if largest * machine.n_at_once < 0.8 * machine.memory_bytes:
            break
        sizes = replace(sizes, batch_size=sizes.batch_size // 2)
    return sizes


def costs(sizes: Sizes, n_classes: int) -> list[TrainingCost]:
    """Return what the search's genomes cost, in the search's order; of a small search some more are drawn."""
    regions = feasible_regions(sizes.regions)
    genomes = (draw(regions, SEED, index) for index in range(max(N_DRAWN, sizes.n_genomes)))
    return [cost_of(genome, sizes, n_classes) for genome in genomes]


def cost_of(genome: Genome, sizes: Sizes, n_classes: int) -> TrainingCost:
    """Return what a genome costs."""
    built = plan(genome.net, n_classes)
    flops = sum(step.flops for step in built.steps()) * BACKWARD * sizes.batch_size
    memory = TORCH_BYTES + training_bytes(built, sizes.batch_size, 4)
    return TrainingCost(genome, built.n_parameters, flops, memory, built.input_shape[2])


@dataclass(frozen=True)
class SearchCost:
    """What a search costs: its networks, and the speed of the median one if it was tried.

    Attributes:
        sizes: what is searched.
        machine: that trains.
        genomes: in the search's order; of a small search some more.
        unet: the baseline.
        feasible: share of draws that can be built.
        n_validation: voxels of a validation.
        speed: None if nothing was tried.
        untried: why nothing was tried, if a trial was wanted.
    """

    sizes: Sizes
    machine: Machine
    genomes: list[TrainingCost]
    unet: TrainingCost
    feasible: float
    n_validation: int
    speed: Speed | None = None
    untried: str | None = None

    @classmethod
    def of(cls, sizes: Sizes, machine: Machine, n_classes: int, n_validation: int) -> SearchCost:
        """Return what is known without a trial."""
        unet = cost_of(BASELINES["unet2015"].genome(**sizes.baseline), sizes, n_classes)
        share = feasible_share(feasible_regions(sizes.regions))
        return cls(sizes, machine, costs(sizes, n_classes), unet, share, n_validation)

    @property
    def ordered(self) -> list[TrainingCost]:
        """The genomes, that of the fewest operations first."""
        return sorted(self.genomes, key=lambda cost: cost.flops)

    @property
    def median(self) -> TrainingCost:
        """The genome that is tried."""
        return self.ordered[len(self.genomes) // 2]

    def seconds(self, cost: TrainingCost) -> float:
        """Return how long a training takes; only after a trial."""
        assert self.speed
        return self.speed.seconds(self.sizes, self.n_validation, cost.flops / self.median.flops)

    @property
    def needs_too_much_memory(self) -> bool:
        """Whether the largest trainings, side by side, take over four fifths of the machine's memory."""
        memory = self.machine.memory_bytes
        return memory is not None and self.largest_bytes * self.machine.n_at_once > 0.8 * memory

    @property
    def largest_bytes(self) -> int:
        """Memory of the training that needs most."""
        return max(cost.memory_bytes for cost in self.genomes)
