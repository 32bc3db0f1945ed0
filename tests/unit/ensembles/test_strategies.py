"""Each strategy and each combination of the tables works, and schema and docs name it."""

import numpy as np
import pytest

from genenet.config.ensemble import COMBINATIONS, STRATEGIES, EnsembleSettings
from genenet.config.model import Config
from genenet.ensembles.curve import curve_of, points_of
from genenet.ensembles.strategies import Pool
from tests.support.configs import ROOT
from tests.support.objects import squares

N_CLASSES = 3
SCHEMA = Config.model_json_schema()["$defs"]["EnsembleSettings"]["properties"]


def pool(settings):
    """Four networks on two small images, the first the best."""
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, N_CLASSES, (2, 12, 12)).astype(np.uint8) for _ in range(2)]
    probabilities = [[_noisy(rng, image, 40 * k) for image in labels] for k in range(1, 5)]
    aris = [0.9, 0.7, 0.5, 0.3]
    curve = curve_of(labels, probabilities, aris, N_CLASSES, settings.combination)
    return Pool(labels, probabilities, aris, curve, settings, objects_of, [None, 0.0, None, None])


def objects_of(weights):
    """Six squares in a row: only the last network sees their borders."""
    return {"square": [squares(confidence=0.9 * weights.get(3, 0) / sum(weights.values()))]}


def _noisy(rng, labels, noise):
    truth = 150 * (labels == np.arange(N_CLASSES)[:, None, None, None])
    levels = truth + rng.integers(0, noise, (N_CLASSES, *labels.shape))
    return (255 * levels / levels.sum(axis=0)).astype(np.uint8)


@pytest.mark.parametrize("name", STRATEGIES)
def test_each_strategy_chooses_members(name):
    weights = STRATEGIES[name].function()(pool(EnsembleSettings(strategy=name, size=3)))
    assert 1 <= len(weights) <= 3
    assert set(weights) <= set(range(4))
    assert all(weight > 0 for weight in weights.values())


@pytest.mark.parametrize(
    ("settings", "members"),
    [
        ({}, {3: 1.0}),  # another one beside it is no better
        ({"size": 2}, {3: 1.0, 0: 1.0}),  # of equal ones, those with the higher ARI
        ({"size": 3, "object_metric": "n_merged"}, {3: 1.0, 0: 1.0, 1: 1.0}),
    ],
)
def test_members_are_those_whose_objects_are_best(settings, members):
    asked = EnsembleSettings(strategy="best_objects", **settings)
    assert STRATEGIES["best_objects"].function()(pool(asked)) == members


@pytest.mark.parametrize("name", COMBINATIONS)
def test_each_combination_gives_weights_and_scores(name):
    settings = EnsembleSettings(combination=name, size=2)
    chosen = pool(settings)
    weights = STRATEGIES["best_n"].function()(chosen)
    assert list(weights.values()) == COMBINATIONS[name].weights([0.9, 0.7])
    arrays = [chosen.probabilities[i] for i in weights]
    votes = COMBINATIONS[name].votes
    (point,) = points_of(chosen.labels, arrays, list(weights.values()), N_CLASSES, [2], votes)
    assert (point.contingency.table == chosen.curve[1].contingency.table).all()


@pytest.mark.parametrize(
    ("key", "name"), [("strategy", s) for s in STRATEGIES] + [("combination", c) for c in COMBINATIONS]
)
def test_schema_and_docs_name_each_entry(key, name):
    table = STRATEGIES if key == "strategy" else COMBINATIONS
    assert name in SCHEMA[key]["enum"]
    assert f"{name}: {table[name].text}" in SCHEMA[key]["description"]
    assert f"`{name}`: " in (ROOT / "docs/segmentation.md").read_text()


@pytest.mark.parametrize("strategy", [name for name, entry in STRATEGIES.items() if entry.gives_weights])
def test_a_strategy_with_weights_of_its_own_takes_no_combination(strategy):
    with pytest.raises(ValueError, match="leave combination out"):
        EnsembleSettings(strategy=strategy, combination="vote")
