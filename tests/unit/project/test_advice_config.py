"""The advice of docs/troubleshooting.md about the config: each message is met, then the advice is followed."""

import os
import re

import pytest
import yaml

from genenet.config.model import check_config, read_config
from genenet.config.stages import settings_json
from genenet.core.errors import InputError
from genenet.genes.generation import draw
from genenet.genes.genome import Genome
from genenet.genes.inspection import inspect
from genenet.networks.device import set_threads
from tests.support.configs import ROOT, changed

PAGE = (ROOT / "docs/troubleshooting.md").read_text()
FILES = {"path": "a.tif", "labels": "b.tif"}
LARGE = {"n_stacks": 4, "n_convlayers": 2}


def regions(**net):
    return {"net": {"n_convkernels": [2, 4], **net}}


CONFIG = [  # what the message holds, a key with a wrong value, and a value that the page advises
    ("unknown key; did you mean", "training", {"iteration": 10}, {"iterations": 10}),
    ("is missing", "data.train", [{"path": "a.tif"}], [FILES]),
    (
        "give either path: or phantom:",
        "data.train",
        [{**FILES, "phantom": {"shape": [2, 64, 64], "seed": 1}}],
        [FILES],
    ),
    (
        "region along",
        "data.train",
        [{**FILES, "region": [[5, 5], None, None]}],
        [{**FILES, "region": [[0, 5], None, None]}],
    ),
    ("must not contain spaces", "results", "my results", "my_results"),
    ("must not contain braces", "results", "{lab}", "/data/lab (1)'s".replace(" ", "_")),
    ("unknown hyperparameter", "search.regions", regions(n_kernels=3), regions()),
    ("no such level; use one of", "search.regions", {"nets": {}}, regions()),
    (
        "has no room, since net.",
        "search.regions",
        {"net": {"n_convlayers": 2}, "stack": {"n_convlayers": [-1, 1]}},
        {"net": {"n_convlayers": [1, 3]}, "stack": {"n_convlayers": [-1, 1]}},
    ),
]


@pytest.mark.parametrize(("message", "key", "wrong", "right"), CONFIG)
def test_advice_about_the_config(message, key, wrong, right):
    with pytest.raises(InputError, match=re.escape(message)):
        check_config(changed(key, wrong))
    check_config(changed(key, right))
    assert message in PAGE


def test_ids_beyond_the_classes_may_be_ignored():
    with pytest.raises(InputError, match=r"ignore_label 3 is the id of class"):
        check_config(changed("data.ignore_label", 3))
    for ignored in (255, -1, 0):
        check_config(changed("data.ignore_label", ignored))


def test_check_lists_all_unknown_keys(tmp_path):
    values = changed("training", {"iteration": 10})
    values["ensemble"] = {"sise": 3}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(InputError) as raised:
        read_config(tmp_path / "config.yaml")
    assert all(f"{key}: unknown key" in str(raised.value) for key in ("iteration", "sise"))


@pytest.mark.parametrize(
    "change", [{"input_size": 200}, {"n_stacks": 1}, {"n_convlayers": 1, "n_stacks": 2}, {"padding": "same"}]
)
def test_a_genome_that_is_too_small_for_its_layers(change):
    net = {"input_size": 64, **LARGE}
    with pytest.raises(
        InputError, match=r"net: input_size 64 is too small for its layers and poolings; at least"
    ):
        inspect(Genome("x", {"net": net}), 2, 1)
    inspect(Genome("x", {"net": {**net, **change}}), 2, 1)


@pytest.mark.parametrize("change", [{"input_size": [200, 240]}, {"n_stacks": 1}, {"kernel_width": 3}])
def test_regions_of_which_no_network_fits(change):
    net = {"n_stacks": [2, 3], "input_size": 72, "kernel_width": 9}
    with pytest.raises(InputError, match=r"none of 1000 draws is feasible \("):
        draw(check_config(changed("search.regions", {"net": net})).search.feasible_regions(), 1, 0)
    draw(check_config(changed("search.regions", {"net": {**net, **change}})).search.feasible_regions(), 1, 0)


def test_fewer_cores_than_threads(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    with pytest.raises(Exception, match=r"training.threads is 2, but this job may use 1 core\(s\)"):
        set_threads(2)
    set_threads(1)


def test_a_list_of_thousands_of_slices_is_given_as_a_folder(tmp_path):
    files = [str(tmp_path / f"a slice with a long name {index:05d}.tif") for index in range(3000)]
    config = check_config(changed("data.train", [{"path": files, "labels": files}]))
    with pytest.raises(
        InputError, match="settings of prepare_train: too many files for one line; give the folder"
    ):
        settings_json(config, "prepare_train")
    folder = check_config(changed("data.train", [{"path": str(tmp_path), "labels": str(tmp_path)}]))
    settings_json(folder, "prepare_train")


@pytest.mark.parametrize(
    ("wrong", "place"), [("classes: [a, b", "line 2, column 1"), ("a: b: c", "line 1, column 5")]
)
def test_a_line_that_is_no_yaml(tmp_path, wrong, place):
    (tmp_path / "config.yaml").write_text(f"{wrong}\n")
    with pytest.raises(InputError, match=rf"not a YAML file: .*{place}"):
        read_config(tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(changed("results", "results")))
    read_config(tmp_path / "config.yaml")
