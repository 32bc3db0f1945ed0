"""The ways to choose boxes, each on scores and features that are known."""

import numpy as np
import pytest

from genenet.config.labelling import WAYS, SuggestionSettings
from genenet.labelling.lattice import BoxLattice
from genenet.labelling.ways import Choosing

LATTICE = BoxLattice((2, 96, 128), (2, 16, 16))
N = len(LATTICE.places)


def same(boxes):
    """Features of boxes that all look alike."""
    return np.zeros((len(boxes), 3))


def sides(boxes):
    """Features of boxes that look alike if they lie in the same half of the volume."""
    return np.array([[float(box.start[2] >= 64)] for box in boxes])


def choose(by="disagreement", scores=None, allowed=None, labelled=(), features=same, **settings):
    wanted = SuggestionSettings(by=by, **{"n": 5, "size": LATTICE.size, **settings})
    scores = np.random.default_rng(0).random(N) if scores is None else scores
    allowed = np.ones(N, bool) if allowed is None else allowed
    known = Choosing(wanted, LATTICE, allowed, scores, labelled, features, (40.0, 10.0, 10.0))
    return WAYS[by].function()(known)


@pytest.mark.parametrize("by", WAYS)
def test_boxes_never_overlap_and_lie_where_they_may(by):
    allowed = np.random.default_rng(1).random(N) < 0.5
    chosen = choose(by, allowed=allowed)
    assert len(chosen) == 5
    assert allowed[chosen].all()
    covered = np.zeros(LATTICE.shape, int)
    for index in chosen:
        covered[LATTICE.box(index).slices] += 1
    assert covered.max() == 1
    assert choose(by, allowed=allowed) == chosen


@pytest.mark.parametrize("by", WAYS)
def test_where_fewer_fit_there_are_fewer(by):
    allowed = np.zeros(N, bool)
    allowed[0] = True
    assert choose(by, allowed=allowed) == [0]


def test_the_highest_scores_are_chosen():
    scores = np.random.default_rng(2).random(N)
    plain = choose(scores=scores, diversity=0.0)
    assert plain[0] == scores.argmax()
    assert plain == LATTICE.apart(np.argsort(-scores), 5)
    assert choose(scores=scores) == plain  # where all look alike, only scores count


def test_a_box_that_looks_like_a_chosen_one_counts_less():
    left = LATTICE.places[:, 2] < 64
    scores = np.where(left, 1.0, 0.5)
    assert left[choose(scores=scores, diversity=0.0)].all()
    first, second, *_ = choose(scores=scores, features=sides)
    assert left[first]
    assert not left[second]


def test_a_box_that_looks_like_a_labelled_one_counts_less():
    left = LATTICE.places[:, 2] < 64
    labelled = [LATTICE.box(int(np.flatnonzero(left)[0]))]
    allowed = ~LATTICE.meets(labelled)
    scores = np.where(left, 1.0, 0.5)
    first = choose(scores=scores, features=sides, labelled=labelled, allowed=allowed)[0]
    assert not left[first]


def test_random_boxes_follow_the_seed():
    assert choose("random") != choose("random", seed=1)


def test_even_boxes_are_spread_and_keep_away_from_labelled_ones():
    chosen = choose("even", n=4)
    middle = np.array(LATTICE.box(chosen[0]).start[1:]) + 8
    assert np.abs(middle - [48, 64]).max() <= 8
    corners = [LATTICE.places[index][1:] for index in chosen[1:3]]
    assert np.abs(corners[0] - corners[1]).max() >= 80
    labelled = [LATTICE.box(0)]
    (far,) = choose("even", n=1, labelled=labelled)
    assert LATTICE.places[far].tolist() == [0, 80, 112]
