"""Probabilities don't depend on how a volume is cut."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genenet.core.geometry import Box
from genenet.genes.baselines import BASELINES
from genenet.genes.genome import Genome
from genenet.genes.plan import plan
from genenet.genes.sizes import output_size
from genenet.networks.network import Network
from genenet.networks.predictor import Predictor
from genenet.networks.symmetry import symmetries
from genenet.networks.tile_batch import turned as turned_tensor
from genenet.networks.tile_batch import turned_back
from genenet.networks.tiling import reading
from genenet.training.probabilities import to_uint8
from genenet.volumes.base import ArrayVolume
from genenet.volumes.normalisation import Normalisation
from tests.support.examples import examples

CPU = torch.device("cpu")
NORM = Normalisation.of_volume(0.5, 0.3)


def fixed(*networks):
    """Networks whose norms have the statistics of a small volume."""
    predictor, volume = Predictor(networks, CPU), volume_of((2, 70, 80), seed=1)
    return predictor.for_volume(volume, NORM).networks


def network(seed=0, **values):
    net = {"n_convkernels": 3, "n_stacks": 2, "n_convlayers": 1, "input_size": 60, **values}
    return network_of(Genome("n", {"net": net}), seed)


def network_of(genome, seed=0):
    torch.manual_seed(seed)
    made = Network(plan(genome.net, 3))
    for name, parameter in made.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.2)
    return made


NETWORKS = {
    "valid": lambda: [network()],
    "same": lambda: [network(padding="same", norm="batch")],
    "channel norm": lambda: [network(norm="channel"), network(padding="same", norm="channel")],
    "instance norm": lambda: fixed(network(norm="instance"), network(padding="same", norm="instance")),
    "resenc": lambda: fixed(
        network_of(BASELINES["resenc"].genome(n_convkernels=3, n_stacks=2, input_size=64))
    ),
    "wide": lambda: [network(kernel_width=5, pooling="conv")],
    "3d": lambda: [network(spatial_mode="3d", n_stacks=1)],
    "3d same": lambda: [network(spatial_mode="3d", n_stacks=1, padding="same")],
    "hybrid": lambda: [network(n_context_stacks=1, residual=True)],
    "dilated": lambda: [network(dilation=2, n_stacks=1), network(dilation=3, n_stacks=0, residual=True)],
    "windows": lambda: [network(n_stacks=0, n_convlayers=2, kernel_width=2, dilation=2, window_pooling=1)],
    "2.5d": lambda: [network(spatial_mode="2.5d")],
    "ensemble": lambda: [network(1), network(2, n_stacks=1), network(3, n_stacks=3, padding="same")],
    "ensemble of 2d and 3d": lambda: [network(1), network(2, n_stacks=1, spatial_mode="3d")],
}


def volume_of(shape, seed=0):
    return ArrayVolume(np.random.default_rng(seed).random(shape, dtype=np.float32), "random")


def by_definition(networks, volume, pad):
    """One network at a time on the whole volume, padded by numpy, cropped to where its output lies."""
    result = []
    for n in networks:
        p = n.plan
        data = volume.read(Box.of_shape(volume.shape))
        data = np.pad(data, [(pad * p.has_depth,) * 2, (pad, pad), (pad, pad)], mode="reflect")
        # an input that begins a multiple of the pooling grid (and the halo) before the volume
        pads = (pad * p.has_depth, pad, pad)
        starts = [a - h - (a - h) // m * m for a, h, m in zip(pads, p.halo, p.multiple, strict=True)]
        sizes = p.read_shape(tuple(m + a for m, a in zip(volume.shape, pads, strict=True)))
        region = Box.of_shape(sizes, tuple(starts)).slices
        x = torch.from_numpy((data[region] - np.float32(0.5)) / np.float32(0.3))
        assert x.shape == tuple(sizes)
        with torch.inference_mode():
            out = n.eval()(x[None, None]).softmax(1).numpy()[0]
        first = tuple(a - s - m for a, s, m in zip(pads, starts, p.margin, strict=True))
        result.append(out[:, *Box.of_shape(volume.shape, first).slices])
    return np.mean(result, axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETWORKS)
def test_tiles_give_what_the_whole_volume_gives(kind):
    networks, volume = NETWORKS[kind](), volume_of((3, 45, 51))
    expected = by_definition(networks, volume, pad=120)
    for tile in ((1, 16, 16), (2, 40, 16), (16, 256, 256)):
        found = Predictor(networks, CPU, tile=tile).probabilities(volume, NORM, Box.of_shape(volume.shape))
        assert np.abs(found - expected).max() < 1e-5


@examples(40)
@given(
    kind=st.sampled_from(sorted(NETWORKS)),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 50), st.integers(1, 50)),
    tile=st.tuples(st.integers(1, 6), st.integers(1, 80), st.integers(1, 80)),
    data=st.data(),
)
def test_any_box_by_any_tile_is_a_part_of_the_whole(kind, shape, tile, data):
    networks, volume = NETWORKS[kind](), volume_of(shape)
    whole = Predictor(networks, CPU, tile=(4, 64, 64)).probabilities(volume, NORM, Box.of_shape(shape))
    start = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    stop = tuple(data.draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True))
    box = Box(start, stop)
    part = Predictor(networks, CPU, tile=tile).probabilities(volume, NORM, box)
    assert np.abs(part - whole[:, *box.slices]).max() < 1e-5
    best = np.sort(whole[:, *box.slices], axis=0)
    clear = best[-1] - best[-2] > 1e-4
    assert np.array_equal(part.argmax(0)[clear], whole[:, *box.slices].argmax(0)[clear])


@given(
    kind=st.sampled_from(sorted(NETWORKS)),
    start=st.tuples(*[st.integers(0, 50)] * 3),
    shape=st.tuples(*[st.integers(1, 60)] * 3),
)
def test_what_is_read_begins_on_the_pooling_grid_and_reaches_as_far_as_the_network_sees(kind, start, shape):
    core = Box.of_shape(shape, start)
    for p in (n.plan for n in NETWORKS[kind]()):
        needs = reading(p, core)
        assert all((a + h) % m == 0 for a, h, m in zip(needs.read.start, p.halo, p.multiple, strict=True))
        assert needs.inside.shape == shape
        for axis in range(3):
            assert needs.read.start[axis] <= start[axis] - p.halo[axis]
            assert needs.read.stop[axis] >= core.stop[axis] + p.halo[axis]
            out = output_size(p.stacks, axis, needs.read.shape[axis])
            assert 0 <= needs.inside.start[axis] < needs.inside.stop[axis] <= out
            # an output voxel lies where its input does, less what the convolutions take off
            assert needs.inside.start[axis] + needs.read.start[axis] + p.margin[axis] == start[axis]


def predicted(networks, volume, **options):
    """What a predictor says of a whole volume in one tile: probabilities and disagreement."""
    predictor, box = Predictor(networks, CPU, **options), Box.of_shape(volume.shape)
    said = predictor.predict(predictor.read(volume, NORM, box), box)
    return said.probabilities.numpy(), None if said.disagreement is None else said.disagreement.numpy()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ensemble", "3d"])
def test_with_all_turns_it_commutes_with_the_symmetries_exactly(kind):
    networks, volume = NETWORKS[kind](), volume_of((4, 37, 30))
    turns = symmetries(kind == "3d")
    whole = volume.read(Box.of_shape(volume.shape))
    expected, _ = predicted(networks, volume, turns=turns)
    for turn in turns:
        found, _ = predicted(networks, ArrayVolume(turn(whole), "turned"), turns=turns)
        assert np.array_equal(turn.back(found), expected)
    plain, _ = predicted(networks, volume)
    turned, _ = predicted(networks, ArrayVolume(turns[1](whole), "turned"))
    assert not np.array_equal(turns[1].back(turned), plain)


def test_with_turns_any_tile_gives_the_same():
    networks, volume = NETWORKS["ensemble"](), volume_of((2, 37, 30))
    expected, _ = predicted(networks, volume, turns=symmetries(False))
    for tile in ((1, 16, 16), (2, 7, 30)):
        predictor = Predictor(networks, CPU, turns=symmetries(False), tile=tile)
        found = predictor.probabilities(volume, NORM, Box.of_shape(volume.shape))
        assert np.abs(found - expected).max() < 1e-5


@given(
    start=st.tuples(*[st.integers(-5, 9)] * 3),
    size=st.tuples(*[st.integers(1, 9)] * 3),
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    turn=st.sampled_from(symmetries(True)),
)
def test_boxes_turn_as_arrays_do(start, size, shape, turn):
    array, box = np.arange(np.prod(shape)).reshape(shape), Box.of_shape(size, start)
    turned = turn.box(box, shape)
    assert turn.box_back(turned, shape) == box
    assert np.array_equal(turn.back(turn(array)), array)
    assert np.array_equal(turned_tensor(torch.from_numpy(array), turn).numpy(), turn(array))
    assert np.array_equal(turned_back(torch.from_numpy(turn(array).copy()), turn).numpy(), array)
    inside = box.intersect(Box.of_shape(shape))
    if min(inside.shape) > 0:
        there = turn.box(inside, shape)
        assert np.array_equal(turn(array)[there.slices], turn(array[inside.slices]))


def test_members_are_weighted_and_vote():
    networks, volume = NETWORKS["ensemble"](), volume_of((1, 20, 20))
    each = np.stack([predicted([n], volume)[0] for n in networks])
    weights = np.array([3.0, 1.0, 0.5])
    weighted, _ = predicted(networks, volume, weights=list(weights))
    assert np.allclose(weighted, np.average(each, axis=0, weights=weights), atol=1e-6)
    shares, _ = predicted(networks, volume, combination="vote")
    counted = [(each.argmax(1) == c).sum(0) / 3 for c in range(3)]
    assert np.allclose(shares, counted, atol=1e-6)


def test_disagreement_is_the_ambiguity():
    networks, volume = NETWORKS["ensemble"](), volume_of((1, 20, 20))
    each, weights = np.stack([predicted([n], volume)[0] for n in networks]), [2.0, 1.0, 1.0]
    mean, found = predicted(networks, volume, weights=weights, disagreement=True)
    apart = np.square(each - mean).sum(axis=1)
    assert found == pytest.approx(np.average(apart, axis=0, weights=weights), abs=1e-6)
    assert found.max() > 0.01
    assert predicted(networks[:1], volume, disagreement=True)[1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("values", [{}, {"spatial_mode": "3d", "input_depth": 8}])
def test_blended_tiles_give_the_same_wherever_the_volume_is_cut(values):
    networks = [network(padding="same", n_stacks=1, input_size=20, **values)]
    volume = volume_of((5, 41, 30))
    expected, _ = predicted(networks, volume, blended=True)
    for tile in ((1, 16, 16), (2, 7, 30), (3, 40, 11)):
        predictor = Predictor(networks, CPU, blended=True, tile=tile)
        found = predictor.probabilities(volume, NORM, Box.of_shape(volume.shape))
        assert np.abs(found - expected).max() < 1e-5
    assert np.allclose(expected.sum(axis=0), 1, atol=1e-5)
    exact, _ = predicted(networks, volume)
    assert 1e-4 < np.abs(expected - exact).max() < 0.5


def test_a_blended_voxel_is_the_gaussian_mean_of_the_tiles_that_hold_it():
    n, volume = network(padding="same", n_stacks=1, input_size=8), volume_of((1, 12, 8))
    found, _ = predicted([n], volume, blended=True)
    # along y tiles of 8 begin at every multiple of 6; the voxel 7, 4 lies in those from 0 and 6
    data = np.pad(volume.read(Box.of_shape(volume.shape)), [(0, 0), (0, 6), (6, 6)], mode="reflect")
    total = weights = 0
    for y in (0, 6):
        for x in (0,):
            tile = (data[:, y : y + 8, 6 + x : 14 + x] - np.float32(0.5)) / np.float32(0.3)
            with torch.inference_mode():
                p = n(torch.from_numpy(tile)[None, None]).softmax(1)[0, :, 0, 7 - y, 4 - x].numpy()
            weight = np.exp(-((7 - y - 3.5) ** 2 + (4 - x - 3.5) ** 2) / 2)
            total, weights = total + weight * p, weights + weight
    assert found[:, 0, 7, 4] == pytest.approx(total / weights, abs=1e-5)


@pytest.mark.parametrize("mode", ["2d", "3d"])
def test_normalisations_go_into_the_convolutions(mode):
    made = network(norm="batch", spatial_mode=mode, n_stacks=1)
    made.train()(torch.rand(2, 1, *made.plan.input_shape))  # moves the statistics
    volume = volume_of((3, 24, 24))
    before, _ = predicted([made], volume)
    after, _ = predicted([made.without_norms()], volume)
    assert not any("norm" in name for name, _ in made.named_parameters())
    assert np.abs(before - after).max() < 1e-5


def test_probabilities_add_up_to_one_and_are_stored_in_255_steps():
    found = Predictor(NETWORKS["ensemble"](), CPU).probabilities(
        volume_of((1, 20, 20)), NORM, Box.of_shape((1, 20, 20))
    )
    assert np.allclose(found.sum(0), 1, atol=1e-6)
    assert np.abs(to_uint8(found) / 255 - found).max() <= 0.5 / 255 + 1e-6


def test_normalisation_by_slices():
    norm = Normalisation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0]))
    data = np.full((2, 1, 1), 7, np.uint16)
    assert norm.apply(data, 1).ravel().tolist() == [2.5, 1.0]


@pytest.mark.parametrize(
    ("device", "side", "depth"), [("cpu", 100, 1), ("cuda", 100, 16), ("cuda", 2000, 11), ("cuda", 20_000, 1)]
)
def test_a_gpu_takes_as_many_slices_at_once_as_their_probabilities_fit(device, side, depth):
    predictor = Predictor([network()], CPU)
    object.__setattr__(predictor, "device", torch.device(device))
    assert predictor.sizes.slab((30, side, side)) == depth
    predictor = Predictor([network(spatial_mode="3d", n_stacks=1)], CPU)
    assert predictor.sizes.slab((30, side, side)) == 16
