"""Which networks a search may draw, and for how long it trains them, so that they fit the images and the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from genenet.config.presets import preset_regions, preset_values
from genenet.core.errors import InputError
from genenet.genes.generation import draw
from genenet.genes.plan import plan
from genenet.init.costs import SEED, baseline_cost, costs, feasible_regions, feasible_share
from genenet.init.first_baselines import RESENC, UNET, WhyNot, resenc_options, unet_options
from genenet.init.scales import SCALES

if TYPE_CHECKING:
    from genenet.genes.feasible_regions import Regions
    from genenet.init.machine import Machine
    from genenet.init.scales import Scale

PRESET = "modern"  # that genenet init writes
N_SEEN = 9  # networks whose receptive fields are compared with the patch
CHOSEN = ("n_convkernels", "n_stacks", "input_size")  # always written, since they depend on images or machine
MAX_MEMBERS = 10  # of the ensemble
SMALLEST_SHARE = 3 / 4  # of the largest patch that the images allow
DEFAULT_BATCH, LARGEST_BATCH = 4, 8
N_VALIDATIONS = 10  # of a training
N_IN_FOLDS = 3  # of a training, whose folds validate on all labelled voxels instead of about a third of them
WORTH_A_BATCH = 1.25  # so many times the voxels taught per second, or the batch isn't doubled
LEAST_ITERATIONS = 0.75  # of those without it, or resenc costs the others too much


@dataclass(frozen=True)
class Sizes:
    """What depends on the sizes of images and machine; regions are written as in config.yaml.

    Attributes:
        own: regions that the config writes; the preset has the others.
        baselines: options by name.
        n_genomes: that are drawn.
        iterations: of a training.
        batch_size: patches of a step.
        without_resenc: iterations that the same time would allow without the baseline resenc; None if it isn't there.
        no_resenc: why the baseline resenc isn't there, and its options; None if it is, or can't be.
        refit_ratio: as in ``Scale``.
        n_folds: trainings of each network; 1 without cross-validation.
    """

    own: Mapping[str, Mapping[str, Any]]
    baselines: Mapping[str, Mapping[str, Any]]
    n_genomes: int
    iterations: int = 1
    batch_size: int = DEFAULT_BATCH
    without_resenc: int | None = None
    no_resenc: WhyNot | None = None
    refit_ratio: int | None = None
    n_folds: int = 1

    @property
    def regions(self) -> dict[str, dict[str, Any]]:
        """All regions, the preset's included."""
        return dict(preset_regions(PRESET, self.own))

    @property
    def max_members(self) -> int:
        """The largest number of members of the ensemble, since each may be trained twice: half of the networks.

        It is a third if the second training is the longer one, but two at least. With folds and without a second
        training, a member is as many networks as there are folds, and these count.
        """
        if self.refit_ratio:
            most = max(2, self.n_genomes // 3)
        else:
            most = min(-(-self.n_genomes // 2), max(2, MAX_MEMBERS // self.n_folds))
        return min(MAX_MEMBERS, self.n_genomes, most)

    @property
    def refit_iterations(self) -> int | None:
        """Iterations of the members' training on all images; None: as many as in the search."""
        if self.refit_ratio is None:
            return None
        return self.refit_ratio * self.n_genomes * self.n_folds * self.iterations // self.max_members

    @property
    def validation_interval(self) -> int:
        """Iterations between two validations."""
        if self.n_folds > 1:
            return -(-self.iterations // N_IN_FOLDS)
        return max(1, self.iterations // N_VALIDATIONS)

    @property
    def warm_up(self) -> int | None:
        """Iterations of the warm-up, a twentieth of the training; None if the preset has no more."""
        share = max(1, self.iterations // 20)
        preset = preset_values(PRESET)["training"]["schedule"]["warm_up_iterations"]
        return share if share < preset else None

    def only_unet(self, why: str, iterations: int) -> Sizes:
        """Return the sizes of the search without resenc, whose options stay as a suggestion."""
        return replace(
            self,
            baselines={UNET: self.baselines[UNET]},
            iterations=iterations,
            without_resenc=None,
            no_resenc=WhyNot(why, self.baselines[RESENC]),
        )


def max_validation(machine: Machine) -> int:
    """Return voxels that are enough for a validation and don't take longer than training itself."""
    return 2**22 if machine.kind == "cpu" else 2**24


def choose_sizes(
    smallest: int,
    n_classes: int,
    machine: Machine,
    n_genomes: int | None,
    iterations: int | None,
    is_refitted: bool = False,
    n_folds: int = 1,
) -> Sizes:
    """Choose what to draw, and how long to train it.

    Args:
        smallest: the smallest size along y and x of the training images.
        n_classes: of the labels.
        machine: that trains.
        n_genomes: None for the machine's default.
        iterations: None for as many as the operations of a training allow.
        is_refitted: whether the members are trained again on all images. Unless ``iterations`` says otherwise, the
            search is then half as long, and the refits have twice as many iterations as the search.
        n_folds: trainings of each network, which share the operations of one.

    Raises:
        InputError: If no network fits into the images.
    """
    scale = SCALES[machine.kind].of_fold(n_folds)
    unet = unet_options(smallest, *scale.unet)
    own, n = {"net": _own_regions(smallest, scale)}, n_genomes or scale.n_genomes
    sizes = Sizes(own, {UNET: unet}, n, n_folds=n_folds)
    sizes = _with_more_taught(sizes, n_classes, scale)
    sizes = _within_memory(sizes, n_classes, machine)
    if is_refitted and scale.refit_ratio:
        suggested = _with_long_refits(sizes, smallest, n_classes, scale)
        if iterations in (None, suggested.iterations):
            return suggested
    return _with_iterations(sizes, smallest, n_classes, scale, iterations)


def _with_long_refits(sizes: Sizes, smallest: int, n_classes: int, scale: Scale) -> Sizes:
    """Choose the iterations of a search that is half as long, whose members are trained for longer afterwards."""
    sizes = replace(sizes, refit_ratio=scale.refit_ratio)
    return _with_iterations(sizes, smallest, n_classes, scale.of_fold(2), None)


def _with_iterations(sizes: Sizes, smallest: int, n_classes: int, scale: Scale, asked: int | None) -> Sizes:
    """Choose the iterations, and whether the baseline resenc is trained as well in the same time."""
    alone = _iterations(sizes, n_classes, scale)
    genomes = fmean(cost.flops for cost in costs(sizes, n_classes))
    options = resenc_options(smallest, genomes, sizes.batch_size, n_classes, scale.unet[1])
    if options is None:
        return replace(sizes, iterations=asked or alone)
    both = replace(sizes, baselines={**sizes.baselines, RESENC: options}, without_resenc=alone)
    beside = _iterations(both, n_classes, scale)
    if asked not in (None, beside):
        return both.only_unet("the number of iterations was given, and the search would take longer", asked)
    if beside < LEAST_ITERATIONS * alone:
        return both.only_unet(f"it would leave {beside:,} of {alone:,} iterations", alone)
    return replace(both, iterations=beside)


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


def taught_per_operation(sizes: Sizes, n_classes: int, scale: Scale) -> float:
    """Return how many voxels the median network is taught for an operation, the fixed time of a step included.

    Times the operations per second of a machine, these are the voxels taught per second.
    """
    return median(cost.n_taught / (cost.flops + scale.per_step) for cost in costs(sizes, n_classes))


def _with_more_taught(sizes: Sizes, n_classes: int, scale: Scale) -> Sizes:
    """Double the batch as long as that teaches many more voxels per second.

    A step takes a fixed time whatever its patches, which is most of the time of small ones.
    """
    taught = taught_per_operation(sizes, n_classes, scale)
    while sizes.batch_size < LARGEST_BATCH:
        larger = replace(sizes, batch_size=2 * sizes.batch_size)
        more = taught_per_operation(larger, n_classes, scale)
        if more < WORTH_A_BATCH * taught:
            break
        sizes, taught = larger, more
    return sizes


def _iterations(sizes: Sizes, n_classes: int, scale: Scale) -> int:
    """Return how many iterations the operations of a search allow, rounded down to two digits.

    The search is a first one, so that more genomes take more time, and aren't trained less.
    """
    genomes = fmean(cost.flops for cost in costs(sizes, n_classes))
    baselines = [
        baseline_cost(name, options, sizes.batch_size, n_classes).flops
        for name, options in sizes.baselines.items()
    ]
    n_trainings = scale.n_genomes + len(baselines)
    steps = scale.n_genomes * genomes + sum(baselines) + n_trainings * scale.per_step
    n = min(scale.most_iterations, int(scale.operations / steps))
    unit = int(10 ** max(0, len(str(n)) - 2))
    return max(1, n // unit * unit)


def _within_memory(sizes: Sizes, n_classes: int, machine: Machine) -> Sizes:
    """Halve the batch until the largest of the drawn genomes takes less than four fifths of the memory."""
    while machine.memory_bytes and sizes.batch_size > 1:
        largest = max(cost.memory_bytes for cost in costs(sizes, n_classes))
        if largest * machine.n_at_once < 0.8 * machine.memory_bytes:
            break
        sizes = replace(sizes, batch_size=sizes.batch_size // 2)
    return sizes
