"""Statistics of norms for a whole volume: what they are, and what they don't depend on."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.genes.genome import Genome
from genenet.genes.plan import plan
from genenet.networks.network import Network
from genenet.networks.norms import InstanceNorm
from genenet.networks.predictor import Predictor
from genenet.networks.volume_statistics import (
    LEAST_TILES,
    MOST_TILES,
    sampled_tiles,
    volume_statistics,
    with_statistics,
)
from genenet.volumes.base import ArrayVolume
from genenet.volumes.normalisation import Normalisation

CPU = torch.device("cpu")
NORM = Normalisation.of_volume(0.5, 0.3)
FIRST, SECOND = "layers.decode_stack0_layer0.norm", "layers.decode_stack0_layer1.norm"
LAST = "net/decode/stack0/layer1"
VALUES = {"n_convkernels": 3, "n_stacks": 1, "n_convlayers": 1, "input_size": 20, "norm": "instance"}


def network(**values):
    net = {**VALUES, **values}
    torch.manual_seed(0)
    made = Network(plan(Genome("n", {"net": net}).net, 3))
    for name, parameter in made.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter, mean=1)
    return made


def volume_of(shape, seed=0):
    return ArrayVolume(np.random.default_rng(seed).random(shape, dtype=np.float32), "random")


def probabilities(networks, volume, statistics=None, **options):
    predictor = Predictor(networks, CPU, **options)
    statistics = predictor.statistics(volume, NORM) if statistics is None else statistics
    box = Box.of_shape(volume.shape)
    return predictor.with_statistics(statistics).probabilities(volume, NORM, box)


@torch.inference_mode()
def test_each_layer_has_the_mean_and_variance_over_all_sampled_tiles():
    """Two convolutions by torch's functions; the second sees what the first gives with its statistics fixed."""
    made, volume = network(n_stacks=0, n_convlayers=2), volume_of((3, 60, 70))
    found = volume_statistics(made, volume, NORM)
    x = torch.from_numpy(sampled_tiles(made.plan, volume, NORM, None))[:, :, 0]
    assert len(x) == MOST_TILES
    for name, layer in zip((FIRST, SECOND), made.layers.values(), strict=True):
        x = F.conv2d(x, layer.conv.weight, layer.conv.bias)
        mean, variance = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3))
        assert found[f"{name}.running_mean"] == pytest.approx(mean.tolist(), abs=1e-4)
        assert found[f"{name}.running_var"] == pytest.approx(variance.tolist(), rel=1e-4)
        x = F.relu(F.batch_norm(x, None, None, layer.norm.weight, layer.norm.bias, training=True))
    assert len(found) == 4


@torch.inference_mode()
def test_a_network_with_fixed_norms_computes_by_the_formula():
    made, volume = network(n_stacks=0), volume_of((1, 40, 40))
    mean, variance = [0.1, -0.2, 0.3], [0.5, 2.0, 1.0]
    found = with_statistics(made, {f"{FIRST}.running_mean": mean, f"{FIRST}.running_var": variance})
    x = torch.from_numpy(volume.read(Box.of_shape(volume.shape)))[None]
    layer = made.layers["decode_stack0_layer0"]
    y = F.conv2d(x, layer.conv.weight, layer.conv.bias)
    y = F.batch_norm(y, torch.tensor(mean), torch.tensor(variance), layer.norm.weight, layer.norm.bias)
    expected = F.conv2d(F.relu(y), made.head.weight, made.head.bias)
    assert torch.allclose(found(x[None])[:, :, 0], expected, atol=1e-5)
    assert not any("norm" in name for name in found.state_dict())


