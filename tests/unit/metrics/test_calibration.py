"""Reliability and temperature, on probabilities for which the right values are known."""

import numpy as np
import pytest

from genenet.core.ignore import IGNORE
from genenet.metrics.calibration import (
    FLOOR,
    LARGEST_PRIOR,
    Reliability,
    best_priors,
    best_temperature,
    with_priors,
    with_temperature,
)


def drawn(n=200_000, n_classes=3, seed=0):
    """Return probabilities (C, N), and labels that are drawn from them: these probabilities are error rates."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(n_classes), n).T
    p = np.maximum(p, 2 * FLOOR) / np.maximum(p, 2 * FLOOR).sum(axis=0)
    labels = (rng.random(n) > p.cumsum(axis=0)).sum(axis=0).astype(np.uint8)
    return labels, p


def test_probabilities_from_which_labels_are_drawn_are_calibrated():
    labels, p = drawn()
    found = Reliability()
    found.add(labels, p)
    assert found.expected_error < 0.005
    assert best_temperature(labels, p) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("temperature", [0.5, 0.7, 1.5])
def test_the_temperature_that_was_applied_is_found_and_undone(temperature):
    labels, p = drawn()
    other = with_temperature(p, 1 / temperature)
    assert best_temperature(labels, other) == pytest.approx(temperature, rel=0.03)
    before, after = Reliability(), Reliability()
    before.add(labels, other)
    after.add(labels, with_temperature(other, best_temperature(labels, other)))
    assert after.expected_error < 0.01 < before.expected_error
    assert after.brier < before.brier


def test_the_priors_of_another_volume_are_found():
    """Labels are drawn from probabilities in which classes are more and less frequent than the network says."""
    labels, p = drawn()
    factors = np.array([2.0, 1.0, 0.5])
    other = with_priors(p, 1 / factors)
    assert best_priors(labels, other) == pytest.approx(factors, rel=0.05)
    assert best_priors(labels, p) == pytest.approx([1, 1, 1], rel=0.05)
    assert with_priors(other, factors) == pytest.approx(p)
    assert with_priors(p, []) == pytest.approx(p)


def test_a_class_that_no_label_shows_keeps_its_prior():
    labels, p = drawn()
    labels[labels == 2] = IGNORE
    found = best_priors(labels, p)
    assert found[2] == 1
    assert found[0] * found[1] == pytest.approx(1, abs=1e-3)
    assert best_priors(np.zeros(4, np.uint8), p[:, :4]) == [1, 1, 1]
    sure = np.tile([[0.001], [0.998], [0.001]], 1000)
    extreme = best_priors((np.arange(1000) % 200 == 0).astype(np.uint8), sure)
    assert extreme[:2] == pytest.approx([LARGEST_PRIOR, 1 / LARGEST_PRIOR])


def test_by_hand():
    labels = np.array([0, 1, 1, IGNORE], np.uint8)
    p = np.array([[0.92, 0.62, 0.32, 0.5], [0.08, 0.38, 0.68, 0.5]])
    found = Reliability()
    found.add(labels, p)
    # three bins of one voxel: |0.92 - 1|, |0.62 - 0|, |0.68 - 1|
    assert found.expected_error == pytest.approx((0.08 + 0.62 + 0.32) / 3)
    assert found.brier == pytest.approx(2 * (0.08**2 + 0.62**2 + 0.32**2) / 3)
    assert found.as_dict()["voxels"] == [1, 1, 1]
    assert found.as_dict()["correct"] == [0, 1, 1]


def test_classes_stay_the_same_and_probabilities_sum_to_1():
    _, p = drawn(1000, 5)
    p[:, 0] = [0, 0, 1, 0, 0]
    for temperature in (0.2, 1, 5):
        found = with_temperature(p, temperature)
        assert found.sum(axis=0) == pytest.approx(1)
        assert np.array_equal(found.argmax(axis=0), p.argmax(axis=0))


def test_in_parts_as_at_once():
    labels, p = drawn(1000)
    whole, parts = Reliability(), Reliability()
    whole.add(labels, p)
    for some in (slice(400), slice(400, None)):
        parts.add(labels[some], p[:, some])
    for name, values in whole.as_dict().items():
        assert parts.as_dict()[name] == pytest.approx(values)


def test_without_labels_there_is_no_score():
    labels, p = np.full(3, IGNORE, np.uint8), np.full((2, 3), 0.5)
    found = Reliability()
    found.add(labels, p)
    assert found.expected_error is None
    assert found.brier is None
    assert best_temperature(labels, p) == 1
