"""Which networks a search may draw, so that they fit the images and the machine; and the cost of drawn networks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from numpy.random import PCG64, Generator, SeedSequence

from genenet.config.presets import preset_regions, preset_values
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
    from genenet.init.machine import Kind, Machine
    from genenet.init.trial import Speed

PRESET = "modern"  # that genenet init writes
SEED = 1
N_DRAWN = 20  # genomes that are drawn to see what a search costs
N_TRIED = 60  # draws to see how many of them are feasible
N_SEEN = 9  # networks whose receptive fields are compared with the patch
CHOSEN = ("n_convkernels", "n_stacks", "input_size")  # always written, since they depend on images or machine
MAX_MEMBERS = 10  # of the ensemble
SMALLEST_SHARE = 3 / 4  # of the largest patch that the images allow


@dataclass(frozen=True)
class Scale:
    """How large a search is on one kind of machine.

    Attributes:
        net: regions that replace the preset's, whose sizes are those of a CPU.
        n_genomes: of a first search.
        operations: of the first search, a U-Net included.
        per_step: operations that could be done in the fixed time of a step.
        most_iterations: of a training on small patches, which could do more of them with these operations.
        unet: of the baseline: kernels and log10 of the learning rate.
    """

    net: Mapping[str, Any]
    n_genomes: int
    operations: float
    per_step: float
    most_iterations: int
    unet: tuple[int, float]


# The operations are those of the searches that genenet init wrote before, of valid convolutions and 1000 or 20 000
# iterations: a search takes as long as it took, and teaches more voxels. On a CPU core a step takes 27 ms, and a second
# for each 4.5e10 operations (measured with 6 to 16 kernels). GPUs weren't measured.
SCALES: Mapping[Kind, Scale] = {
    "cpu": Scale({}, 6, 2.3e13, 1.2e9, 1000, (8, -2.5)),
    "gpu": Scale(
        {
            "n_convkernels": [16, 64],
            "n_convlayers": [1, 3],
            "input_size": [224, 320],
            "log_learning_rate": [-3.5, -2.5],
        },
        20,
        4.5e16,
        0.0,
        20_000,
        (32, -3.5),
    ),
}


@dataclass(frozen=True)
class Sizes:
    """What depends on the sizes of images and machine; regions are written as in config.yaml.

    Attributes:
        own: regions that the config writes; the preset has the others.
        baseline: options of the U-Net.
        n_genomes: that are drawn.
        iterations: of a training.
        batch_size: patches of a step.
    """

    own: Mapping[str, Mapping[str, Any]]
    baseline: Mapping[str, Any]
    n_genomes: int
    iterations: int = 1
    batch_size: int = 4

    @property
    def regions(self) -> dict[str, dict[str, Any]]:
        """All regions, the preset's included."""
        return dict(preset_regions(PRESET, self.own))

    @property
    def max_members(self) -> int:
        """The largest number of members of the ensemble: half of the networks, since each may be trained twice."""
        return min(MAX_MEMBERS, -(-self.n_genomes // 2))

    @property
    def validation_interval(self) -> int:
        """Iterations between two validations."""
        return max(1, self.iterations // 10)

    @property
    def warm_up(self) -> int | None:
        """Iterations of the warm-up, a twentieth of the training; None if the preset has no more."""
        share = max(1, self.iterations // 20)
        preset = preset_values(PRESET)["training"]["schedule"]["warm_up_iterations"]
        return share if share < preset else None


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


def max_validation(machine: Machine) -> int:
    """Return voxels that are enough for a validation and don't take longer than training itself."""
    return 2**22 if machine.kind == "cpu" else 2**24


def choose_sizes(
    smallest: int, n_classes: int, machine: Machine, n_genomes: int | None, iterations: int | None
) -> Sizes:
    """Choose what to draw, and how long to train it.

    Args:
        smallest: the smallest size along y and x of the training images.
        n_classes: of the labels.
        machine: that trains.
        n_genomes: None for the machine's default.
        iterations: None for as many as the operations of a training allow.

    Raises:
        InputError: If no network fits into the images.
    """
    scale = SCALES[machine.kind]
    n_convkernels, log_learning_rate = scale.unet
    baseline = {
        "n_convkernels": n_convkernels,
        "input_size": 252 if smallest >= 128 else 220,
        "log_learning_rate": log_learning_rate,
    }
    sizes = Sizes({"net": _own_regions(smallest, scale)}, baseline, n_genomes or scale.n_genomes)
    sizes = _within_memory(sizes, n_classes, machine)
    return replace(sizes, iterations=iterations or _iterations(sizes, n_classes, scale))


def feasible_regions(regions: Mapping[str, Mapping[str, Any]]) -> Regions:
    """Read regions as config.yaml writes them."""
    return Draws(regions=regions).feasible_regions()


def _own_regions(smallest: int, scale: Scale) -> dict[str, Any]:
    """Return the regions that the config writes: patches that fit the images, networks that see about a patch.

    Patches of images smaller than the preset's are three quarters of an image to a whole one, so that no patch
    reaches beyond the image, where nothing can be taught. There are as many poolings as widen the receptive field up
    to the patch; more of them would only see what is reflected at the borders.
    """
    preset = preset_regions(PRESET, {"net": scale.net})["net"]
    low, high = preset["input_size"]
    high = min(high, smallest)
    fewest, most = preset["n_stacks"]
    own = {name: region for name, region in preset.items() if name in CHOSEN or name in scale.net}
    own["input_size"] = [min(low, round(SMALLEST_SHARE * high)), high]
    for n_stacks in range(most, 0, -1):
        deepest = feasible_regions(preset_regions(PRESET, {"net": {**own, "n_stacks": n_stacks}}))
        if feasible_share(deepest) >= 0.5 and _seen(deepest) <= high:
            return {**own, "n_stacks": _region(min(fewest, n_stacks), n_stacks)}
    raise InputError(f"training images of {smallest} voxels along y or x are too small for any network")


def _region(low: int, high: int) -> int | list[int]:
    """Write a region of integers as config.yaml does; a value without room is one number."""
    return low if low == high else [low, high]


def _seen(regions: Regions) -> float:
    """Return the median receptive field of some networks along x, in voxels."""
    nets = (draw(regions, SEED, index).net for index in range(N_SEEN))
    return median(plan(net, 2).receptive_field[2] for net in nets)


def _iterations(sizes: Sizes, n_classes: int, scale: Scale) -> int:
    """Return how many iterations the operations of a search allow, rounded down to two digits.

    The search is a first one, so that more genomes take more time, and aren't trained less.
    """
    genomes = fmean(cost.flops for cost in costs(sizes, n_classes))
    unet = cost_of(BASELINES["unet2015"].genome(**sizes.baseline), sizes, n_classes).flops
    steps = scale.n_genomes * (genomes + scale.per_step) + unet + scale.per_step
    n = min(scale.most_iterations, int(scale.operations / steps))
    unit = int(10 ** max(0, len(str(n)) - 2))
    return max(1, n // unit * unit)


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
    flops = built.step_flops(sizes.batch_size)
    memory = TORCH_BYTES + training_bytes(built, sizes.batch_size, 4)
    n_taught = sizes.batch_size * math.prod(built.output_shape)
    return TrainingCost(genome, built.n_parameters, flops, memory, n_taught, built.input_shape[2])


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
        n_refits: the largest number of members that are trained again on all images.
        speed: None if nothing was tried.
        untried: why nothing was tried, if a trial was wanted.
    """

    sizes: Sizes
    machine: Machine
    genomes: list[TrainingCost]
    unet: TrainingCost
    feasible: float
    n_validation: int
    n_refits: int = 0
    speed: Speed | None = None
    untried: str | None = None

    @classmethod
    def of(
        cls, sizes: Sizes, machine: Machine, n_classes: int, n_validation: int, n_refits: int = 0
    ) -> SearchCost:
        """Return what is known without a trial."""
        unet = cost_of(BASELINES["unet2015"].genome(**sizes.baseline), sizes, n_classes)
        share = feasible_share(feasible_regions(sizes.regions))
        return cls(sizes, machine, costs(sizes, n_classes), unet, share, n_validation, n_refits)

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
    def refit_seconds(self) -> float:
        """How long all refits take one after the other, which have no validations; only after a trial."""
        assert self.speed
        genomes = self.genomes[: self.sizes.n_genomes]
        factor = fmean(cost.flops for cost in genomes) / self.median.flops
        return self.n_refits * self.speed.seconds(self.sizes, 0, factor)

    @property
    def needs_too_much_memory(self) -> bool:
        """Whether the largest trainings, side by side, take over four fifths of the machine's memory."""
        memory = self.machine.memory_bytes
        return memory is not None and self.largest_bytes * self.machine.n_at_once > 0.8 * memory

    @property
    def largest_bytes(self) -> int:
        """Memory of the training that needs most."""
        return max(cost.memory_bytes for cost in self.genomes)