def test_the_network_itself_stays_as_it_was_and_can_be_fixed_for_another_volume():
    made = network()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    one = probabilities([made], volume_of((1, 40, 40)))
    probabilities([made], ArrayVolume(volume_of((1, 40, 40), 1).read(Box.of_shape((1, 40, 40))) * 3, "other"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items())
    assert isinstance(made.layers["encode_stack0_layer0"].norm, InstanceNorm)
    assert np.array_equal(probabilities([made], volume_of((1, 40, 40))), one)


@pytest.mark.parametrize("values", [{}, {"padding": "same"}, {"spatial_mode": "3d", "input_depth": 14}])
def test_statistics_depend_on_no_tile_memory_or_thread(values):
    made, volume = network(**values), volume_of((16, 50, 60))
    expected = Predictor([made], CPU).statistics(volume, NORM)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        predictor = Predictor([made], CPU, tile=(1, 16, 16), memory_bytes=1e7, threads=3)
        assert predictor.statistics(volume, NORM) == expected
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


def test_a_changed_volume_has_other_statistics_and_an_affine_change_is_undone_almost():
    made, volume = network(), volume_of((2, 60, 60))
    brighter = ArrayVolume(2 * volume.read(Box.of_shape(volume.shape)) + 1, "brighter")
    one = volume_statistics(made, volume, NORM)
    assert volume_statistics(made, brighter, NORM) != one
    assert np.abs(probabilities([made], brighter) - probabilities([made], volume)).max() < 0.01
    assert np.abs(probabilities([made], brighter, [one]) - probabilities([made], volume)).max() > 0.05


def test_tiles_lie_inside_the_volume_where_they_fit_and_number_as_memory_allows():
    volume = volume_of((3, 50, 20))
    tiles = sampled_tiles(network().plan, volume, NORM, None)
    whole = NORM.apply(volume.read(Box.of_shape(volume.shape)), 0)
    places = np.lib.stride_tricks.sliding_window_view(whole, (1, 20, 20)).reshape(-1, 20, 20)
    assert all((tile[0] == places).all(axis=(1, 2)).any() for tile in tiles)
    assert len({tile.tobytes() for tile in tiles}) > 10
    large = plan(Genome("n", {"net": {"n_convkernels": 64, "input_size": 1500, "norm": "instance"}}).net, 2)
    assert len(sampled_tiles(large, volume, NORM, None)) == LEAST_TILES


def test_tiles_hold_a_voxel_inside_the_mask():
    values, mask = np.full((2, 200, 200), np.nan, np.float32), np.zeros((2, 200, 200), np.uint8)
    mask[1, 150:153, 7] = 1
    values[mask == 1] = 5.0
    tiles = sampled_tiles(network().plan, ArrayVolume(values, "v"), NORM, ArrayVolume(mask, "m"))
    assert np.allclose(tiles.reshape(len(tiles), -1).max(axis=1), (5 - 0.5) / 0.3)


def test_a_volume_smaller_than_a_tile_is_reflected():
    tiles = sampled_tiles(network().plan, volume_of((1, 8, 9)), NORM, None)
    assert tiles.shape == (MOST_TILES, 1, 1, 20, 20)
    assert np.isfinite(probabilities([network()], volume_of((1, 8, 9)))).all()


def test_members_that_need_none_have_none():
    made, volume = network(norm="batch"), volume_of((1, 30, 30))
    predictor = Predictor([made], CPU)
    assert predictor.statistics(volume, NORM) == []
    assert predictor.for_volume(volume, NORM) is predictor
    mixed = Predictor([made, network()], CPU).statistics(volume, NORM)
    assert [bool(of_member) for of_member in mixed] == [False, True]


@pytest.mark.parametrize("is_merged", [False, True])
@torch.inference_mode()
def test_beside_a_layer_with_batch_normalisation_only_the_instance_norm_is_fixed(is_merged):
    """A search can draw the norm of each layer; a batch normalisation keeps the statistics of the training."""
    genome = Genome(
        "n", {"net": {**VALUES, "n_stacks": 0, "n_convlayers": 2, "norm": "batch"}, LAST: {"norm": 2}}
    )
    torch.manual_seed(0)
    made, volume = Network(plan(genome.net, 3)).eval(), volume_of((1, 40, 40))
    first, second = made.layers.values()
    first.norm.running_mean.normal_(), first.norm.running_var.uniform_(1, 2)
    x = torch.from_numpy(NORM.apply(volume.read(Box.of_shape(volume.shape)), 0))[None]
    y = first(x)
    if is_merged:
        made.without_norms()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    found = volume_statistics(made, volume, NORM)
    assert list(found) == [f"{SECOND}.running_mean", f"{SECOND}.running_var"]
    mean, variance = (torch.tensor(values) for values in found.values())
    y = F.conv2d(y, second.conv.weight, second.conv.bias)
    y = F.relu(F.batch_norm(y, mean, variance, second.norm.weight, second.norm.bias))
    expected = F.conv2d(y, made.head.weight, made.head.bias)
    assert torch.allclose(with_statistics(made, found)(x[None])[:, :, 0], expected, atol=1e-4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items())


@pytest.mark.parametrize(
    ("statistics", "message"),
    [
        ([], "statistics of 1 networks are needed, not of 0"),
        ([{}], "aren't those of this network"),
        ([{f"{FIRST}.running_mean": [0.0], f"{FIRST}.running_var": [1.0]}], "aren't those of this network"),
    ],
)
def test_statistics_of_another_network_are_refused(statistics, message):
    with pytest.raises(InputError, match=message):
        Predictor([network(n_stacks=0)], CPU).with_statistics(statistics)


def test_a_layer_with_one_voxel_is_refused():
    with pytest.raises(
        InputError, match=r"net/decode/stack1/layer0: norm instance needs more than one voxel"
    ):
        network(padding="same", input_size=2)
    assert network(padding="same", input_size=4).plan.input_shape == (1, 4, 4)
