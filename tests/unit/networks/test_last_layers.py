"""What the last layers read, computed once."""

import numpy as np
import pytest
import torch

from genenet.core.geometry import Box
from genenet.genes.genome import Genome
from genenet.genes.plan import plan
from genenet.networks.last_layers import boxes_of_pieces, piece_of
from genenet.networks.network import Network
from genenet.networks.predictor import Predictor
from genenet.volumes.base import ArrayVolume
from genenet.volumes.normalisation import Normalisation

CPU = torch.device("cpu")
NETS = {
    "valid": {"n_stacks": 1, "n_convlayers": 1},
    "same": {"n_stacks": 2, "n_convlayers": 2, "padding": "same", "norm": "batch", "residual": True},
    "no pooling": {"n_stacks": 0, "n_convlayers": 2},
    "even kernels": {"n_stacks": 1, "n_convlayers": 2, "kernel_width": 2},
    "dilated": {"n_stacks": 1, "n_convlayers": 1, "kernel_width": 5, "dilation": 2},
    "3d": {"n_stacks": 1, "n_convlayers": 1, "spatial_mode": "3d", "input_depth": 16},
    "2.5d, same": {"n_stacks": 1, "spatial_mode": "2.5d", "input_depth": 8, "padding": "same"},
}


@pytest.mark.parametrize("name", NETS)
def test_from_pieces_come_the_probabilities_of_the_whole(name):
    genome = Genome("g", {"net": {"n_convkernels": 3, "input_size": 64, **NETS[name]}})
    torch.manual_seed(0)
    network = Network(plan(genome.net, 3)).placed(CPU).eval()
    shape = (18, 40, 70) if network.plan.has_depth else (2, 150, 140)
    image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    norm, whole = Normalisation.of_volume(127, 70), Box.of_shape(shape)
    expected = Predictor([network], CPU).probabilities(ArrayVolume(image, "image"), norm, whole)
    found = np.zeros_like(expected)
    for box in boxes_of_pieces(shape, network.plan.has_depth):
        piece = piece_of(network, image, (image > 100).astype(np.uint8), norm, box)
        with torch.no_grad():
            p = network.head(piece.features(network)).softmax(dim=1)
        found[:, *box.slices] = p[0] if network.plan.has_depth else p.transpose(0, 1)
        assert np.array_equal(piece.labels.reshape(box.shape), image[box.slices] > 100)
    assert np.abs(found - expected).max() < 1e-5
