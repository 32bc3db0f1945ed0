"""When a trial has measured enough."""

import numpy as np
import pytest

from genenet.init.trial import LONGEST_SECONDS, N_LEAST, is_known

ALIKE = [1.0, 1.01, 0.99, 1.0, 1.02]
APART = [0.1, 0.9, 0.2, 1.4, 0.7]


@pytest.mark.parametrize(
    ("times", "elapsed", "known"),
    [
        (ALIKE, 1, True),
        (ALIKE[: N_LEAST - 1], 2 * LONGEST_SECONDS, False),  # a few steps are measured, however slow they are
        (APART, 1, False),
        (APART, 2 * LONGEST_SECONDS, True),
        ([*ALIKE, 30.0], 1, True),  # one slow step doesn't matter
    ],
)
def test_a_trial_ends_when_the_speed_is_known(times, elapsed, known):
    assert is_known(times, elapsed) == known


def test_the_median_is_known_as_well_as_is_said():
    """Of many series that are ended as a trial is, the medians are within a few times 5 % of the true one."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        times = []
        while not is_known(times, 0):
            times.append(rng.gamma(25, 1 / 25))  # a deviation of 20 %
        found.append(np.median(times))
    assert np.std(found) < 0.12
    assert abs(np.mean(found) - 0.987) < 0.03
