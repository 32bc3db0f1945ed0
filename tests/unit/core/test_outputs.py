"""What the outputs of a network mean."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genenet.core.geometry import Box
from genenet.core.outputs import ObjectClass, Outputs
from genenet.networks.mixture import Prediction

CLASSES = ["background", "cell", "mitochondrion", "vessel"]
OBJECTS = [
    ObjectClass(name="cell", of=["cell", "mitochondrion"]),
    ObjectClass(name="vessel", of=["vessel"]),
]
OUTPUTS = Outputs(CLASSES, OBJECTS)


def probabilities(seed=0, shape=(2, 3, 4)):
    p = np.random.default_rng(seed).dirichlet([0.5] * len(OUTPUTS), shape)
    return np.moveaxis(p, -1, 0).astype(np.float32)


def test_a_border_counts_as_its_class():
    p = probabilities()
    found = OUTPUTS.semantic(p)
    np.testing.assert_allclose(found, np.stack([p[0], p[1] + p[4], p[2], p[3] + p[5]]), rtol=1e-6)
    np.testing.assert_allclose(found.sum(axis=0), 1, rtol=1e-6)


def test_an_object_is_the_sum_over_its_classes_and_its_border():
    p = probabilities()
    np.testing.assert_allclose(OUTPUTS.object_probability(p, 0), p[1] + p[2] + p[4], rtol=1e-6)
    np.testing.assert_allclose(OUTPUTS.object_probability(p, 1), p[3] + p[5], rtol=1e-6)


def test_without_objects_outputs_are_classes():
    p = probabilities()[:4]
    assert Outputs(CLASSES).semantic(p) is p
    assert len(Outputs(CLASSES)) == 4


@given(st.integers(0, 2**32 - 1))
def test_stored_levels_never_wrap_around(seed):
    levels = np.rint(probabilities(seed) * 255).astype(np.uint8)
    exact = np.stack([levels[0], levels[1] + 0.0 + levels[4], levels[2], levels[3] + 0.0 + levels[5]])
    assert np.array_equal(OUTPUTS.semantic(levels), np.minimum(exact, 255))
    assert OUTPUTS.semantic(levels).dtype == np.uint8


def test_predictions_on_a_device_are_the_same_sums():
    p = probabilities()
    raw = Prediction(Box.of_shape(p.shape[1:]), torch.from_numpy(p.copy()), None)
    found = raw.with_classes(OUTPUTS)
    np.testing.assert_allclose(found.probabilities.numpy(), OUTPUTS.semantic(p), rtol=1e-6)
    for number, (of_object, border) in enumerate(found.of_objects):
        np.testing.assert_allclose(of_object.numpy(), OUTPUTS.object_probability(p, number), rtol=1e-6)
        assert np.array_equal(border.numpy(), p[OUTPUTS.borders[number][0]])
    assert np.array_equal(raw.probabilities.numpy(), p), "the members' sum must stay as it is"


def test_an_object_class_consists_of_something():
    with pytest.raises(ValueError, match="at least 1"):
        ObjectClass(name="cell", of=[])
