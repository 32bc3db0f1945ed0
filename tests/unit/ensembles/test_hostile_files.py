"""Genomes and ensembles that another person may have made: each fault is one line, found quickly, in little memory."""

import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from genenet.core.errors import InputError
from genenet.ensembles.ensemble import load_ensemble
from genenet.genes.genome import Genome, read_genome
from genenet.genes.plan import plan
from genenet.networks.weights import WEIGHTS_FORMAT, load_network

OLD = Path(__file__).parents[2] / "data/version_0.1/search/ensemble"
WEIGHTS = "members/00/model.safetensors"


@pytest.fixture
def ensemble(tmp_path):
    """An ensemble's folder that may be changed."""
    return shutil.copytree(OLD, tmp_path / "ensemble")


def change_json(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def change_weights(path, change):
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    state = load_file(path)
    change(state)
    save_file(state, path, metadata)


def refused(folder, said):
    with pytest.raises(InputError, match=said) as error:
        load_ensemble(folder)
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 600
    return text


def test_the_ensemble_is_fine_before_it_is_changed(ensemble):
    loaded = load_ensemble(ensemble)
    assert [len(network.layers) for network in loaded.networks] == [5, 5]
    assert all(parameter.device.type == "cpu" for n in loaded.networks for parameter in n.parameters())


@pytest.mark.parametrize("place", ["../other", "members/../../other", "/etc", "", "members/.."])
def test_a_members_folder_lies_inside_the_ensembles(ensemble, place):
    shutil.copytree(ensemble / "members/00", ensemble.parent / "other")
    change_json(ensemble / "ensemble.json", lambda v: v["members"][0].update(folder=place))
    refused(ensemble, r"ensemble\.json: members\.0\.folder: .* leads out of the ensemble's folder")


@pytest.mark.parametrize(
    "path", ["net/../net", "../../etc", "net/encode/../../x", "/etc/passwd", "net/" + "x" * 9999]
)
def test_a_genome_names_genes_only(tmp_path, path):
    value = {"format": "genenet.genome/2", "name": "x", "deltas": {path: {"n_convkernels": 1}}}
    (tmp_path / "g.json").write_text(json.dumps(value))
    with pytest.raises(InputError, match="no such gene in this genome") as error:
        read_genome(tmp_path / "g.json")
    assert len(str(error.value)) < 500


def with_value(name, text):
    return f'{{"format": "genenet.genome/2", "deltas": {{"net": {{"{name}": {text}}}}}}}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{"format": "genenet.genome/2", "deltas": {"net": {"n_convkernels": 1' + "0" * 400 + "}}}",
            "too large; allowed: 1 to",
        ),
        (
            '{"format": "genenet.genome/2", "deltas": {"net": {"dropout_rate": 1' + "0" * 400 + "}}}",
            "too large; allowed: 0 to",
        ),
        (
            '{"format": "genenet.genome/2", "deltas": {"net": {"dropout_rate": 1e999}}}',
            "is too large; allowed",
        ),
        (with_value("n_stacks", "NaN"), "not a number"),
        (
            '{"format": "genenet.genome/2", "deltas": {"net": {"n_stacks": ' + "1" * 5000 + "}}}",
            "not a JSON file",
        ),
        (
            '{"format": "genenet.genome/2", "deltas": {"net": {"n_stacks": "' + "x" * 5000 + '"}}}',
            "is not a number",
        ),
        (
            '{"format": "genenet.genome/2", "deltas": {"net": {"' + "x" * 5000 + '": 1}}}',
            "unknown hyperparameter",
        ),
        ("[" * 100_000, "brackets are nested too deeply"),
        ('{"format": "' + "x" * 5000 + '"}', 'a genome has "format"'),
        (" " * 2**21, "has 2097152 bytes; such a file has at most 1048576"),
        ('{"format": "genenet.genome/2", "name": "a\\nb", "deltas": {}}', "name must be one line"),
        ('{"format": "genenet.genome/2", "deltas": {}, "seed": {}}', "seed must be a number"),
        ('{"format": "genenet.genome/2", "deltas": {}, "round": -1}', "round must be a number"),
        (
            '{"format": "genenet.genome/2", "deltas": {}, "parents": ["../x"]}',
            "parents must be ids of genomes",
        ),
    ],
    ids=lambda text: text[-20:],
)
def test_a_genome_that_is_none_is_one_short_line(tmp_path, text, said):
    (tmp_path / "g.json").write_text(text)
    with pytest.raises(InputError, match=said) as error:
        read_genome(tmp_path / "g.json")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000


