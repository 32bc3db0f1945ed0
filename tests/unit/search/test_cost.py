"""What the trainings of a search cost, against sums written down here."""

import math

import pytest

from genenet.cli.commands.data import _cost
from genenet.config.model import check_config
from genenet.core.errors import InputError
from genenet.genes.baselines import BASELINES
from genenet.genes.generation import draw
from genenet.genes.inspection import inspect
from genenet.search.cost import TrainingsCost
from tests.support.configs import DEFAULT

REGIONS = {"net": {"n_convkernels": [4, 8], "n_stacks": 1, "input_size": 64}}


def cost(search, training=None, baselines=None, controls=None, ensemble=None):
    values = {
        "data": DEFAULT["data"],
        "search": {"regions": REGIONS, **search},
        "training": {"iterations": 900, "batch_size": 2, "validation_interval": 100, **(training or {})},
        "baselines": baselines or {},
        "controls": controls,
        "ensemble": ensemble or {},
    }
    config = check_config(values)
    return TrainingsCost.of(config), config


def step(genome):
    """A training step's operations with batches of 2: three forward passes."""
    found = inspect(genome, len(DEFAULT["data"]["classes"]))
    return 3 * 2 * found["flops_per_voxel"] * math.prod(found["output_shape"][2:])


def mean_step(config, n):
    regions = config.search.feasible_regions()
    return sum(step(draw(regions, config.search.seed, i)) for i in range(n)) / n


def test_each_genome_and_baseline_counts():
    found, config = cost(
        {"n_genomes": 3, "seed": 4}, baselines={"unet2015": {"n_convkernels": 4, "n_seeds": 2}}
    )
    assert (found.n_genomes, found.n_baselines, found.iterations) == (3, 2, 900)
    unet = BASELINES["unet2015"].genome(n_convkernels=4)
    assert found.operations == pytest.approx(900 * (3 * mean_step(config, 3) + 2 * step(unet)))


def test_trainings_of_controls_count_and_the_long_one_is_as_long_as_the_search():
    found, config = cost(
        {"n_genomes": 3}, baselines={"unet2015": {"n_convkernels": 4}}, controls={"seeds": 3}
    )
    assert (found.n_genomes, found.n_baselines, found.n_controls) == (3, 1, 2 + 2 + 1)
    assert found.iterations == 3 * 900
    unet = step(BASELINES["unet2015"].genome(n_convkernels=4))
    assert found.operations == pytest.approx(900 * ((3 + 2) * mean_step(config, 3) + (1 + 2 + 3) * unet))


def test_refits_count_as_many_as_there_may_be():
    found, config = cost({"n_genomes": 5}, ensemble={"refit": True, "max_size": 3})
    assert found.n_refits == 3
    assert _cost(found).startswith("trainings: 5 of genomes and up to 3 of refits, of up to 900 iterations: ")
    assert found.operations == pytest.approx(900 * (5 + 3) * mean_step(config, 5))
    assert cost({"n_genomes": 5})[0].n_refits == 0
    longer, _ = cost(
        {"n_genomes": 5}, ensemble={"refit": True, "max_size": 3}, training={"refit_iterations": 2000}
    )
    assert longer.operations == pytest.approx((900 * 5 + 2000 * 3) * mean_step(config, 5))
    assert longer.iterations == 2000


@pytest.mark.parametrize(
    ("search", "n_genomes", "iterations"),
    [
        ({"strategy": "halving", "n_genomes": 9}, 9, 9 * 100 + 3 * 200 + 1 * 600),
        ({"strategy": "halving", "n_genomes": 9, "halving": {"brackets": 2}}, 14, 2100 + 5 * 300 + 1 * 600),
        ({"strategy": "evolution", "n_genomes": [4, 2]}, 6, 6 * 900),
        (
            {"strategy": "evolution", "n_genomes": [4, 6, 6], "evolution": {"inherit_weights": {}}},
            16,
            4 * 900 + 12 * 300,
        ),
    ],
)
def test_a_rung_continues_the_trainings_of_the_one_before(search, n_genomes, iterations):
    found, config = cost(search)
    assert found.n_genomes == n_genomes
    assert found.operations == pytest.approx(iterations * mean_step(config, n_genomes))


def test_some_genomes_stand_for_many():
    found, config = cost({"n_genomes": 500})
    assert found.operations == pytest.approx(500 * 900 * mean_step(config, 20))


def test_a_space_without_networks_is_found():
    small = {"net": {"n_convkernels": 4, "n_stacks": 4, "input_size": 48}}
    with pytest.raises(InputError, match=r"search.regions: none of 1000 draws is feasible"):
        cost({"regions": small})
