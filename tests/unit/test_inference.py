"""Probabilities don't depend on how a volume is cut."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genenet.genome import Genome
from genenet.geometry import Box
from genenet.inference import Normalisation, Predictor, to_uint8
from genenet.network import Network
from genenet.plan import plan
from genenet.tiling import block_tiles
from genenet.volume import ArrayVolume

CPU = torch.device("cpu")
NORM = Normalisation.of_volume(0.5, 0.3)


def network(seed=0, **values):
    net = {"n_convkernels": 3, "n_stacks": 2, "n_convlayers": 1, "input_size": 60, **values}
    torch.manual_seed(seed)
    made = Network(plan(Genome("n", {"net": net}).net, 3))
    for name, parameter in made.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.2)
    return made


NETWORKS = {
    "valid": lambda: [network()],
    "same": lambda: [network(padding="same", batch_norm=True)],
    "wide": lambda: [network(kernel_width=5, pooling="conv")],
    "ensemble": lambda: [network(1), network(2, n_stacks=1), network(3, n_stacks=3, padding="same")],
}


def volume_of(shape, seed=0):
    return ArrayVolume(np.random.default_rng(seed).random(shape, dtype=np.float32), "random")


def by_definition(networks, volume, pad):
    """One network at a time on the whole volume, padded by numpy, cropped to where its output lies."""
    result = []
    _, height, width = volume.shape
    for n in networks:
        data = np.pad(
            volume.read(Box.of_shape(volume.shape)), [(0, 0), (pad, pad), (pad, pad)], mode="reflect"
        )
        p = n.plan
        # an input that begins a multiple of the pooling grid (and the halo) before the volume
        start = pad - p.halo - (pad - p.halo) // p.multiple * p.multiple
        sizes = [p.read_size(m + pad) for m in (height, width)]
        x = torch.from_numpy(
            (data[:, None, start : start + sizes[0], start : start + sizes[1]] - np.float32(0.5))
            / np.float32(0.3)
        )
        assert x.shape[-2:] == tuple(sizes)
        with torch.inference_mode():
            out = n.eval()(x).softmax(1).numpy()
        first = pad - start - p.margin
        result.append(out[:, :, first : first + height, first : first + width])
    return np.mean(result, axis=0).transpose(1, 0, 2, 3)


@pytest.mark.parametrize("kind", NETWORKS)
def test_tiles_give_what_the_whole_volume_gives(kind):
    networks, volume = NETWORKS[kind](), volume_of((2, 75, 90))
    expected = by_definition(networks, volume, pad=160)
    for tile in (16, 40, 256):
        found = Predictor.make(networks, tile, CPU).probabilities(volume, NORM, Box.of_shape(volume.shape))
        assert np.abs(found - expected).max() < 1e-5


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(sorted(NETWORKS)),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 70), st.integers(1, 70)),
    tile=st.integers(1, 80),
    data=st.data(),
)
def test_any_box_by_any_tile_is_a_part_of_the_whole(kind, shape, tile, data):
    networks, volume = NETWORKS[kind](), volume_of(shape)
    whole = Predictor.make(networks, 64, CPU).probabilities(volume, NORM, Box.of_shape(shape))
    start = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    stop = tuple(data.draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True))
    box = Box(start, stop)
    part = Predictor.make(networks, tile, CPU).probabilities(volume, NORM, box)
    assert np.abs(part - whole[:, *box.slices]).max() < 1e-5
    best = np.sort(whole[:, *box.slices], axis=0)
    clear = best[-1] - best[-2] > 1e-4
    assert np.array_equal(part.argmax(0)[clear], whole[:, *box.slices].argmax(0)[clear])


@given(
    start=st.tuples(*[st.integers(0, 50)] * 3),
    shape=st.tuples(*[st.integers(1, 60)] * 3),
    size=st.integers(1, 100),
)
def test_tiles_begin_on_the_grid_and_cover_the_block_once(start, shape, size):
    plans = [n.plan for n in NETWORKS["ensemble"]()]
    block = Box.of_shape(shape, start)
    seen = np.zeros(shape, int)
    for tile in block_tiles(plans, block, size):
        assert tile.core.start[1] % 8 == tile.core.start[2] % 8 == 0
        seen[tile.core.intersect(block).relative_to(start).slices] += 1
        for p, read in zip(plans, tile.reads, strict=True):
            assert read.start == (
                tile.core.start[0],
                tile.core.start[1] - p.halo,
                tile.core.start[2] - p.halo,
            )
            assert read.shape[1] >= tile.core.shape[1] + 2 * p.halo
    assert (seen == 1).all()


def test_probabilities_add_up_to_one_and_are_stored_in_255_steps():
    found = Predictor.make(NETWORKS["ensemble"](), 64, CPU).probabilities(
        volume_of((1, 20, 20)), NORM, Box.of_shape((1, 20, 20))
    )
    assert np.allclose(found.sum(0), 1, atol=1e-6)
    assert np.abs(to_uint8(found) / 255 - found).max() <= 0.5 / 255 + 1e-6


def test_normalisation_by_slices():
    norm = Normalisation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0]))
    data = np.full((2, 1, 1), 7, np.uint16)
    assert norm.apply(data, 1).ravel().tolist() == [2.5, 1.0]
