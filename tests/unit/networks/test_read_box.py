"""Voxels are normalised on the networks' device bit for bit as numpy does on the host."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genenet.core.geometry import Box
from genenet.networks.read_box import ReadBox
from genenet.networks.transfers import Transfers
from genenet.volumes.normalisation import Normalisation

TYPES = [
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float16",
    "float32",
]
CPU = torch.device("cpu")


def read_box(voxels, box, norm):
    return ReadBox.of(voxels, box, (4, 6, 5), norm, Transfers(CPU).upload)


@pytest.mark.parametrize("dtype", [*TYPES, "float64", "longdouble"])
@pytest.mark.parametrize("over", ["volume", "slice"])
def test_every_type_is_normalised_as_on_the_host(dtype, over):
    rng = np.random.default_rng(0)
    large = 2_000_000_000 if np.dtype(dtype).kind in "iuf" and np.dtype(dtype).itemsize >= 4 else 0
    voxels = (large + rng.integers(0, 100, (8, 6, 5))).astype(dtype)  # slices -2 to 5 of a volume of four
    n = 1 if over == "volume" else 4
    norm = Normalisation(large + rng.random(n) * 50, rng.random(n) + 0.1)
    box = Box((-2, 0, 0), (6, 6, 5))
    inside = Box((-1, 2, 1), (5, 6, 4))
    found = read_box(voxels, box, norm).normalised(inside)
    expected = norm.apply(voxels[inside.relative_to(box.start).slices], inside.start[0])
    assert found.voxels.dtype == torch.float32
    assert np.array_equal(found.voxels.numpy(), expected)
    assert np.array_equal(found.part(Box((0, 3, 2), (2, 5, 4))).numpy(), expected[1:3, 1:3, 1:3])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_voxels_outside_a_mask_are_the_centre(dtype):
    voxels = np.array([[[np.nan, 3.0]]], dtype)
    found = read_box(voxels, Box.of_shape((1, 1, 2)), Normalisation.of_volume(1.0, 2.0))
    assert found.normalised(Box.of_shape((1, 1, 2))).voxels.tolist() == [[[0.0, 1.0]]]


@given(mean=st.floats(-1e4, 1e4), deviation=st.floats(1e-3, 1e4), seed=st.integers(0, 99))
def test_any_mean_and_deviation_give_the_same_bits(mean, deviation, seed):
    voxels = np.random.default_rng(seed).integers(0, 2**16, (1, 6, 5), np.uint16)
    norm, box = Normalisation.of_volume(mean, deviation), Box.of_shape((1, 6, 5))
    assert np.array_equal(read_box(voxels, box, norm).normalised(box).voxels.numpy(), norm.apply(voxels, 0))
