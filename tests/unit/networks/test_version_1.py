"""Genomes and weights that version 0.1 wrote give the networks that they gave then."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import zarr
from safetensors import safe_open
from zarr.storage import ZipStore

from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.genes.genome import Genome, genome_from_json, read_genome
from genenet.genes.hyperparameters import HYPERPARAMETERS
from genenet.genes.plan import plan
from genenet.genes.version_1 import NAMES
from genenet.networks.network import Network
from genenet.networks.predictor import Predictor
from genenet.networks.weights import WEIGHTS_FORMAT, load_weights, save_weights
from genenet.volumes.base import ArrayVolume
from genenet.volumes.normalisation import Normalisation
from tests.support.ari import adjusted_rand_index

SEARCH = Path(__file__).parents[2] / "data/version_0.1/search"
ENSEMBLE = json.loads((SEARCH / "ensemble/ensemble.json").read_text())
MEMBERS = ENSEMBLE["members"]
OLD = {"format": "genenet.genome/1", "name": "old", "deltas": {}}


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member["genome"])
def test_a_member_of_an_old_ensemble_predicts_as_it_did(member):
    folder = SEARCH / "ensemble" / member["folder"]
    genome = read_genome(folder / "genome.json")
    assert genome.ids == (genome.id, member["genome"])
    network = Network(plan(genome.net, len(ENSEMBLE["classes"])))
    load_weights(network, genome, folder / "model.safetensors")
    validation = SEARCH / "phantoms/1x80x80-seed2"
    image, labels = (tifffile.imread(validation / name)[None] for name in ("image.tif", "labels.tif"))
    rule = ENSEMBLE["normalisation"]
    norm = Normalisation.of_volume(rule["mean"], rule["deviation"])
    found = Predictor([network], torch.device("cpu")).probabilities(
        ArrayVolume(image, "old"), norm, Box.of_shape(image.shape)
    )
    with ZipStore(SEARCH / "runs" / member["run"] / "validation.zarr.zip", mode="r") as store:
        stored = np.asarray(zarr.open_group(store, mode="r")["0"])
    assert np.abs(found * 255 - stored).max() < 0.6  # half a step of uint8, and rounding of another processor
    assert adjusted_rand_index(labels, stored.argmax(axis=0)) == pytest.approx(member["validation_ari"])


def test_old_weights_fit_the_same_genome_written_anew_and_no_other(tmp_path):
    folder = SEARCH / "ensemble" / MEMBERS[0]["folder"]
    genome = read_genome(folder / "genome.json")
    genome.write(tmp_path / "genome.json")
    assert json.loads((tmp_path / "genome.json").read_text())["format"] == "genenet.genome/2"
    again = read_genome(tmp_path / "genome.json")
    network = Network(plan(again.net, 7))
    load_weights(network, again, folder / "model.safetensors")
    save_weights(network.state_dict(), again.id, tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata()[WEIGHTS_FORMAT] == again.id != MEMBERS[0]["genome"]
    other = Genome("other", {"net": {**genome.deltas["net"], "log_learning_rate": -1.0}})
    with pytest.raises(InputError, match=f"weights of genome {MEMBERS[0]['genome']}, not of {other.id}"):
        load_weights(network, other, folder / "model.safetensors")


@pytest.mark.parametrize(("written", "index"), [(0, 0), (1, 1), (True, 1), (False, 0), ("true", 1)])
def test_batch_norm_of_an_old_genome_is_read_as_norm(written, index):
    net = genome_from_json({**OLD, "deltas": {"net": {"batch_norm": written}}}).net
    assert net.value("norm") == index


def test_a_new_genome_says_that_batch_norm_is_norm_now():
    with pytest.raises(
        InputError, match="net: batch_norm: this hyperparameter has been replaced; write norm"
    ):
        genome_from_json({**OLD, "format": "genenet.genome/2", "deltas": {"net": {"batch_norm": 1}}})


@pytest.mark.parametrize("name", ["norm", "groups"])
def test_an_old_genome_has_no_newer_names(name):
    with pytest.raises(InputError, match=f"net: {name}: genenet.genome/1 has no such hyperparameter"):
        genome_from_json({**OLD, "deltas": {"net": {name: 1}}})


def test_what_an_old_file_could_not_express_had_no_id_then():
    grouped, plain = Genome("a", {"net": {"groups": 2}}), Genome("b", {"net": {"groups": 1}})
    assert grouped.ids == (grouped.id,)
    assert plain.ids == Genome("c", {}).ids
    below = Genome("d", {"net/encode": {"groups": 1}})
    assert below.ids == (below.id,)


def test_the_names_of_the_old_format_are_still_there():
    assert set(HYPERPARAMETERS) >= NAMES
