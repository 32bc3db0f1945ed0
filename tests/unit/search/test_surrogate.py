"""The surrogate model of a search: what it knows of genomes, what it predicts, and which genomes it chooses."""

import math

import numpy as np
import pytest

from genenet.config.search import Evolution, Surrogate
from genenet.config.settings import BreedSettings
from genenet.core.errors import InputError
from genenet.genes.baselines import BASELINES
from genenet.genes.generation import draw
from genenet.genes.genome import Genome, read_genome
from genenet.genes.hyperparameters import HYPERPARAMETERS
from genenet.genes.prediction import PredictedScore
from genenet.search import surrogate
from genenet.search.features import Feature, FeatureTable, features
from genenet.search.proposals import candidates, proposed, tried
from genenet.search.round_files import TrainingResult
from genenet.search.surrogate import Forest, expected_improvement, propose

NET = {
    "log_learning_rate": [-5, -1],
    "n_convkernels": [2, 9],
    "n_stacks": [1, 2],
    "n_convlayers": [1, 2],
    "input_size": [60, 90],
    "norm": ["none", "batch"],
}
SMALL = Surrogate(candidates=60)
SETTINGS = BreedSettings(seed=3, regions={"net": NET}, evolution=Evolution(), surrogate=SMALL)


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    """A forest is fitted once for each genome; fewer trees are quicker."""
    monkeypatch.setattr(surrogate, "N_TREES", 20)


def optimum(genome):
    """A score that is best at a learning rate of 10^-2 and with batch normalisation."""
    rate, norm = genome.net.value("log_learning_rate"), genome.net.value("norm")
    return 0.9 - 0.1 * (rate + 2) ** 2 + 0.05 * norm


def drawn(n):
    return [draw(SETTINGS.feasible_regions(), 1, index) for index in range(n)]


def scored(n):
    return [(genome, optimum(genome)) for genome in drawn(n)]


def test_features_are_those_of_the_built_network():
    found = features(BASELINES["unet2015"].genome())
    assert found[Feature("parameters")] == pytest.approx(math.log10(31_030_658))
    assert found[Feature("convolution layers")] == 18
    assert found[Feature("n_convlayers", stack="encode/stack3")] == 2
    assert found[Feature("padding", "valid")] == 1
    assert found[Feature("padding", "same")] == 0
    assert Feature("n_convlayers", stack="encode/stack4") not in found


def test_every_hyperparameter_is_a_feature():
    """A new entry of their table needs no line elsewhere."""
    assert set(HYPERPARAMETERS) <= {feature.of for feature in features(drawn(1)[0])}


def test_a_stack_has_features_of_its_own_if_it_differs_from_the_network():
    first = Genome("a", {"net/encode/stack0": {"n_convkernels": 4}})
    second = Genome("b", {"net": {"log_learning_rate": -2.0, "n_stacks": 1}})
    third = Genome("c", {"net": {"n_convkernels": 40}})
    table = FeatureTable.of([first, second, third])
    assert Feature("n_convkernels", stack="encode/stack0") in table.columns
    assert Feature("n_convkernels", stack="encode/stack1") in table.columns
    assert not any(c.stack for c in table.columns if c.of == "kernel_width")
    assert math.isnan(table.rows[1, table.columns.index(Feature("n_convkernels", stack="encode/stack1"))])
    assert not any(c.of == "decay_rate" for c in table.columns)


def test_what_is_below_the_goal_improves_nothing():
    """The second genome may be as far above the goal as the first is, but may also fail."""
    of_trees = np.array([[0.7, 0.9, 0.5], [0.9, 0.1, 0.6], [0.8, 0.8, 0.0]])
    assert expected_improvement(of_trees, 0.6) == pytest.approx([0.2, (0.3 + 0.2) / 3, 0])


def test_of_two_without_an_improvement_the_better_one_is_chosen():
    known = np.array([[0.0], [1.0], [2.0], [3.0]])
    scores = np.array([0.1, 0.2, 0.3, 0.9])
    (best,) = propose(known, scores, np.array([[0.0], [2.0], [1.0]]), 1, [0])
    assert best.candidate == 1


def test_a_forest_is_surer_where_it_has_seen_genomes():
    rng = np.random.default_rng(0)
    rows = rng.uniform(0, 1, (60, 2))
    scores = np.where(rows[:, 0] < 0.5, 0.5, rng.normal(0.5, 0.2, 60))
    mean, deviation = Forest(rows, scores, 0).predict(np.array([[0.2, 0.5], [0.8, 0.5]]))
    assert mean[0] == pytest.approx(0.5, abs=0.02)
    assert deviation[0] < deviation[1] / 3