def test_a_pipe_is_no_genome_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "g.json")
    with pytest.raises(InputError, match=r"g\.json: not a regular file"):
        read_genome(tmp_path / "g.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda s: s.update({"head.bias": torch.zeros(8)}),
            r"don't fit genome .*: head.bias has shape \(8,\), F32, where shape \(7,\)",
        ),
        (
            lambda s: s.update({"head.bias": torch.zeros(7, dtype=torch.float64)}),
            r"head.bias has shape \(7,\), F64",
        ),
        (lambda s: s.pop("head.bias"), "head.bias has no shape, where shape"),
        (lambda s: s.update({"more": torch.zeros(1)}), "more has shape .* where none is needed"),
        (lambda s: s["head.bias"].__setitem__(3, np.nan), r"head.bias holds NaN or infinity"),
        (lambda s: s["head.weight"].__setitem__((0, 0), np.inf), r"head.weight holds NaN or infinity"),
        (lambda s: s.clear(), "has no shape, where shape"),
    ],
)
def test_weights_fit_the_genome_and_are_finite(ensemble, change, said):
    change_weights(ensemble / WEIGHTS, change)
    assert str(ensemble / WEIGHTS) in refused(ensemble, said)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (struct.pack("<Q", 10**9) + b"{}", "a header of 1000000000 bytes, more than 1048576"),
        (struct.pack("<Q", 2**64 - 1) + b"{}", "a header of 18446744073709551615 bytes"),
        (struct.pack("<Q", 1000) + b"{}", "not a weights file"),
        (struct.pack("<Q", 2) + b"{}", "not weights written by genenet"),
        (b"", "not a weights file"),
        (b"\x80\x02", "not a weights file"),
    ],
)
def test_a_header_is_judged_before_it_is_read(ensemble, header, said):
    (ensemble / WEIGHTS).write_bytes(header)
    refused(ensemble, said)


def test_tensors_that_the_file_does_not_hold(ensemble):
    header = json.dumps(
        {
            "__metadata__": {WEIGHTS_FORMAT: "x"},
            "a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]},
        }
    ).encode()
    (ensemble / WEIGHTS).write_bytes(struct.pack("<Q", len(header)) + header)
    refused(ensemble, "not a weights file")


@pytest.mark.process
def test_a_genome_of_200_gigabytes_costs_nothing_until_its_weights_fit(tmp_path):
    """The file that says so is checked in another process, whose time and memory are its own."""
    net = {"n_stacks": 6, "n_convlayers": 6, "n_convkernels": 1024, "kernel_width": 15, "padding": "same"}
    genome = Genome("huge", {"net": {**net, "input_size": 4096}})
    genome.write(tmp_path / "genome.json")
    save_file({}, tmp_path / "model.safetensors", {WEIGHTS_FORMAT: genome.id})
    code = f"""
import resource, time
from pathlib import Path
from genenet.core.errors import InputError
from genenet.core.resources import peak_memory
from genenet.genes.genome import read_genome
from genenet.genes.plan import plan
from genenet.networks.weights import load_network
from genenet.networks.network import Network
import torch
before, start = peak_memory(), time.monotonic()
genome = read_genome("{tmp_path}/genome.json")
built = plan(genome.net, 7)
assert 4 * built.n_parameters > 200e9, built.n_parameters
try:
    load_network(genome, built, Path("{tmp_path}/model.safetensors"))
except InputError as error:
    print(time.monotonic() - start, (peak_memory() - before) / 1e6, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, megabytes, *words = done.stdout.split()
    assert "don't fit genome" in " ".join(words)
    assert float(megabytes) < 200
    assert float(seconds) < 5  # one on a quiet machine


def test_a_network_that_is_loaded_predicts_as_one_that_was_built(ensemble):
    genome = read_genome(ensemble / "members/00/genome.json")
    network = load_network(genome, plan(genome.net, 7), ensemble / WEIGHTS)
    state = load_file(ensemble / WEIGHTS)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert torch.isfinite(network(torch.rand(1, 1, *network.plan.input_shape))).all()
