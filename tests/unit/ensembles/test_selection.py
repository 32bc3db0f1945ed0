"""Greedy and weighted ensembles, from probabilities alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genenet.core.ignore import IGNORE
from genenet.ensembles.selection import LEAST_WEIGHT, ProbabilityProducts, Sample, greedy, sample, weighted
from tests.support.examples import examples


def rng(seed=0):
    return np.random.default_rng(seed)


def network(labels, certain, wrong=(), n_classes=3):
    """Levels (C, N): true classes with ``certain`` of 255, at the voxels ``wrong`` the class after it."""
    said = labels.copy()
    said[list(wrong)] = (said[list(wrong)] + 1) % n_classes
    levels = np.full((n_classes, len(labels)), (255 - certain) // (n_classes - 1), np.uint8)
    levels[said, np.arange(len(labels))] = certain
    return levels


LABELS = rng().integers(0, 3, 600).astype(np.uint8)
PARTS = np.array_split(rng(1).permutation(600)[:360], 4)  # 90 voxels each, on which nobody else errs


def complementary():
    """Four networks that err on different voxels, with certainty, and the best: fewer errors, but others don't help."""
    return Sample(LABELS, np.stack([network(LABELS, 200, part) for part in PARTS]))


def test_networks_that_err_elsewhere_beat_the_best():
    voxels = complementary()
    singles = [voxels.score(levels.astype(np.int32)) for levels in voxels.levels]
    found = greedy(voxels, 4, rng())
    assert len(found) >= 3
    total = sum(weight * voxels.levels[i] for i, weight in found.items())
    assert voxels.score(total.astype(np.int32)) == 1 > max(singles)


def test_copies_of_the_best_add_nothing():
    one = network(LABELS, 200, PARTS[0])
    worse = network(LABELS, 200, np.concatenate(PARTS))
    found = greedy(Sample(LABELS, np.stack([one, one, worse])), 3, rng())
    assert set(found) <= {0, 1}
    assert sum(found.values()) == pytest.approx(1)


def test_a_network_can_be_picked_again_to_give_it_weight():
    """Where the first is slightly wrong, the other outvotes it with its own weight, elsewhere with twice that."""
    first, other = network(LABELS, 200, PARTS[0]), network(LABELS, 150)
    slightly = PARTS[0][:45]
    first[:, slightly] = network(LABELS, 120, PARTS[0])[:, slightly]
    found = greedy(Sample(LABELS, np.stack([first, other])), 2, rng())
    assert found == {1: pytest.approx(2 / 3), 0: pytest.approx(1 / 3)}


def test_greedy_keeps_the_heaviest_and_is_the_same_again():
    voxels = complementary()
    assert greedy(voxels, 4, rng(5)) == greedy(voxels, 4, rng(5))
    two = greedy(voxels, 2, rng())
    assert len(two) == 2
    assert sum(two.values()) == pytest.approx(1)
    assert list(two.values()) == sorted(two.values(), reverse=True)


def volumes(seed, k, n_classes=3):
    """Labels with ignored voxels, and random probabilities of k networks, of two images."""
    random = rng(seed)
    labels, probabilities = [], [[] for _ in range(k)]
    for shape in ((2, 5, 4), (1, 3, 6)):
        truth = random.integers(0, n_classes, shape).astype(np.uint8)
        truth[random.random(shape) < 0.2] = IGNORE
        labels.append(truth)
        for each in probabilities:
            p = random.dirichlet([0.7] * n_classes, shape)
            each.append(np.rint(np.moveaxis(p, -1, 0) * 255).astype(np.uint8))
    return labels, probabilities


def squared_error(labels, probabilities, weights):
    """The mean over known voxels of |sum of weighted p - label|², written out."""
    total, n = 0.0, 0
    for index, truth in enumerate(labels):
        for place in np.argwhere(truth != IGNORE):
            at = (slice(None), *place)
            p = sum(w * arrays[index][at] / 255 for w, arrays in zip(weights, probabilities, strict=True))
            p[truth[tuple(place)]] -= 1
            total, n = total + (p**2).sum(), n + 1
    return total / n


def test_the_error_of_weights_is_the_squared_distance_from_the_labels():
    labels, probabilities = volumes(0, 3)
    weights = np.array([0.2, 0.5, 0.3])
    moments = ProbabilityProducts.of(labels, probabilities)
    assert moments.error(weights) == pytest.approx(squared_error(labels, probabilities, weights), abs=1e-6)


def test_the_ambiguity_of_a_pair_is_what_its_mean_gains():
    """Krogh and Vedelsby (1995), eq. 6: the members' mean error minus the error of their mean."""
    labels, probabilities = volumes(4, 3)
    found = ProbabilityProducts.of(labels, probabilities).pair_ambiguities()
    assert np.allclose(np.diagonal(found), 0)
    assert np.allclose(found, found.T)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        alone = [squared_error(labels, probabilities, np.eye(3)[k]) for k in (i, j)]
        together = squared_error(labels, probabilities, (np.eye(3)[i] + np.eye(3)[j]) / 2)
        assert found[i, j] == pytest.approx(np.mean(alone) - together, abs=1e-6)
        assert found[i, j] > 0.01


@examples(30)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_weights_are_a_simplex_and_no_worse_than_any_network_or_the_mean(seed, k):
    moments = ProbabilityProducts.of(*volumes(seed, k))
    weights = moments.best(range(k))
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    others = [*np.eye(k), np.full(k, 1 / k), *rng(seed).dirichlet(np.ones(k), 20)]
    assert moments.error(weights) <= min(map(moments.error, others)) + 1e-6


def test_two_networks_have_the_weights_of_a_search_along_the_line():
    moments = ProbabilityProducts.of(*volumes(3, 2))
    line = np.linspace(0, 1, 10001)
    best = line[np.argmin([moments.error(np.array([w, 1 - w])) for w in line])]
    assert moments.best([0, 1])[0] == pytest.approx(best, abs=2e-4)


def test_weighted_leaves_out_what_hardly_counts():
    moments = ProbabilityProducts.of(*volumes(1, 6))
    found = weighted(moments, 3)
    assert 1 <= len(found) <= 3
    assert min(found.values()) >= LEAST_WEIGHT
    assert sum(found.values()) == pytest.approx(1)


def test_a_sample_holds_known_voxels_of_all_images(monkeypatch):
    labels, probabilities = volumes(2, 2)
    everything = sample(labels, probabilities, rng())
    assert len(everything.labels) == sum((truth != IGNORE).sum() for truth in labels)
    assert everything.levels.shape == (2, 3, len(everything.labels))
    first = labels[0][0].ravel()
    np.testing.assert_array_equal(everything.labels[: (first != IGNORE).sum()], first[first != IGNORE])
    monkeypatch.setattr("genenet.ensembles.selection.SAMPLED", 20)
    some = sample(labels, probabilities, rng())
    assert 15 <= len(some.labels) < len(everything.labels)
