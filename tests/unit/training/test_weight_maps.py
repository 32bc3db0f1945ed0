import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from genenet.core.ignore import IGNORE
from genenet.training.weight_maps import border_weights
from tests.support.examples import examples


def literally(plane, w0, sigma):
    """Equation 2, voxel by voxel, object by object."""
    objects, n = ndimage.label((plane != 0) & (plane != IGNORE), np.ones((3, 3)))
    result = np.ones(plane.shape)
    for y, x in np.argwhere(plane == 0):
        distances = sorted(
            np.sqrt(((np.argwhere(objects == k) - (y, x)) ** 2).sum(axis=1)).min() for k in range(1, n + 1)
        )
        if len(distances) > 1:
            result[y, x] += w0 * np.exp(-(sum(distances[:2]) ** 2) / (2 * sigma**2))
    return result


@examples(50)
@given(st.integers(0, 1000), st.floats(0.5, 20), st.sampled_from([0.5, 1.0, 3.0]))
def test_it_is_the_equation(seed, w0, sigma):
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.array([0, 1, 2, IGNORE], np.uint8), (2, 11, 14), p=[0.85, 0.1, 0.03, 0.02])
    expected = np.stack([literally(plane, w0, sigma) for plane in labels])
    assert border_weights(labels, w0, sigma) == pytest.approx(expected, abs=1e-4 * w0)


def test_the_gap_between_two_discs_is_heaviest():
    y, x = np.indices((40, 60))
    labels = ((y - 20) ** 2 + (x - 17) ** 2 < 100) | ((y - 20) ** 2 + (x - 41) ** 2 < 100)
    weights = border_weights(labels[None].astype(np.uint8), 10, 5)[0]
    assert np.unravel_index(weights.argmax(), weights.shape)[1] in range(27, 32)
    assert weights.max() > 5
    assert (weights[labels] == 1).all()
    assert weights[:, 0] == pytest.approx(1, abs=0.01)


def test_one_object_alone_weighs_nothing():
    labels = np.zeros((1, 9, 9), np.uint8)
    labels[0, 4, 4] = 1
    assert (border_weights(labels, 10, 5) == 1).all()


def test_any_class_may_be_the_background():
    labels = np.zeros((1, 9, 9), np.uint8)
    labels[0, 4, [2, 6]] = 1
    swapped = np.where(labels == 0, 3, 0).astype(np.uint8)
    expected = border_weights(labels, 10, 5)
    assert expected.max() > 5
    assert np.array_equal(border_weights(swapped, 10, 5, background=3), expected)


def test_ignored_voxels_weigh_1_and_are_no_object():
    labels = np.zeros((1, 9, 9), np.uint8)
    labels[0, 4, 2], labels[0, 4, 6] = 1, IGNORE
    assert (border_weights(labels, 10, 5) == 1).all()
    labels[0, 4, 5] = 1
    assert border_weights(labels, 10, 5)[0, 4, 6] == 1


def test_classes_that_touch_are_one_object():
    labels = np.zeros((1, 9, 9), np.uint8)
    labels[0, 4, 3], labels[0, 5, 4] = 1, 2  # by a corner
    assert (border_weights(labels, 10, 5) == 1).all()


def test_slices_know_nothing_of_each_other():
    labels = np.zeros((2, 9, 9), np.uint8)
    labels[0, 4, 2], labels[1, 4, 6] = 1, 1
    assert (border_weights(labels, 10, 5) == 1).all()
