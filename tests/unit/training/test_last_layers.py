"""The last layers learn from a few crops, and don't forget what these don't show."""

import numpy as np
import pytest
import torch

from genenet.config.adaptation import LAYERS
from genenet.core.geometry import Box
from genenet.core.ignore import IGNORE
from genenet.core.outputs import ObjectClass, Outputs
from genenet.genes.genome import Genome
from genenet.genes.plan import plan
from genenet.networks.last_layers import piece_of
from genenet.networks.network import Network
from genenet.training import last_layers
from genenet.training.last_layers import class_logs, truth_of
from genenet.volumes.normalisation import Normalisation
from tests.support import runs

CPU = torch.device("cpu")
OUTPUTS = Outputs(["background", "blob", "absent"])


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(last_layers, "STACK_STEPS", 20)
    monkeypatch.setattr(last_layers, "STACK_RATE", 0.02)  # these networks haven't learnt anything


def layers_of(kind, labels_of=lambda labels: labels, **net):
    values = {"n_convkernels": 4, "n_stacks": 1, "n_convlayers": 1, "input_size": 32, **net}
    torch.manual_seed(1)
    network = Network(plan(Genome("g", {"net": values}).net, 3)).placed(CPU).eval()
    crops = []
    for seed in (1, 2):
        image, labels = runs.blobs((2, 48, 48), seed)
        labels = labels_of(labels).astype(np.uint8)
        labels[0, :5] = IGNORE
        norm = Normalisation.of_volume(float(image.mean()), float(image.std()))
        crops.append([piece_of(network, image, labels, norm, Box.of_shape(image.shape))])
    return LAYERS[kind].function()(network, crops, OUTPUTS, 0)


def right(layers, crop, state):
    truth = truth_of(layers.crops[crop])
    return float((layers.probabilities(crop, state).argmax(dim=0) == truth).float().mean())


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("net", [{}, {"padding": "same", "norm": "batch"}], ids=["valid", "same"])
def test_what_was_learnt_on_one_crop_holds_on_another(kind, net):
    layers = layers_of(kind, **net)
    before = {name: tensor.clone() for name, tensor in layers.network.state_dict().items()}
    state = layers.fit([0])
    assert right(layers, 1, state) > max(0.8, right(layers, 1, {}))
    assert all(torch.equal(before[name], now) for name, now in layers.network.state_dict().items())
    assert state.keys() <= before.keys()
    again = layers.fit([0])
    assert all(torch.equal(state[name], again[name]) for name in state)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_class_that_no_crop_shows_is_not_forgotten(kind):
    layers = layers_of(kind)
    state = layers.fit([0, 1])
    old, new = (layers.probabilities(1, each)[2] for each in ({}, state))
    assert float(new.mean()) > 0.3 * float(old.mean())
    nothing = layers_of(kind, labels_of=np.zeros_like)  # the only class can't be told from another one
    kept = nothing.fit([0, 1])
    assert np.allclose(nothing.probabilities(0, kept), nothing.probabilities(0, {}), atol=1e-5)


def test_a_border_counts_as_its_class():
    logits = torch.tensor([[1.0], [2.0], [0.5], [3.0]])
    outputs = Outputs(["background", "cell", "other"], [ObjectClass(name="cell", of=["cell"])])
    p, of_outputs = class_logs(logits, outputs).exp()[:, 0], logits.softmax(dim=0)[:, 0].tolist()
    assert p.tolist() == pytest.approx([of_outputs[0], of_outputs[1] + of_outputs[3], of_outputs[2]])
