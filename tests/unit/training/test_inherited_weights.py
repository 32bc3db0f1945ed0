"""Trainings that begin with the weights of a parent: what they begin with, how they resume, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from genenet.core.errors import InputError
from genenet.core.outputs import Outputs
from genenet.core.paths import ResultPaths, fold_run
from genenet.genes.genome import Genome, read_genome
from genenet.genes.plan import plan
from genenet.networks.network import Network
from genenet.networks.weights import load_network
from genenet.search.halving import gather
from genenet.search.parents import parent_of
from genenet.training import inheritance
from genenet.training.run import TrainingRun
from genenet.training.scores import read_scores
from genenet.training.stopping import Stop
from tests.support import runs

PLAIN = {**runs.GENOME, "dropout_rate": 0.0}


class Family:
    """A trained parent in round 0, and children of it in round 1."""

    def __init__(self, folder):
        runs.make(folder, genome=PLAIN, iterations=20, validation_interval=5, optimiser={"ema_decay": 0.9})
        self.folder, self.paths = folder, ResultPaths(folder / "results")
        self.write("r0/000", read_genome(folder / "genome.json"))
        self.settings = json.loads((folder / "train.json").read_text())
        assert self.training("r0/000", inherits=False).run()
        gather(self.paths, ["r0/000"], self.round_file)

    @property
    def round_file(self):
        return self.folder / "results/rounds/r0.json"

    def write(self, run, genome):
        genome.write(self.paths.genome(run))
        return genome

    def child(self, run, parents=None, **values):
        parents = parents or (read_genome(self.paths.genome("r0/000")).id,)
        return self.write(run, Genome(run, {"net": {**PLAIN, **values}}, 0, parents, 1))

    def training(self, run, inherits=True, results=True, **training):
        settings = self.folder / f"{run.replace('/', '_')}.json"
        values = {**self.settings, "training": {**self.settings["training"], **training}}
        settings.write_text(json.dumps({**values, **({"inherits": True} if inherits else {})}))
        data = [self.folder / f"{split}.zarr.zip" for split in ("train", "validation")]
        of = self.paths
        return TrainingRun(
            Path(of.genome(run)),
            *data,
            settings,
            of.run(run),
            parent_of=(lambda child, built: parent_of(of, None, child, built)) if results else None,
        )

    def weights(self, run):
        return load_file(self.paths.run(run).weights)

    def scores(self, run):
        return read_scores(self.paths.run(run).scores)


@pytest.fixture(scope="module")
def parents(tmp_path_factory):
    return Family(tmp_path_factory.mktemp("parents"))


@pytest.fixture
def family(parents, tmp_path):
    """A copy whose files may be changed."""
    shutil.copytree(parents.folder, tmp_path, dirs_exist_ok=True)
    made = object.__new__(Family)
    made.folder, made.paths, made.settings = tmp_path, ResultPaths(tmp_path / "results"), parents.settings
    return made


def test_a_child_begins_with_the_weights_that_its_parent_has_published(family):
    family.child("r1/000", log_learning_rate=-8.0)
    assert family.training("r1/000", iterations=5).run()
    before, after = family.weights("r0/000"), family.weights("r1/000")
    for name, tensor in before.items():
        if name.endswith("num_batches_tracked"):
            assert after[name] == tensor + 5
        elif ".norm.running" not in name:
            torch.testing.assert_close(after[name], tensor, rtol=0, atol=1e-6)
    scores = family.scores("r1/000")
    assert scores.iterations == 5
    assert scores.iterations_of_weights == 25
    genome = family.scores("r0/000").genome
    assert scores.inherited.model_dump(include={"run", "genome", "iterations", "copied", "fresh"}) == {
        "run": "r0/000", "genome": genome, "iterations": 20, "copied": 4, "fresh": 0,
    }  # fmt: skip


def test_a_grandchild_counts_the_iterations_of_all_its_ancestors(family):
    child = family.child("r1/000", n_convkernels=4)
    assert family.training("r1/000", iterations=5).run()
    gather(family.paths, ["r1/000"], family.folder / "results/rounds/r1.json")
    family.write("r2/000", Genome("r2/000", {"net": {**PLAIN, "n_convkernels": 5}}, 0, (child.id,), 2))
    assert family.training("r2/000", iterations=10).run()
    inherited = family.scores("r2/000").inherited
    assert (inherited.run, inherited.iterations, inherited.widened) == ("r1/000", 25, 3)
    assert family.scores("r2/000").iterations_of_weights == 35


def test_a_training_that_was_stopped_ends_with_the_same_weights_without_reading_its_parent_again(
    family, monkeypatch
):
    family.child("r1/000", n_convkernels=5)
    family.child("r1/001", n_convkernels=5)
    assert family.training("r1/000", iterations=20).run()
    done = []
    stop = Stop()
    monkeypatch.setattr(
        Stop, "__call__", lambda self: done.append(1) or ("stopped" if len(done) == 7 else None)
    )
    assert not family.training("r1/001", iterations=20).run(stop)
    family.paths.run("r0/000").weights.unlink()
    monkeypatch.setattr(inheritance, "load_network", None)
    assert family.training("r1/001", iterations=20).run()
    assert len(done) > 7
    whole, resumed = (family.paths.run(f"r1/00{i}") for i in range(2))
    assert resumed.weights.read_bytes() == whole.weights.read_bytes()
    one, other = (family.scores(f"r1/00{i}") for i in range(2))
    assert one.inherited == other.inherited
    assert one.fingerprint == other.fingerprint


def test_other_weights_of_the_parent_are_another_training(family):
    family.child("r1/000")
    assert family.training("r1/000", iterations=5).run()
    first = family.scores("r1/000").fingerprint
    content = json.loads(family.round_file.read_text())
    content["runs"][0]["weights"] = ["0" * 64]
    family.round_file.write_text(json.dumps(content))
    with pytest.raises(
        InputError, match=r"model.safetensors: these weights have changed since .*r0.json was written"
    ):
        family.training("r1/000", iterations=5).run()
    assert list(family.paths.run("r1/000").folder.glob(f"checkpoint.{first[:8]}.pt"))


@pytest.mark.parametrize(
    ("breaks", "message"),
    [
        (lambda f: f.paths.run("r0/000").weights.unlink(), "model.safetensors: no such file; a child of r0/000 begins"),
        (lambda f: f.round_file.unlink(), "r0.json: no such file"),
        (lambda f: f.child("r1/000", parents=("abc",)), r"no earlier round has weights of its parents \(abc\)"),
        (lambda f: strip(f.round_file), "r0.json: has no checksums of the weights of r0/000; remove it"),
    ],
)  # fmt: skip
def test_a_parent_without_weights_is_one_line(family, breaks, message):
    family.child("r1/000")
    breaks(family)
    with pytest.raises(InputError, match=message) as error:
        family.training("r1/000", iterations=5).run()
    assert len(str(error.value).splitlines()) == 1


def strip(path):
    content = json.loads(path.read_text())
    del content["runs"][0]["weights"]
    path.write_text(json.dumps(content))


def test_without_the_results_folder_it_is_refused(family):
    family.child("r1/000")
    with pytest.raises(
        InputError, match="begins with the weights of a parent; name the results folder with --results"
    ):
        family.training("r1/000", results=False).run()


def test_of_two_parents_the_one_that_fills_more_weights_is_taken(family):
    wide = family.write("r0/001", Genome("w", {"net": {**PLAIN, "n_convkernels": 6}}))
    for path in family.paths.run("r0/000").outputs():
        target = family.paths.run("r0/001").folder / path.rpartition("/")[2]
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
    scores = json.loads(family.paths.run("r0/001").scores.read_text())
    family.paths.run("r0/001").scores.write_text(json.dumps({**scores, "genome": wide.id}))
    gather(family.paths, ["r0/000", "r0/001"], family.round_file)
    narrow = read_genome(family.paths.genome("r0/000")).id

    def chosen(fold=None, **values):
        child = Genome("c", {"net": {**PLAIN, **values}}, 0, (narrow, wide.id), 1)
        return parent_of(family.paths, fold, child, plan(child.net, 3)).run

    assert chosen(n_convkernels=6) == "r0/001"
    assert chosen(n_convkernels=4) == "r0/001"
    assert chosen(n_convkernels=3) == "r0/000"  # both fill all, so the first
    assert chosen(n_convkernels=2) == "r0/000"


def test_in_a_fold_a_child_begins_with_the_weights_of_that_fold(family):
    content = json.loads(family.round_file.read_text())
    content["runs"][0]["weights"] = ["a", "b"]
    family.round_file.write_text(json.dumps(content))
    child = family.child("r1/000")
    found = parent_of(family.paths, 1, child, plan(child.net, 3))
    assert (found.run, found.checksum) == (fold_run("r0/000", 1), "b")
    assert found.weights == family.paths.run("r0/000").folder / "folds/1/model.safetensors"


def test_the_same_architecture_predicts_the_same_before_it_is_trained(family):
    genome = read_genome(family.paths.genome("r0/000"))
    child = family.child("r1/000", log_learning_rate=-2.0)
    built = plan(child.net, 3)
    torch.manual_seed(0)
    network = Network(built)
    inheritance.begin_with(parent_of(family.paths, None, child, built), network, 3, Outputs(runs.CLASSES))
    trained = load_network(genome, plan(genome.net, 3), family.paths.run("r0/000").weights)
    x = torch.randn(1, 1, *built.input_shape)
    with torch.no_grad():
        assert torch.equal(network.eval()(x), trained.eval()(x))
