"""Every hyperparameter reaches generation, the file, what is described, what is built and what is trained."""

import pytest

from genenet.config.model import Search
from genenet.genes.generation import draw
from genenet.genes.genome import Genome, genome_from_json
from genenet.genes.hyperparameters import HYPERPARAMETERS, LEVELS
from genenet.genes.inspection import inspect
from tests.support import trainers

BASE = {"n_convkernels": 4, "n_stacks": 1, "n_convlayers": 1, "input_size": 30, "input_depth": 20}
OTHER = {
    "n_stacks": 2,
    "n_context_stacks": 1,
    "input_size": 40,
    "input_depth": 10,
    "log_learning_rate": -2.5,
    "log_alpha1": -0.5,
    "log_alpha2": -2,
    "decay_steps": 7,
    "decay_rate": 0.5,
    "n_convlayers": 2,
    "n_convkernels": 5,
    "kernel_width": 5,
    "dropout_rate": 0.25,
    "norm": 1,
    "activation": 2,
    "padding": 1,
    "spatial_mode": 2,
    "dilation": 2,
    "groups": 2,
    "window_pooling": 2,
    "residual": 1,
    "log_gamma1": -4,
    "log_gamma2": -5,
    "log_lambda1": -6,
    "log_lambda2": -7,
    "pooling": 1,
    "max_convkernels": 3,
}


def base_of(name):
    """Values beside which a change shows: depth only where there is any."""
    return {**BASE, "spatial_mode": 2} if name == "input_depth" else BASE


def trained_as(values):
    """All that a training takes from its genome: what is built, and how it is optimised."""
    t = trainers.trainer(genome={"dropout_rate": 0, "norm": 0, **values})
    group = t.learner.optimiser.param_groups[0]
    return t.network.plan, t.base_rate, t.decay, group["betas"]


def test_all_are_here():
    assert set(OTHER) == set(HYPERPARAMETERS)


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_a_change_shows_in_description_and_training(name):
    before, after = base_of(name), {**base_of(name), name: OTHER[name]}
    described = [inspect(Genome("g", {"net": values}), 3) for values in (before, after)]
    assert described[0]["hyperparameters"][name] != described[1]["hyperparameters"][name]
    if name not in ("log_learning_rate", "log_alpha1", "log_alpha2", "decay_steps", "decay_rate"):
        assert described[0]["layers"] != described[1]["layers"]
    assert trained_as(before) != trained_as(after)


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_it_is_drawn_at_its_own_level_and_above_and_written(name):
    h = HYPERPARAMETERS[name]
    low, high = sorted([base_of(name).get(name, h.default), OTHER[name]])
    ends = [h.choices[low], h.choices[high]] if h.choices else [low, high]
    regions = {"net": {**base_of(name), "input_size": [20, 60], name: ends}}
    delta = (high - low) // h.step * h.step if not h.is_float else high - low
    for level in LEVELS[1 : LEVELS.index(h.level) + 1]:
        regions[level] = {name: [-delta, delta]}
    search = Search(regions=regions).feasible_regions()
    genomes = [draw(search, 0, index) for index in range(20)]
    assert len({genome.net.value(name) for genome in genomes}) > 1
    for level in regions.keys() - {"net"}:
        found = {g.deltas.get(name, 0) for genome in genomes for g in genome.net.walk() if g.level == level}
        assert len(found) > 1, level
    for genome in genomes:
        assert genome_from_json(genome.to_json()).deltas == genome.deltas
        assert all(low <= g.value(name) <= high for g in genome.net.walk())