def test_a_batch_is_not_many_times_the_same():
    """Two equally good regions: both are chosen, although one would be chosen first each time."""
    rng = np.random.default_rng(0)
    known = rng.uniform(0, 1, (40, 1))
    scores = np.where(np.abs(known[:, 0] - 0.5) > 0.4, 0.9, 0.2) + rng.normal(0, 0.01, 40)
    candidates = np.linspace(0, 1, 101)[:, None]
    chosen = [float(candidates[p.candidate, 0]) for p in propose(known, scores, candidates, 6, range(6))]
    assert len(set(chosen)) == 6
    assert min(chosen) < 0.2
    assert max(chosen) > 0.8


def test_more_genomes_leave_the_first_ones_as_they_are():
    known = np.arange(20.0)[:, None]
    few, many = (propose(known, np.sin(known[:, 0]), known + 0.5, n, range(9)) for n in (3, 9))
    assert many[:3] == few
    assert len({each.candidate for each in many}) == 9


def test_the_model_finds_the_better_region():
    found = [proposed(SETTINGS, SMALL, scored(24), 1, index) for index in range(3)]
    of_random = np.mean([optimum(genome) for genome in drawn(200)])
    assert np.mean([optimum(genome) for genome in found]) > of_random + 0.1
    assert max(optimum(genome) for genome in found) > 0.9
    assert all(genome.prediction.metric == "ari" for genome in found)


def test_proposals_are_the_same_alone_and_all_differ():
    known = scored(12)
    first = [proposed(SETTINGS, SMALL, known, 1, index) for index in range(3)]
    assert proposed(SETTINGS, SMALL, scored(12), 1, 2) == first[2]
    assert len({g.id for g in first} | {g.id for g, _ in known}) == 3 + 12
    assert [g.name for g in first] == ["r1_000", "r1_001", "r1_002"]
    assert {g.round for g in first} == {1}
    assert proposed(SETTINGS, SMALL, known, 2, 2).id != first[2].id
    worse = [(genome, 1 - score) for genome, score in known]
    assert proposed(SETTINGS, SMALL, worse, 1, 0).id != first[0].id


def test_candidates_are_draws_and_children_and_none_is_known():
    known = scored(12)
    ids = {genome.id for genome, _ in known}
    pool = candidates(SETTINGS, SMALL, known, ids, 1)
    assert len({genome.id for genome in pool}) == len(pool)
    assert not ids & {genome.id for genome in pool}
    assert 25 < sum(not genome.parents for genome in pool) <= 30
    assert all(set(genome.parents) <= ids for genome in pool)


def test_few_scores_are_no_model():
    known = [*scored(7), *((genome, None) for genome in drawn(20)[7:])]
    found = [proposed(SETTINGS, SMALL, known, 1, index) for index in range(3)]
    assert {genome.prediction for genome in found} == {None}
    assert {genome.parents for genome in found} == {()}
    assert len({genome.id for genome in found} - {genome.id for genome, _ in known}) == 3


def test_a_space_without_room_is_an_error():
    net = {
        **NET,
        "log_learning_rate": -2,
        "n_convkernels": 4,
        "n_convlayers": 1,
        "n_stacks": 1,
        "input_size": 60,
    }
    settings = SETTINGS.model_copy(update={"regions": {"net": net}})
    with pytest.raises(
        InputError, match=r"round 1: only 2 of 60 candidates differ from earlier genomes; give "
    ):
        proposed(settings, SMALL, [], 1, 2)


def test_a_failure_counts_if_it_is_the_genomes_fault(tmp_path):
    genomes = drawn(5)
    statuses = ["ok", "diverged", "failed", "ok", "out_of_memory"]
    scores = [0.8, None, None, 0.6, None]
    results = []
    for index, (genome, status, score) in enumerate(zip(genomes, statuses, scores, strict=True)):
        genome.write(tmp_path / f"r0/00{index}.json")
        results.append(TrainingResult(run=f"r0/00{index}", genome=genome.id, status=status, ari=score))
    results.append(TrainingResult(run=None, status="empty"))
    found = tried([results], lambda run: str(tmp_path / f"{run}.json"), "ari")
    assert found == list(zip(genomes, [0.8, 0.6, None, 0.6, 0.6], strict=True))


def test_a_genomes_file_holds_its_prediction_and_its_id_does_not(tmp_path):
    plain = drawn(1)[0]
    genome = Genome(
        plain.name, plain.deltas, prediction=PredictedScore(metric="ari", mean=0.8123, deviation=0.02)
    )
    genome.write(tmp_path / "g.json")
    assert read_genome(tmp_path / "g.json") == genome
    assert genome.id == plain.id
    assert "prediction" not in plain.to_json()


def test_a_wrong_prediction_in_a_file_is_one_line(tmp_path):
    path = tmp_path / "g.json"
    path.write_text(
        '{"format": "genenet.genome/2", "deltas": {}, "prediction": {"metric": "ari", "mean": 0.8}}'
    )
    with pytest.raises(InputError, match=r"g\.json: prediction: deviation"):
        read_genome(path)
