"""Into which tiles a block is cut."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genenet.core.errors import InputError
from genenet.core.geometry import Box, tiles
from genenet.genes.genome import Genome
from genenet.genes.memory import prediction_bytes
from genenet.genes.plan import plan
from genenet.networks.tile_sizes import (
    LARGEST,
    MOST_VALUES,
    TileSizes,
    block_shape,
    largest_tile,
    tile_shape,
)
from genenet.networks.tiling import reading, union, waste
from tests.support.examples import examples

BLOCK = (16, 1280, 1280)


NET = {"n_convkernels": 8, "n_stacks": 2, "n_convlayers": 2, "input_size": 140}


def planned(**values):
    return plan(Genome("n", {"net": {**NET, **values}}).net, 7)


def test_at_a_halo_of_20_little_is_computed_twice():
    p = planned()
    assert p.halo == (0, 20, 20)
    for block in (BLOCK, (16, 720, 1280), (16, 1000, 1000), (1, 2000, 2000)):
        shape = tile_shape([p], block, 1e9)
        assert waste([p], list(tiles(Box.of_shape(block), shape))) <= 1.15
        assert math.prod(reading(p, Box.of_shape(shape)).read.shape) <= LARGEST
        assert shape[0] == 1  # more slices would take more memory for nothing


@examples(30)
@given(
    mode=st.sampled_from(["2d", "3d", "2.5d"]),
    padding=st.sampled_from(["valid", "same"]),
    block=st.tuples(st.integers(1, 20), st.integers(1, 900), st.integers(1, 900)),
    memory_mb=st.integers(200, 2000),
)
def test_tiles_fit_into_the_memory_and_cover_the_block(mode, padding, block, memory_mb):
    plans = [planned(spatial_mode=mode, padding=padding, n_stacks=1), planned(n_convkernels=20)]
    shape = tile_shape(plans, block, memory_mb * 1e6)
    for p in plans:
        read = reading(p, Box.of_shape(shape)).read.shape
        assert prediction_bytes(p, read, 4) <= memory_mb * 1e6
    cut = list(tiles(Box.of_shape(block), shape))
    assert sum(core.n_voxels for core in cut) == math.prod(block)


def test_less_memory_makes_smaller_tiles_and_too_little_is_an_error():
    p = planned(n_convkernels=64)
    sizes = [math.prod(tile_shape([p], BLOCK, mb * 1e6)) for mb in (60, 200, 1000)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2]
    with pytest.raises(InputError, match=r"segmentation.memory_mb 1 is too little: .* takes \d+ MB"):
        tile_shape([p], BLOCK, 1e6)


def test_a_deep_network_is_given_deep_tiles():
    p = planned(spatial_mode="3d", n_stacks=1, input_depth=30)
    depth, height, width = tile_shape([p], (64, 512, 512), 1e9)
    assert depth >= 16
    assert height >= 32
    assert width >= 32


def test_a_deep_networks_blocks_are_deep_so_that_little_of_what_it_computes_is_halo():
    p = planned(spatial_mode="3d", input_depth=60)
    assert p.halo == (20, 20, 20)
    assert block_shape([p]) == (64, 640, 640)
    shape = tile_shape([p], block_shape([p]), 1e9)
    assert waste([p], list(tiles(Box.of_shape(block_shape([p])), shape))) <= 3  # 1.6 along z alone


SMALL = {"n_convkernels": 4, "n_stacks": 1, "n_convlayers": 1, "input_size": 24}


@pytest.mark.parametrize(
    ("values", "megabytes", "tile"),
    [
        ({}, 10_000, (16, 300, 200)),  # whole slices
        ({}, 60, (8, 300, 200)),
        ({}, 10, (1, 300, 200)),
        ({}, 3, (1, 150, 200)),
        ({"spatial_mode": "3d", "input_depth": 24}, 1000, (16, 300, 200)),
        ({"spatial_mode": "3d", "input_depth": 24}, 30, (16, 150, 100)),  # a halo along z, too
    ],
)
def test_a_gpu_takes_the_largest_tile_that_fits(values, megabytes, tile):
    p = planned(**SMALL, **values)
    assert largest_tile([p], (16, 300, 200), megabytes * 1e6) == tile
    assert TileSizes([p], megabytes * 1e6, on_gpu=True).tile((16, 300, 200)) == tile
    assert prediction_bytes(p, p.read_shape(tile), 4) <= megabytes * 1e6
    assert TileSizes([p], megabytes * 1e6).tile((16, 300, 200)) == tile_shape(
        [p], (16, 300, 200), megabytes * 1e6
    )


def test_a_gpu_computes_less_of_the_halo_than_the_caches_of_a_cpu_would_allow():
    for p in (planned(), planned(spatial_mode="3d", input_depth=60)):
        on_cpu, on_gpu = (
            TileSizes([p], 4e9, on_gpu=on_gpu).tile(block_shape([p])) for on_gpu in (False, True)
        )
        block = Box.of_shape(block_shape([p]))
        assert waste([p], list(tiles(block, on_gpu))) < waste([p], list(tiles(block, on_cpu)))


def test_no_batch_of_a_gpu_has_more_values_than_can_be_indexed():
    p = planned(n_convkernels=64)
    shape = largest_tile([p], (64, 4000, 4000), 1e15)
    assert MOST_VALUES / 3 < prediction_bytes(p, p.read_shape(shape), 1) <= MOST_VALUES
    sizes = TileSizes([p], 1e15, on_gpu=True)
    assert sizes.n_at_once([p.read_shape((1, 500, 500))]) * 500**2 * 64 < MOST_VALUES
    assert TileSizes([p], 1e9).n_at_once([p.read_shape((1, 500, 500))]) == 1


def test_a_slab_takes_its_probabilities_and_a_tile_in_each_thread():
    p, volume = planned(**SMALL), (30, 300, 200)
    of_slice, sizes = 4 * 7 * 300 * 200, TileSizes([p], 1e9)
    of_tile = prediction_bytes(p, p.read_shape(sizes.tile((1, 300, 200))), 4)
    assert sizes.bytes_of_slices(volume, 3) == of_slice + 3 * of_tile
    on_gpu = TileSizes([p], 1e9, on_gpu=True).bytes_of_slices(volume, 3)
    assert on_gpu == 16 * of_slice + prediction_bytes(p, p.read_shape((16, 300, 200)), 4)
    assert TileSizes([p], 1e9, on_gpu=True).bytes_of_slices((2, 300, 200), 3) < on_gpu


@pytest.mark.process
@pytest.mark.parametrize("values", [{"n_convkernels": 32}, {"spatial_mode": "3d", "input_depth": 60}])
def test_the_memory_of_a_tile_is_about_what_is_said(values):
    p = planned(**values)
    # so large that the 10 MB by which a process's memory varies are little beside it
    shape = p.read_shape((24, 128, 128) if p.has_depth else (1, 400, 400))
    code = f"""
import torch
from genenet.genes.genome import Genome
from genenet.core.resources import peak_memory
from genenet.networks.network import Network
from genenet.genes.plan import plan
torch.set_num_threads(1)
n = Network(plan(Genome("n", {{"net": {NET | values}}}).net, 7))
n.placed(torch.device("cpu")).eval()
with torch.inference_mode():
    n(torch.rand(1, 1, *{p.read_shape((1, 4, 4))}))
    before = peak_memory()
    n(torch.rand(1, 1, *{shape})).softmax(1)
print(int(peak_memory() - before))
"""
    used = int(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )
    assert prediction_bytes(p, shape, 4) == pytest.approx(used, rel=0.25)


def test_unions_hold_all_boxes():
    boxes = [Box((0, 5, 2), (1, 9, 4)), Box((2, 1, 3), (3, 2, 9))]
    assert union(boxes) == Box((0, 1, 2), (3, 9, 9))
