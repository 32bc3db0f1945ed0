"""Every entry of the tables that layers are built from works wholly: built, trained, tiled, its memory estimated."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from genenet.config.model import Config
from genenet.core.choices import Table
from genenet.core.geometry import Box
from genenet.genes.genome import Genome
from genenet.genes.hyperparameters import HYPERPARAMETERS
from genenet.genes.inspection import inspect
from genenet.genes.layer_parts import ACTIVATIONS, NORMS, PADDINGS, POOLINGS, SPATIAL_MODES
from genenet.genes.memory import kept_values
from genenet.genes.plan import plan
from genenet.networks.network import Network
from genenet.networks.predictor import Predictor
from genenet.volumes.base import ArrayVolume
from genenet.volumes.normalisation import Normalisation
from tests.support import trainers
from tests.support.search import ROOT

TABLES = {
    "activation": ACTIVATIONS,
    "norm": NORMS,
    "padding": PADDINGS,
    "pooling": POOLINGS,
    "spatial_mode": SPATIAL_MODES,
}
ENTRIES = [(name, entry) for name, table in TABLES.items() for entry in table.values()]
SMALL = {"n_convkernels": 4, "n_stacks": 1, "n_convlayers": 2, "input_size": 44, "input_depth": 20}
N_CLASSES = 3

each_entry = pytest.mark.parametrize(
    ("name", "entry"), ENTRIES, ids=[f"{name}-{entry.name}" for name, entry in ENTRIES]
)
CHOSEN = [name for name, h in HYPERPARAMETERS.items() if h.choices and h.choices != (False, True)]


def network_of(**values):
    torch.manual_seed(0)
    return Network(plan(Genome("g", {"net": {**SMALL, **values}}).net, N_CLASSES))


def bytes_kept_for_backward(network):
    """Bytes of all tensors that a forward leaves for backward, weights not counted."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept = []
    network.placed(torch.device("cpu"), to_train=True).train()
    with saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        network(torch.rand(1, 1, *network.plan.input_shape))
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in kept}
    return sum(n for pointer, n in storages.items() if pointer not in weights)


def estimated(network):
    return sum(4 * values + other for values, other in kept_values(network.plan))


def test_every_choice_stands_in_a_table():
    assert set(CHOSEN) == set(TABLES)
    assert all(HYPERPARAMETERS[name].choices == tuple(table) for name, table in TABLES.items())


@each_entry
def test_it_trains_for_one_iteration(name, entry):
    t = trainers.trainer(genome={name: entry.name, "n_convkernels": 4, "input_size": 40, "input_depth": 20})
    before = trainers.weights(t)
    t.step()
    after = trainers.weights(t)
    assert torch.isfinite(after).all()
    assert not torch.equal(before, after)


@each_entry
def test_tiles_are_those_of_the_whole_volume(name, entry):
    network = network_of(**{name: entry.name})
    rng = np.random.default_rng(0)
    data = rng.normal(size=(4, 30, 30)).astype(np.float32)
    volume, norm, box = ArrayVolume(data, "v"), Normalisation.of_volume(0, 1), Box.of_shape(data.shape)
    predictor = Predictor([network], torch.device("cpu"), threads=1).for_volume(volume, norm)
    whole = replace(predictor, tile=data.shape).probabilities(volume, norm, box)
    tiled = replace(predictor, tile=(2, 16, 10)).probabilities(volume, norm, box)
    assert np.abs(whole.sum(axis=0) - 1).max() < 1e-5
    assert np.abs(tiled - whole).max() < 1e-5


@each_entry
def test_what_backward_keeps_is_estimated(name, entry):
    network = network_of(**{name: entry.name})
    assert estimated(network) == pytest.approx(bytes_kept_for_backward(network), rel=0.15)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", NORMS)
def test_what_backward_keeps_is_estimated_with_dropout(activation, norm):
    network = network_of(activation=activation, norm=norm, dropout_rate=0.2)
    assert estimated(network) == pytest.approx(bytes_kept_for_backward(network), rel=0.15)


@each_entry
def test_parameters_and_names_are_those_of_the_description(name, entry):
    network = network_of(**{name: entry.name})
    said = inspect(Genome("g", {"net": {**SMALL, name: entry.name}}), N_CLASSES)
    assert said["n_parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert said["hyperparameters"][name] == entry.name
    title = getattr(entry, "title", "")
    assert not title or title in said["layers"][0]["details"]


@each_entry
def test_schema_and_docs_name_it(name, entry):
    regions = Config.model_json_schema()["$defs"]["Search"]["properties"]["regions"]["properties"]
    assert entry.name in regions["net"]["properties"][name]["anyOf"][0]["enum"]
    assert entry.text in (ROOT / "docs/method.md").read_text()


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_schema_and_docs_name_every_hyperparameter(name):
    h = HYPERPARAMETERS[name]
    h.function()
    regions = Config.model_json_schema()["$defs"]["Search"]["properties"]["regions"]["properties"]
    assert [level for level in regions if name in regions[level]["properties"]][-1] == h.level
    assert h.text in regions["net"]["properties"][name]["description"]
    assert f"`{name}`" in (ROOT / "docs/method.md").read_text()
    assert h.text in (ROOT / "docs/method.md").read_text()


def test_a_name_twice_is_refused():
    entry = ACTIVATIONS["relu"]
    with pytest.raises(ValueError, match="two entries of the table of activation are named relu"):
        Table("activation", [entry, entry])


def test_the_schema_is_plain_json():
    assert json.loads(json.dumps(Config.model_json_schema())) == Config.model_json_schema()
