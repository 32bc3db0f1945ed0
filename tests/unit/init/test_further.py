"""``genenet init --from``: a config that trains the members of an earlier search further."""

import shlex
from pathlib import Path

import pytest

from genenet.config.model import read_config
from genenet.config.stages import stage_settings
from genenet.config.training import Training
from genenet.core.errors import InputError
from genenet.genes.genome import read_genome
from genenet.init import prompts
from genenet.init.further import read_further
from genenet.init.request import Request
from tests.support import runs
from tests.support.first_config import init, pair, said, write
from tests.support.started import Searches


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Searches(tmp_path_factory.mktemp("searches"))


@pytest.fixture(autouse=True)
def folder(made, tmp_path, monkeypatch):
    """New labelled images in the current folder, beside the results ``old`` of a finished search."""
    (tmp_path / "old").symlink_to(made.old)
    monkeypatch.chdir(tmp_path)
    image, ids = runs.blobs((2, 100, 160), 1)
    write("em.tif", image)
    write("labels.tif", ids)
    return tmp_path


def test_classes_sizes_and_options_are_those_of_the_search(made):
    text = said(pair("--from", "old"))
    config = read_config(Path("config.yaml"))
    data = config.data
    assert (data.classes, data.ignore_label, data.voxel_size_nm) == (runs.CLASSES, 9, (40, 10, 10))
    assert data.normalisation.over == "volume"
    assert [image.path for image in data.train] == [[Path("em.tif")]]
    assert (config.search.from_, config.search.n_by_round, config.search.seed) == (Path("old"), [1], 5)
    assert config.start == Path("old")
    training = config.training
    assert (training.iterations, training.validation_interval, training.batch_size) == (6, 1, 2)
    assert training.optimiser.ema_decay == 0.9
    assert (config.ensemble.size, config.ensemble.max_size, config.ensemble.metric) == (1, 4, "mean_iou")
    assert stage_settings(config, "train").starts
    assert not config.baselines.chosen()
    assert "1 member of old will be trained further, 6 iterations each: about" in text
    assert "the last layer" not in text
    words = Path("config.yaml").read_text().splitlines()[3].strip("# \\").split()
    assert words[:4] == ["genenet", "init", "--from", "old"]


def test_what_was_asked_for_takes_the_place_of_that(folder):
    text = said(
        pair("--from", "old", "--classes", "ground,vessel", "--voxel-size", "50x5x5", "--iterations", "12")
    )
    config = read_config(Path("config.yaml"))
    assert config.data.classes == ["ground", "vessel"]
    assert config.data.voxel_size_nm == (50, 5, 5)
    assert config.training.iterations == 12
    assert "old: the last layer begins with random weights, since the classes are others (new: ground" in text


def test_of_an_ensemble_the_recipe_is_that_of_a_preset():
    said(pair("--from", "old/ensemble", "--force"))
    config = read_config(Path("config.yaml"))
    text = Path("config.yaml").read_text()
    assert "this is preset modern, written out" in text
    assert config.training.optimiser.kind == "adamw"
    assert config.training.iterations == Training().iterations // 3 // 10 * 10
    assert config.data.voxel_size_nm == (40, 10, 10)


def test_results_are_never_those_of_the_search(folder):
    (folder / "results").symlink_to(folder / "old")
    said(pair("--from", "results"))
    assert read_config(Path("config.yaml")).results == Path("results_further")


def test_validation_images_that_were_learned_from_are_named(monkeypatch):
    found = read_further(Path("old"))
    start = found.start.model_copy(update={"learned_from": ["em.tif"]})
    monkeypatch.setattr("genenet.init.further.find_start", lambda _: start)
    text = said(pair("--from", "old"))
    assert "the networks of old may have learned from em.tif[" in text


def test_in_a_terminal_the_iterations_are_asked_for(monkeypatch):
    monkeypatch.setattr(prompts, "is_terminal", lambda: True)
    done = pair("--from", "old", "--genomes", "1", "--out", "mine.yaml", fill="7\n")
    assert done.exception is None, done.output
    assert "Iterations of each training [6]" in done.output
    assert read_config(Path("mine.yaml")).training.iterations == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from", "nowhere"], "nowhere: no such folder"),
        (["--from", "old", "--genomes", "2"], "search.n_genomes: is 2 or more, but the ensemble of old has 1 member"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(options, message):
    done = pair(*options)
    assert isinstance(done.exception, InputError)
    assert str(done.exception).startswith(message)
    assert not Path("config.yaml").exists()


def test_the_command_can_be_repeated(made):
    request = Request(start=Path("old"), image=[Path("em.tif")], labels=[Path("labels.tif")])
    words = shlex.split(read_further(Path("old")).completed(request).command())
    assert words[:2] == ["genenet", "init"]
    said(init(*words[2:]))
    assert read_config(Path("config.yaml")).data.classes == runs.CLASSES
    assert read_genome(made.before.genome("r0/000")).id == read_further(Path("old")).start.networks[0].genome
