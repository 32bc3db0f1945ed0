"""Fixes the statistics of normalisation layers for a whole volume, before it is predicted.

An instance normalisation uses the mean and deviation of each training patch. If it used those of each tile in
prediction, a result would depend on where tiles are cut. Instead its statistics are computed once, from a sample of the
volume's tiles, and are then the same for all tiles, jobs and machines. Li et al. (2016, "Revisiting batch normalization
for practical domain adaptation") do the same for batch normalisation.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.random import PCG64, Generator, SeedSequence
from torch import nn

from genenet.core.errors import InputError
from genenet.core.random_streams import Stream
from genenet.genes.memory import prediction_bytes
from genenet.networks.network import ConvLayer, Network
from genenet.volumes.reflection import read_reflected
from genenet.volumes.sampling import random_boxes

if TYPE_CHECKING:
    from genenet.genes.plan import Plan
    from genenet.volumes.base import Volume
    from genenet.volumes.normalisation import Normalisation

# Mean and variance of each channel, by their names in the state of the network with fixed norms; empty if it needs none
Statistics = dict[str, list[float]]

MOST_TILES, LEAST_TILES = 16, 2
SAMPLE_BYTES = 500_000_000  # about what the forward of all sampled tiles may take

STATISTICS = "running_mean", "running_var"  # of a batch normalisation, by their names in torch
BatchNorm = nn.BatchNorm2d | nn.BatchNorm3d


def volume_statistics(
    network: Network, volume: Volume, normalisation: Normalisation, mask: Volume | None = None
) -> Statistics:
    """Return the statistics of a network's norms for a volume; the same network and volume give the same numbers.

    The sampled tiles pass the network as one batch, in which each norm uses the mean and variance over all tiles
    together. So the statistics of a layer belong to inputs that the fixed layers before it give. The number of tiles
    depends on the network alone, and one CPU core computes, so that neither memory nor cores change the result.

    Args:
        network: on the device that computes.
        volume: with NaN outside its mask.
        normalisation: of the volume's voxels.
        mask: of the volume's shape, 0 outside; tiles are drawn so that they hold a voxel inside.
    """
    if not network.plan.needs_statistics:
        return {}
    sampled = sampled_tiles(network.plan, volume, normalisation, mask)
    fixed = _with_batch_norms(network)
    device = network.head.weight.device
    for norm in _fixed_norms(fixed, network).values():
        norm.train().momentum = 1.0  # the running statistics are those of the next batch
    with _one_core(), torch.inference_mode():
        fixed(torch.from_numpy(sampled).to(device))
    return {
        f"{name}.{key}": [float(f"{value:.9g}") for value in getattr(norm, key).tolist()]  # exact for float32
        for name, norm in _fixed_norms(fixed, network).items()
        for key in STATISTICS
    }


def with_statistics(network: Network, statistics: Statistics) -> Network:
    """Return a network that uses these statistics in prediction; one that needs none is returned itself.

    The new network shares its weights with the old one. Its fixed norms are merged into the convolutions before them.

    Raises:
        InputError: If these aren't statistics of such a network.
    """
    if not network.plan.needs_statistics:
        return network
    fixed = _with_batch_norms(network)
    wanted = {
        f"{name}.{key}": norm.num_features
        for name, norm in _fixed_norms(fixed, network).items()
        for key in STATISTICS
    }
    if {name: len(values) for name, values in statistics.items()} != wanted:
        raise InputError("the statistics of the norms aren't those of this network")
    like = network.head.weight
    state = {name: torch.tensor(values, device=like.device) for name, values in statistics.items()}
    fixed.load_state_dict(state, strict=False)
    return fixed.without_norms()


def sampled_tiles(
    plan: Plan, volume: Volume, normalisation: Normalisation, mask: Volume | None
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return tiles (N, 1, Z, Y, X) of the training size, drawn at random; they lie inside the volume where they fit."""
    n_tiles = SAMPLE_BYTES // prediction_bytes(plan, plan.input_shape, 4)
    n_tiles = min(MOST_TILES, max(LEAST_TILES, n_tiles))
    rng = Generator(PCG64(SeedSequence(0, spawn_key=(Stream.NORM_STATISTICS,))))
    boxes = random_boxes(volume, plan.input_shape, n_tiles, rng, mask)
    tiles = [normalisation.apply(read_reflected(volume, box), box.start[0]) for box in boxes]
    return np.stack(tiles)[:, None]


def _with_batch_norms(network: Network) -> Network:
    """Return the network with batch normalisations in place of the norms that need statistics; weights are shared.

    Its other norms are copies: a batch normalisation keeps the statistics of the training, and one that was merged into
    its convolution stays merged.
    """
    device = network.head.weight.device
    with torch.device("meta"):  # no memory, and no random numbers
        fixed = Network(network.plan.with_fixed_norms())
    for name in network.layers.keys() - _layers_to_fix(network):
        fixed.layers[name].norm = copy.deepcopy(network.layers[name].norm)
    state = network.state_dict()
    new = {name: tensor for name, tensor in fixed.state_dict().items() if name not in state}
    state |= {name: torch.zeros_like(tensor, device=device) for name, tensor in new.items()}
    fixed.load_state_dict(state, assign=True)
    return fixed.eval()


def _fixed_norms(fixed: Network, network: Network) -> dict[str, BatchNorm]:
    """Return those norms of a fixed network, by name, that need statistics in the network it was made from."""
    names = [f"layers.{name}.norm" for name in _layers_to_fix(network)]
    norms = {name: fixed.get_submodule(name) for name in names}
    return {name: norm for name, norm in norms.items() if isinstance(norm, BatchNorm)}


def _layers_to_fix(network: Network) -> list[str]:
    """Return the names of the layers whose norms need statistics."""
    layers = network.layers.items()
    return [name for name, layer in layers if isinstance(layer, ConvLayer) and layer.layer.needs_statistics]


@contextmanager
def _one_core() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
