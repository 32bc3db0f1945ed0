import hashlib
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genenet.config.model import Search
from genenet.core.errors import InputError
from genenet.genes.generation import draw
from genenet.genes.genome import Genome, genome_from_json, read_genome
from genenet.genes.hyperparameters import HYPERPARAMETERS
from genenet.genes.plan import plan
from tests.support.regions import FEASIBLE, FEASIBLE_WITH_POOLING, REGIONS


def test_id_is_the_hash_of_canonical_deltas():
    genome = Genome(
        "a",
        {
            "net": {"n_stacks": 1, "dropout_rate": 0, "log_alpha1": -2},
            "net/encode": {"n_convkernels": 2, "dropout_rate": 0},
        },
    )
    canonical = '{"net":{"log_alpha1":-2.0,"n_stacks":1},"net/encode":{"n_convkernels":2}}'
    assert genome.id == hashlib.sha256(canonical.encode()).hexdigest()[:12]


def test_id_does_not_depend_on_name_order_or_zero_deltas():
    a = Genome("a", {"net": {"n_stacks": 1, "n_convkernels": 8}})
    b = Genome("b", {"net": {"n_convkernels": 8, "n_stacks": 1}, "net/decode": {"n_convkernels": 0}}, seed=3)
    assert a.id == b.id
    assert a.id != Genome("a", {"net": {"n_stacks": 1, "n_convkernels": 9}}).id


def test_id_does_not_depend_on_defaults_that_are_written_out():
    drawn = draw(FEASIBLE, seed=3, index=5)
    written = drawn.deltas["net"]
    assert len(written) == len(HYPERPARAMETERS)
    sparse = {n: v for n, v in written.items() if v != HYPERPARAMETERS[n].default}
    assert len(sparse) < len(written)
    assert Genome("sparse", {**drawn.deltas, "net": sparse}).id == drawn.id
    assert (
        Genome("default", {"net": {"n_stacks": HYPERPARAMETERS["n_stacks"].default}}).id == Genome("", {}).id
    )
    raised = Genome("a", {"net/encode": {"n_convkernels": HYPERPARAMETERS["n_convkernels"].default}})
    assert raised.id != Genome("b", {}).id  # below the root it is a delta


@pytest.mark.parametrize(
    ("index", "id_", "n_parameters"),
    [
        (0, "f33f8a3b2f51", 12_589),
        (1, "3165348b241d", 34_035),
        (2, "f796fc6fc4e4", 75_862),
        (3, "8339181c732d", 39_109),
    ],
)
def test_a_seed_draws_what_it_drew_before_there_were_newer_hyperparameters(index, id_, n_parameters):
    """The numbers were taken when ``pooling`` was the last hyperparameter of the table."""
    genome = draw(FEASIBLE_WITH_POOLING, seed=7, index=index)
    assert (genome.id, plan(genome.net, 3).n_parameters) == (id_, n_parameters)


def test_round_trip(tmp_path):
    genome = draw(FEASIBLE, seed=3, index=5)
    genome.write(tmp_path / "g.json")
    again = read_genome(tmp_path / "g.json")
    assert again == genome
    assert again.id == genome.id
    assert json.loads((tmp_path / "g.json").read_text())["format"] == "genenet.genome/2"


@given(seed=st.integers(0, 10_000), index=st.integers(0, 1000))
def test_draws_lie_in_their_regions_and_build(seed, index):
    genome = draw(FEASIBLE, seed, index)
    for gene in genome.net.walk():
        for name, region in FEASIBLE["net"].items():
            assert gene.value(name) in region, (gene.path, name)
    p = plan(genome.net, 7)
    assert p.input_shape[1:] == (genome.net.value("input_size"),) * 2
    assert min(p.output_shape) >= 1


def test_a_draw_depends_on_seed_round_and_index_alone():
    assert draw(FEASIBLE, 1, 2) == draw(FEASIBLE, 1, 2)
    ids = {draw(FEASIBLE, s, i, r).id for s in (1, 2) for i in (0, 1) for r in (0, 1)}
    assert len(ids) == 8


def test_a_generated_genome_writes_out_all_root_values():
    assert set(draw(FEASIBLE, 1, 0).deltas["net"]) == set(HYPERPARAMETERS)


def test_descendants_have_no_deltas_without_a_region():
    only_net = Search(regions={"net": REGIONS["net"]}).feasible_regions()
    assert set(draw(only_net, 1, 0).deltas) == {"net"}


def test_draws_spread_over_the_region():
    values = [draw(FEASIBLE, 0, i).net.value("n_convkernels") for i in range(300)]
    assert set(values) == set(range(4, 17))


def test_infeasible_draws_are_redrawn_and_logged(caplog):
    regions = Search(regions={"net": {"n_stacks": [1, 4], "input_size": [40, 60]}}).feasible_regions()
    with caplog.at_level(logging.INFO):
        genomes = [draw(regions, 0, i) for i in range(10)]
    assert all(min(plan(g.net, 2).output_shape) > 0 for g in genomes)
    assert "rejected: net: input_size" in caplog.text


def test_no_feasible_draw_is_an_error_that_says_what_to_change():
    regions = Search(regions={"net": {"n_stacks": 3, "input_size": 30}}).feasible_regions()
    with pytest.raises(InputError, match=r"none of 1000 draws is feasible .* raise net.input_size"):
        draw(regions, 0, 0)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            {"format": "genenet.genome/9", "name": "x", "deltas": {}},
            "format is 'genenet.genome/9'; a genome has",
        ),
        ([], "a genome has"),
        ({"format": "genenet.genome/2", "name": "x", "deltas": {}, "weights": 1}, "weights: unknown key"),
        ({"format": "genenet.genome/2", "name": "x", "deltas": {"net": 3}}, "deltas must hold an object"),
        ({"format": "genenet.genome/2", "name": "x"}, "deltas an object"),
    ],
)
def test_a_file_that_is_no_genome(value, said, tmp_path):
    with pytest.raises(InputError) as error:
        genome_from_json(value)
    assert said in str(error.value)
    (tmp_path / "bad.json").write_text(json.dumps(value))
    with pytest.raises(InputError, match=r"bad\.json: "):
        read_genome(tmp_path / "bad.json")


def test_files_that_are_not_json_or_not_there(tmp_path):
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match=r"bad\.json: not a JSON file"):
        read_genome(tmp_path / "bad.json")
    with pytest.raises(InputError, match="nowhere.json: no such file"):
        read_genome(tmp_path / "nowhere.json")
