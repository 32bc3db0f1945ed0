"""What the trainings of a search cost, in operations: worked out from the config, without torch or images."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from genenet.config.planned_controls import control_runs, long_iterations, long_runs
from genenet.config.planned_runs import folds, refit_ranks, search_rounds
from genenet.config.rounds import planned_iterations
from genenet.config.start import member_genomes
from genenet.core.logs import quiet
from genenet.core.paths import of_control
from genenet.genes import generation
from genenet.genes.baselines import BASELINES
from genenet.genes.plan import plan

if TYPE_CHECKING:
    from genenet.config.model import Config
    from genenet.genes.genome import Genome

# Operations a second of a training in float32: 2e10 to 6e10 were measured on a CPU core, more with more kernels. GPUs
# differ by a factor of ten.
CPU_CORE, GPU = 4e10, 1e13
MOST_DRAWN = 20  # genomes whose mean stands for all


@dataclass(frozen=True)
class TrainingsCost:
    """What all trainings of a search cost together; validations aren't counted.

    Attributes:
        n_folds: trainings of each genome, baseline and control; 1 without folds.
        n_genomes: that are trained, some of them not to the end if the search halves.
        n_baselines: trainings of baselines.
        n_controls: trainings that only controls need.
        n_refits: the largest number of members that are trained again on all images (``ensemble.refit``).
        iterations: of the longest training.
        operations: of all trainings.
    """

    n_genomes: int
    n_baselines: int
    n_controls: int
    n_refits: int
    iterations: int
    operations: float
    n_folds: int = 1

    @classmethod
    def of(cls, config: Config) -> TrainingsCost:
        """Draw some genomes of a search, and return what all cost.

        Children of an evolution count as the genomes that are drawn.

        Raises:
            InputError: If no genome can be drawn from the search's regions.
        """
        rounds, iterations = search_rounds(config), config.training.iterations
        n_genomes = sum(each.n_genomes for each in rounds)
        mean = _mean_step(config, min(n_genomes, MOST_DRAWN))
        n_refits = len(refit_ranks(config))
        operations = planned_iterations(rounds) * mean
        baselines = config.baselines.chosen()
        steps = {
            name: _step(BASELINES[name].genome(**o.model_dump()), config) for name, o in baselines.items()
        }
        operations += sum(o.n_seeds * iterations * steps[name] for name, o in baselines.items())
        for run in control_runs(config):
            name, repeat = of_control(run)
            operations += (iterations if repeat else long_iterations(config)) * steps.get(name, mean)
        n_folds = len(folds(config)) or 1
        of_refits = n_refits * (config.training.refit_iterations or iterations)
        operations = operations * n_folds + of_refits * mean
        n_baselines = sum(options.n_seeds for options in baselines.values())
        longest = long_iterations(config) if long_runs(config) else iterations
        longest = max(longest, of_refits // max(1, n_refits))
        n_controls = len(control_runs(config))
        return cls(n_genomes, n_baselines, n_controls, n_refits, longest, operations, n_folds)


def _mean_step(config: Config, n: int) -> float:
    """Return the mean operations of a step over the first ``n`` genomes."""
    if config.search.from_ is not None:
        return fmean(_step(genome, config) for genome in member_genomes(config.search.from_))
    regions = config.search.feasible_regions()
    with quiet(generation.__name__):  # of draws that are rejected
        genomes = [generation.draw(regions, config.search.seed, index) for index in range(n)]
    return fmean(_step(genome, config) for genome in genomes)


def _step(genome: Genome, config: Config) -> float:
    return plan(genome.net, config.data.n_outputs).step_flops(config.training.batch_size)
