"""A search by a surrogate model through the workflow: a static DAG, predictions, and what can be added."""

import pytest

from genenet.genes.genome import read_genome
from tests.support.search import Search

pytestmark = pytest.mark.xdist_group("surrogate")
MODEL = """
data: {test: []}
baselines: {unet2015: null}
search: {strategy: surrogate, n_genomes: [4, 2], surrogate: {candidates: 20, least_scores: 4}}
training: {iterations: 10, validation_interval: 5}
"""
LAST = "results/genomes/r1/001.json"


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    """The genomes of the second round are there; their trainings aren't needed."""
    made = Search(tmp_path_factory.mktemp("surrogate"), "tiny.yaml")
    made.add("model.yaml", MODEL)
    planned = made.planned(target=LAST)
    assert {rule: planned[rule] for rule in ("generate", "train", "gather")} == {
        "generate": 5,
        "train": 4,
        "gather": 1,
    }
    made.snakemake("results/genomes/r1/000.json", LAST)
    return made


def test_the_second_round_has_predictions_and_is_new(search):
    genomes = [read_genome(path) for path in sorted((search.results / "genomes").glob("r*/*.json"))]
    assert [genome.name for genome in genomes] == [*(f"r0_00{i}" for i in range(4)), "r1_000", "r1_001"]
    assert len({genome.id for genome in genomes}) == 6
    assert [genome.prediction is None for genome in genomes] == [True] * 4 + [False] * 2
    assert {genome.prediction.metric for genome in genomes[4:]} == {"ari"}


def test_an_added_genome_leaves_the_others_as_they_are(search):
    more = "search: {n_genomes: [4, 3]}"
    assert search.planned(more, target="results/genomes/r1/002.json") == {"generate": 1}


def test_a_larger_first_round_is_refused(search):
    search.add("more.yaml", "search: {n_genomes: [5, 2]}")
    output = search.snakemake("--dry-run", check=False)
    search.configs.pop()
    assert "search.n_genomes: round 0 had 4 genomes, not 5, when round 1 was bred from it" in output
