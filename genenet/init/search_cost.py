"""What a whole search costs, by estimates, and by the measured speed of some of its networks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from genenet.genes.baselines import title_of
from genenet.init.costs import TrainingCost, baseline_cost, costs, feasible_regions, feasible_share
from genenet.init.first_baselines import RESENC

if TYPE_CHECKING:
    from genenet.init.machine import Machine
    from genenet.init.sizes import Sizes
    from genenet.init.trial import Speed

SLOWER = 1.1  # times the search without resenc; a search with it mustn't take longer


@dataclass(frozen=True)
class SearchCost:
    """What a search costs: its networks, and the speed of those that were tried.

    Attributes:
        sizes: what is searched.
        machine: that trains.
        genomes: in the search's order; of a small search some more.
        baselines: by name.
        feasible: share of draws that can be built.
        n_validation: voxels of a validation; with folds, their mean.
        n_refits: the largest number of members that are trained again on all images.
        tried: speeds that were measured; empty if nothing was tried.
        untried: why nothing was tried, if a trial was wanted.
    """

    sizes: Sizes
    machine: Machine
    genomes: list[TrainingCost]
    baselines: dict[str, TrainingCost]
    feasible: float
    n_validation: int
    n_refits: int = 0
    tried: tuple[tuple[TrainingCost, Speed], ...] = ()
    untried: str | None = None

    @classmethod
    def of(
        cls, sizes: Sizes, machine: Machine, n_classes: int, n_validation: int, n_refits: int = 0
    ) -> SearchCost:
        """Return what is known without a trial."""
        baselines = {
            name: baseline_cost(name, options, sizes.batch_size, n_classes)
            for name, options in sizes.baselines.items()
        }
        share = feasible_share(feasible_regions(sizes.regions))
        return cls(sizes, machine, costs(sizes, n_classes), baselines, share, n_validation, n_refits)

    @property
    def ordered(self) -> list[TrainingCost]:
        """The genomes, that of the fewest operations first."""
        return sorted(self.genomes, key=lambda cost: cost.flops)

    @property
    def median(self) -> TrainingCost:
        """The genome in the middle."""
        return self.ordered[len(self.genomes) // 2]

    @property
    def shown(self) -> dict[str, TrainingCost]:
        """The networks that are tried and listed, by what they are called."""
        in_order = self.ordered
        genomes = {"smallest": in_order[0], "median": self.median, "largest": in_order[-1]}
        return genomes | {title_of(name): cost for name, cost in self.baselines.items()}

    @property
    def networks(self) -> list[TrainingCost]:
        """The networks that the search trains, once or in each fold."""
        return [*self.genomes[: self.sizes.n_genomes], *self.baselines.values()]

    @property
    def all_trainings(self) -> list[TrainingCost]:
        """The networks that the search trains, each as often as it is trained."""
        return [cost for cost in self.networks for _ in range(self.sizes.n_folds)]

    @property
    def is_busy(self) -> bool:
        """Whether the machine did other work during the trial."""
        return any(speed.is_busy for _, speed in self.tried)

    def seconds(self, cost: TrainingCost) -> float:
        """Return how long a training takes; only after a trial."""
        return self._seconds(cost, self.sizes, self.n_validation)

    def taught_per_second(self, cost: TrainingCost) -> float:
        """Return how many voxels a training teaches per second, validations not counted; only after a trial."""
        return cost.n_taught / self._by_flops(cost, "seconds_per_step")

    @property
    def refit_seconds(self) -> float:
        """How long all refits take one after the other, which have no validations; only after a trial."""
        genomes = self.genomes[: self.sizes.n_genomes]
        sizes = replace(self.sizes, iterations=self.sizes.refit_iterations or self.sizes.iterations)
        return self.n_refits * fmean(self._seconds(cost, sizes, 0) for cost in genomes)

    @property
    def slowdown(self) -> float:
        """How many times as long the search takes with resenc as with more iterations and without it.

        By what was tried, or by operations.
        """
        before = replace(self.sizes, iterations=self.sizes.without_resenc or self.sizes.iterations)
        others = [cost for cost in self.networks if cost is not self.baselines.get(RESENC)]
        return self._total(self.networks, self.sizes) / self._total(others, before)

    @property
    def resenc_share(self) -> float:
        """The share of resenc in the time or the operations of all trainings."""
        return self._total([self.baselines[RESENC]], self.sizes) / self._total(self.networks, self.sizes)

    @property
    def is_slowed(self) -> bool:
        """Whether resenc makes the search longer, as far as was measured."""
        return RESENC in self.baselines and bool(self.tried) and self.slowdown > SLOWER

    def without_resenc(self, asked: int | None) -> SearchCost:
        """Return the cost of the search without resenc, with as many iterations as were asked for, or as it allows."""
        iterations = asked or self.sizes.without_resenc or self.sizes.iterations
        why = f"the search was measured here, and would take {self.slowdown - 1:.0%} longer"
        sizes = self.sizes.only_unet(why, iterations)
        others = {name: cost for name, cost in self.baselines.items() if name != RESENC}
        tried = tuple((cost, speed) for cost, speed in self.tried if cost is not self.baselines[RESENC])
        return replace(self, sizes=sizes, baselines=others, tried=tried)

    def _total(self, trainings: list[TrainingCost], sizes: Sizes) -> float:
        if not self.tried:
            return sizes.iterations * sum(cost.flops for cost in trainings)
        return sum(self._seconds(cost, sizes, self.n_validation) for cost in trainings)

    def _seconds(self, cost: TrainingCost, sizes: Sizes, n_validation: int) -> float:
        n_validations = -(-sizes.iterations // sizes.validation_interval)
        steps = sizes.iterations * self._by_flops(cost, "seconds_per_step")
        return steps + n_validations * n_validation * self._by_flops(cost, "seconds_per_voxel")

    def _by_flops(self, cost: TrainingCost, what: str) -> float:
        """Return what was measured of a network, or what follows from its operations and the genomes that were tried.

        Between two of them, it is interpolated; beyond them, it is proportional to the operations.
        """
        assert self.tried
        own = next((speed for each, speed in self.tried if each is cost), None)
        if own:
            return float(getattr(own, what))
        genomes = [
            (each.flops, speed) for each, speed in self.tried if each.genome.name not in self.baselines
        ]
        flops, values = zip(*sorted((n, float(getattr(speed, what))) for n, speed in genomes), strict=True)
        inside = min(max(cost.flops, flops[0]), flops[-1])
        return float(np.interp(inside, flops, values)) * float(cost.flops / inside)

    @property
    def needs_too_much_memory(self) -> bool:
        """Whether the largest trainings, side by side, take over four fifths of the machine's memory."""
        memory = self.machine.memory_bytes
        return memory is not None and self.largest_bytes * self.machine.n_at_once > 0.8 * memory

    @property
    def largest_bytes(self) -> int:
        """Memory of the training that needs most."""
        return max(cost.memory_bytes for cost in self.genomes)
