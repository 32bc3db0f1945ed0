"""The preset ``published``: what 10 000 draws are like, beside what it declares."""

import numpy as np
import pytest
import torch
from scipy import stats

from genenet.config.presets import preset_regions
from genenet.config.search import Draws
from genenet.core.errors import InputError
from genenet.genes.generation import draw
from genenet.genes.inspection import inspect
from genenet.genes.plan import plan
from genenet.networks.network import Network

N = 10_000
LEAST = 1e-3  # of a test's p: the draws are always the same, so it can't fail now and then
FREE = {
    "log_learning_rate": (-5.5, -2.5),
    **{f"log_{name}": (-12.0, -4.0) for name in ("gamma1", "gamma2", "lambda1", "lambda2")},
}


REGIONS = Draws(regions=preset_regions("published", {})).feasible_regions()


def root(genomes, name):
    return np.array([genome.net.value(name) for genome in genomes])


def layers_of(genome):
    return [len(s.children) for path in genome.net.children for s in path.children]


@pytest.mark.slow
def test_ten_thousand_draws():
    """In one test, since the drawing is what takes the time."""
    genomes = [draw(REGIONS, seed=20, index=i) for i in range(N)]
    assert len({genome.id for genome in genomes}) == N
    are_within_the_regions(genomes)
    are_uniform_where_any_size_will_do(genomes)
    are_uniform_among_those_that_fit(genomes)


def are_within_the_regions(genomes):
    for name, region in REGIONS["net"].items():
        assert all(value in region for value in root(genomes, name)), name
    assert all(1 <= n <= 6 for genome in genomes for n in layers_of(genome))


def are_uniform_where_any_size_will_do(genomes):
    for name, (low, high) in FREE.items():
        found = stats.kstest(root(genomes, name), stats.uniform(low, high - low).cdf)
        assert found.pvalue > LEAST, name
    kernels = np.bincount(root(genomes, "n_convkernels").astype(int), minlength=111)[30:]
    assert stats.chisquare(kernels).pvalue > LEAST


def smaller(layers, size):
    """What layers of 3×3 leave of a size: by the sizes of a U-Net, written down once more; 0 if nothing."""
    n_stacks = len(layers) // 2
    skips = []
    for n in layers[:n_stacks]:
        size -= 2 * n
        skips.append(size)
        if size < 2 or size % 2:
            return 0
        size //= 2
    size -= 2 * layers[n_stacks]
    for n in layers[n_stacks + 1 :]:
        size *= 2
        if size < 1 or skips.pop() < size:
            return 0
        size -= 2 * n
    return max(size, 0)


def by_hand(rng):
    """One network of the declared distribution: redrawn until it fits. (poolings, layers at the net, in all, size)"""
    while True:
        n_stacks, n_layers = rng.integers(1, 5), rng.integers(1, 7)
        size = rng.integers(48, 255)
        layers = [int(np.clip(n_layers + rng.integers(-5, 6), 1, 6)) for _ in range(2 * n_stacks + 1)]
        fitting = next((s for s in range(size, 47, -1) if smaller(layers, s)), None)
        if fitting:
            return n_stacks, n_layers, sum(layers), fitting


def are_uniform_among_those_that_fit(genomes):
    rng = np.random.default_rng(1)
    expected = np.array([by_hand(rng) for _ in range(N)])
    found = np.array(
        [
            (
                g.net.value("n_stacks"),
                g.net.value("n_convlayers"),
                sum(layers_of(g)),
                g.net.value("input_size"),
            )
            for g in genomes
        ]
    )
    for a, b in zip(expected.T, found.T, strict=True):
        values = np.unique(np.concatenate([a, b]))
        values = values if len(values) < 30 else np.quantile(values, np.linspace(0, 1, 20))
        edges = np.append(values, np.inf)
        table = np.array([np.histogram(x, edges)[0] for x in (a, b)])
        assert stats.chi2_contingency(table[:, table.sum(0) > 0]).pvalue > LEAST


@pytest.mark.slow
def test_every_one_is_built_as_it_is_described():
    for index in range(200):
        genome = draw(REGIONS, seed=21, index=index)
        said = inspect(genome, 7)
        p = plan(genome.net, 7)
        with torch.device("meta"):
            network = Network(p)
            out = network(torch.empty(said["input_shape"]))
        assert list(out.shape) == said["output_shape"]
        assert sum(t.numel() for t in network.parameters()) == said["n_parameters"]
        lost = [(a - b) // 2 for a, b in zip(said["input_shape"][2:], out.shape[2:], strict=True)]
        assert lost == said["halo"]


def test_own_regions_take_the_place_of_the_presets():
    own = {"net": {"n_convkernels": [4, 8], "norm": ["none", "batch"]}}
    regions = preset_regions("published", own)
    assert regions["net"]["n_convkernels"] == [4, 8]
    assert regions["net"]["norm"] == ["none", "batch"]
    assert regions["net"]["n_stacks"] == [1, 4]
    assert regions["stack"] == {"n_convlayers": [-5, 5]}
    search = Draws(regions=regions)
    assert Draws.model_validate(search.model_dump()) == search


def test_an_unknown_preset():
    with pytest.raises(InputError, match=r"preset: 'publisched' is no preset; known are modern, published"):
        preset_regions("publisched", {})
