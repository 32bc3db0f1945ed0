"""What differs between two genomes, and the commands that make and compare children."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genenet.config.model import Search
from genenet.genes.differences import differences, print_differences
from genenet.genes.generation import draw
from genenet.genes.genome import Genome, read_genome
from genenet.genes.hyperparameters import HYPERPARAMETERS
from genenet.genes.plan import plan
from tests.support import runs
from tests.support.examples import examples
from tests.support.regions import FEASIBLE_WITH_POOLING as FEASIBLE
from tests.support.regions import WITH_POOLING as REGIONS
from tests.support.runs import fails

CONFIG = """
data:
  classes: [a, b]
  voxel_size_nm: [40, 10, 10]
  train: [{phantom: {shape: [2, 64, 64], seed: 1}}]
  validation: [{phantom: {shape: [2, 64, 64], seed: 2}}]
search: {regions: REGIONS}
"""


def genome(name="x", below=None, **net):
    return Genome(name, {"net": {"n_stacks": 1, "n_convlayers": 1, **net}, **(below or {})})


def flat(genome):
    """All deltas as a file has them, zeros left out below the net."""
    deltas = genome.to_json()["deltas"]
    return {(path, name): value for path, own in deltas.items() for name, value in own.items()}


@examples(30)
@given(seeds=st.tuples(st.integers(0, 40), st.integers(0, 40)))
def test_exactly_the_differing_deltas_are_listed(seeds):
    a, b = (draw(FEASIBLE, seed, 0) for seed in seeds)
    said = differences(a, b, 7)
    x, y = flat(a), flat(b)
    listed = {(d["path"], d["hyperparameter"]): (d["a"] or 0, d["b"] or 0) for d in said["differences"]}
    assert listed == {k: (x.get(k, 0), y.get(k, 0)) for k in x | y if x.get(k, 0) != y.get(k, 0)}
    paths_a, paths_b = ({gene.path for gene in g.net.walk()} for g in (a, b))
    assert set(said["only_in_a"]) == paths_a - paths_b
    assert set(said["only_in_b"]) == paths_b - paths_a
    assert said["equal"] == (a.id == b.id)
    for side, one in (("a", a), ("b", b)):
        assert said[side]["id"] == one.id
        assert said[side]["n_parameters"] == plan(one.net, 7).n_parameters
    for d in said["differences"]:
        assert (d["a"] is None) == (d["path"] in said["only_in_b"])
        assert (d["b"] is None) == (d["path"] in said["only_in_a"])


def test_names_seeds_parents_and_written_defaults_are_no_difference():
    a = genome("a")
    b = Genome("b", {"net": {n: a.net.value(n) for n in HYPERPARAMETERS}}, 3, ("0" * 12,))
    assert a.id == b.id
    assert differences(a, b, 2)["equal"]


def test_the_table(capsys):
    layer = "net/encode/stack0/layer0"
    a = genome("[b]a[/b]", {layer: {"dropout_rate": 0.25}}, activation="elu", log_learning_rate=-3)
    b = genome("b", {layer: {"n_convkernels": -4}}, n_stacks=2, log_learning_rate=-3 - 1e-9)
    print_differences(differences(a, b, 2))
    printed = capsys.readouterr().out
    lines = [line.split() for line in printed.splitlines()]
    assert ["net", "activation", "elu", "relu"] in lines
    assert ["net", "log_learning_rate", "-3.0", "-3.000000001"] in lines
    assert [layer, "dropout_rate", "+0.25", "0"] in lines
    assert [layer, "n_convkernels", "0", "-4"] in lines
    assert "only B has net/encode/stack1 and 2 genes below it\n" in printed
    assert "only A" not in printed
    assert [line for line in lines if line[:2] == ["A", "[b]a[/b]"]]
    assert f"{plan(b.net, 2).n_parameters:,}" in next(line for line in lines if line[:2] == ["B", "b"])


def test_a_genome_that_builds_nothing_can_be_compared(capsys):
    said = differences(genome(), genome(n_stacks=5, input_size=20), 2)
    assert "input_size 20 is too small" in said["b"]["infeasible"]
    print_differences(said)
    assert "too small" in capsys.readouterr().out


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG.replace("REGIONS", json.dumps(REGIONS)))
    for index in (0, 1):
        draw(Search(regions=REGIONS).feasible_regions(), 1, index).write(tmp_path / f"{index}.json")
    return tmp_path


@pytest.mark.process
def test_diff_exits_like_diff(folder):
    same = runs.run(runs.genenet("diff", "0.json", "0.json"))
    assert (same.returncode, same.stderr) == (0, "")
    assert same.stdout.startswith("no difference")
    other = runs.run(runs.genenet("diff", "0.json", "1.json", "--json", "--classes", "7"))
    assert (other.returncode, other.stderr) == (1, "")
    assert json.loads(other.stdout) == differences(
        read_genome(folder / "0.json"), read_genome(folder / "1.json"), 7
    )
    wrong = runs.run(runs.genenet("diff", "0.json", "2.json"))
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "genenet: error: 2.json: no such file\n"


@pytest.mark.process
def test_mutate(folder):
    command = runs.genenet("mutate", "0.json", "--rate", "0.3", "--scale", "0.1", "--out")
    for seed, name in ((1, "a"), (1, "b"), (2, "c")):
        done = runs.run([*command, f"{name}.json", "--seed", seed])
        assert done.returncode == 0, done.stderr
    a, b, c = (read_genome(folder / f"{name}.json") for name in "abc")
    assert a.id == b.id != c.id
    assert (a.name, a.seed, a.parents) == ("a", 1, (read_genome(folder / "0.json").id,))
    assert runs.run(runs.genenet("diff", "0.json", "a.json")).returncode == 1


@pytest.mark.process
def test_cross(folder):
    done = runs.run(
        runs.genenet("cross", "0.json", "1.json", "--config", "config.yaml", "--out", "new/c.json")
    )
    assert done.returncode == 0, done.stderr
    assert read_genome(folder / "new/c.json").parents == tuple(
        read_genome(folder / f"{i}.json").id for i in (0, 1)
    )


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("mutate 2.json", "2.json: no such file"),
        ("mutate 0.json --config no.yaml", "no.yaml: no such file"),
        ("mutate 0.json --rate 0", "0.json: nothing of r0_000 ("),
        ("mutate 0.json --scale 0", "--scale 0: give a number above 0, such as 0.2"),
        ("mutate 0.json --scale inf", "--scale inf: give a number above 0"),
        ("cross 0.json config.yaml", "config.yaml: not a JSON file"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_mistakes(tmp_path, arguments, said):
    fails(runs.genenet(*arguments.split(), "--out", "c.json"), said)
    assert not (tmp_path / "c.json").exists()
