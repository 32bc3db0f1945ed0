"""The curve of ensembles: combinations, and the split of the squared error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genenet.config.ensemble import COMBINATIONS
from genenet.core.ignore import IGNORE
from genenet.metrics.ambiguity import Decomposition, Growing, votes


def levels_of(rng, n_members, n_classes=3, shape=(2, 5, 7)):
    return rng.integers(0, 256, (n_members, n_classes, *shape), np.uint8)


@given(seed=st.integers(0, 1000), n_members=st.integers(1, 5), weighted=st.booleans())
def test_the_error_of_a_weighted_mean_is_the_members_less_the_ambiguity(seed, n_members, weighted):
    rng = np.random.default_rng(seed)
    members, labels = levels_of(rng, n_members), rng.integers(0, 3, (2, 5, 7)).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.2] = IGNORE
    weights = rng.random(n_members) + 0.1 if weighted else np.ones(n_members)
    ensemble, found = Growing(labels, 3), Decomposition()
    for levels, weight in zip(members, weights, strict=True):
        ensemble.add(levels, weight)
    ensemble.count(found)
    # by the definitions
    p, known = members / 255, labels != IGNORE
    truth = np.stack([labels == c for c in range(3)]).astype(float)
    mean = np.average(p, axis=0, weights=weights)
    summed = (weights.reshape(-1, 1, 1, 1, 1) * members).sum(axis=0)  # exact, if all weigh alike
    error = np.square(mean - truth).sum(axis=0)[known].mean()
    of_members = [np.square(one - truth).sum(axis=0)[known].mean() for one in p]
    apart = [np.square(one - mean).sum(axis=0)[known].mean() for one in p]
    assert found.n_voxels == known.sum()
    assert found.error == pytest.approx(error)
    assert found.member_error == pytest.approx(np.average(of_members, weights=weights))
    assert found.ambiguity == pytest.approx(np.average(apart, weights=weights), abs=1e-12)
    assert found.error == pytest.approx(found.member_error - found.ambiguity)
    assert np.array_equal(ensemble.most_probable()[known], summed.argmax(axis=0)[known])


def test_a_single_network_has_no_ambiguity():
    levels, labels = levels_of(np.random.default_rng(0), 1)[0], np.zeros((2, 5, 7), np.uint8)
    ensemble, found = Growing(labels, 3), Decomposition()
    ensemble.add(levels, 0.7)
    ensemble.count(found)
    assert found.ambiguity == pytest.approx(0, abs=1e-12)
    assert found.error == pytest.approx(found.member_error)


def test_votes_count_each_member_once_and_the_majority_wins():
    p = np.array([[[250, 100]], [[5, 155]], [[0, 0]]], np.uint8)  # sure of class 0; then unsure, for class 1
    q = np.array([[[120, 100]], [[135, 155]], [[0, 0]]], np.uint8)
    assert votes(p)[:, 0].tolist() == [[255, 0], [0, 255], [0, 0]]
    mean, vote = (Growing(np.zeros((1, 2), np.uint8), 3) for _ in range(2))
    for levels in (p, q, q):
        mean.add(levels, 1)
        vote.add(votes(levels), 1)
    assert mean.most_probable().tolist() == [[0, 1]]
    assert vote.most_probable().tolist() == [[1, 1]]


def test_members_are_weighted_by_their_validation_ari_where_that_is_asked_for():
    assert COMBINATIONS["weighted"].weights([0.9, 0.5, -0.1]) == [0.9, 0.5, 1e-3]
    assert COMBINATIONS["mean"].weights([0.9, 0.5]) == COMBINATIONS["vote"].weights([0.9, 0.5]) == [1, 1]
