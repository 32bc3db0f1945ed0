"""Labels and channels are what their definitions say, whichever passes compute them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genenet.core.geometry import Box
from genenet.core.outputs import Outputs
from genenet.metrics.calibration import with_priors, with_temperature
from genenet.networks.mixture import Mixture, Prediction, piece_shape
from genenet.segmentation.channels import Channels, entropy, tempered, write_most_probable
from tests.support.examples import examples

CPU = torch.device("cpu")


def labels_of(p):
    into = torch.full(p.shape[1:], 255, dtype=torch.uint8)
    write_most_probable(torch.from_numpy(p), into)
    return into.numpy()


@examples(40)
@given(
    levels=st.integers(1, 5),
    n_classes=st.sampled_from([2, 3, 7, 200]),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 40)),
    seed=st.integers(0, 99),
)
def test_a_label_is_the_first_of_the_most_probable_classes(levels, n_classes, shape, seed):
    """Few levels make many ties."""
    p = np.random.default_rng(seed).integers(0, levels + 1, (n_classes, *shape)).astype(np.float32)
    p /= np.maximum(p.sum(axis=0), 1)
    assert np.array_equal(labels_of(p), p.argmax(axis=0))


def classes(n):
    return Outputs([f"class {i}" for i in range(n)])


@pytest.mark.parametrize("n_classes", [2, 7])
def test_the_stored_entropy_is_at_most_one_step_of_255_from_its_definition(n_classes):
    rng = np.random.default_rng(0)
    p = rng.dirichlet([0.1] * n_classes, (2, 40, 50)).transpose(3, 0, 1, 2).astype(np.float32)
    p[:, 0, 0, 0] = np.eye(n_classes)[0]  # others are exactly 0
    exact = -(p * np.log(np.maximum(p.astype(float), 1e-300))).sum(axis=0) / np.log(n_classes)
    assert np.abs(entropy(torch.from_numpy(p)).numpy() - exact).max() < 1e-6
    into = torch.zeros((1, *p.shape[1:]), dtype=torch.uint8)
    prediction = Prediction(Box.of_shape(p.shape[1:]), torch.from_numpy(p), None)
    Channels(False, False, np.dtype(np.uint8), classes(n_classes)).write(prediction, into)
    steps = into[0].numpy().astype(int) - np.rint(exact.clip(0, 1) * 255)
    assert np.abs(steps).max() <= 1
    assert (steps != 0).mean() < 0.001


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.7])
def test_a_temperature_changes_probabilities_as_the_calibration_does(temperature):
    p = np.random.default_rng(0).dirichlet([0.1] * 7, (2, 40, 50)).transpose(3, 0, 1, 2).astype(np.float32)
    exact = with_temperature(p.astype(float), temperature)
    assert np.abs(tempered(torch.from_numpy(p), temperature).numpy() - exact).max() < 1e-6
    channels = Channels(False, True, np.dtype(np.uint8), classes(7), temperature)
    into = torch.zeros((len(channels.names), *p.shape[1:]), dtype=torch.uint8)
    channels.write(Prediction(Box.of_shape(p.shape[1:]), torch.from_numpy(p), None), into)
    steps = into.numpy().astype(int) - np.rint(np.stack([1 - exact.max(axis=0), *exact]) * 255)
    assert np.abs(steps).max() <= 1
    assert (steps != 0).mean() < 1e-4


@pytest.mark.parametrize("temperature", [None, 2.7])
def test_priors_follow_the_temperature_and_decide_on_labels(temperature):
    p = np.random.default_rng(0).dirichlet([0.5] * 3, (2, 40, 50)).transpose(3, 0, 1, 2).astype(np.float32)
    priors = [0.5, 1.0, 4.0]
    exact = with_priors(with_temperature(p.astype(float), temperature) if temperature else p, priors)
    channels = Channels(False, True, np.dtype(np.float32), classes(3), temperature, priors)
    into = torch.zeros((len(channels.names), *p.shape[1:]))
    labels = torch.zeros(p.shape[1:], dtype=torch.uint8)
    prediction = Prediction(Box.of_shape(p.shape[1:]), torch.from_numpy(p.copy()), None)
    channels.write_labels(prediction, labels)
    channels.write(prediction, into)
    assert np.abs(into[1:].numpy() - exact).max() < 1e-5
    assert np.array_equal(labels.numpy(), exact.argmax(axis=0))
    assert (labels.numpy() != p.argmax(axis=0)).mean() > 0.1
    assert np.array_equal(prediction.probabilities.numpy(), p)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_all_channels_are_rounded_to_their_type_and_the_prediction_stays(dtype):
    p = np.random.default_rng(0).dirichlet([1, 1, 1], (1, 4, 5)).transpose(3, 0, 1, 2).astype(np.float32)
    apart = torch.from_numpy(p[0] / 2)
    prediction = Prediction(Box.of_shape((1, 4, 5)), torch.from_numpy(p.copy()), apart)
    channels = Channels(disagreement=True, probabilities=True, dtype=np.dtype(dtype), outputs=classes(3))
    into = torch.from_numpy(np.zeros((len(channels.names), 1, 4, 5), dtype))
    channels.write(prediction, into)
    values = np.stack([entropy(torch.from_numpy(p)).numpy(), p[0] / 2, *p])
    expected = (
        np.rint(values * np.float32(255)).astype(np.uint8) if dtype == "uint8" else values.astype(dtype)
    )
    assert np.array_equal(into.numpy(), expected)
    assert np.array_equal(prediction.probabilities.numpy(), p)


@given(
    tile=st.tuples(*[st.integers(1, 40)] * 3),
    n_voxels=st.integers(1, 5000),
)
def test_pieces_are_whole_rows_of_about_the_wanted_size(tile, n_voxels):
    z, y, x = piece_shape(tile, n_voxels)
    assert x == tile[2]
    assert 1 <= z * y * x <= max(n_voxels, x)
    assert z == 1 or y == tile[1]


@pytest.mark.parametrize("votes", [False, True])
def test_a_mixture_by_pieces_is_the_mixture_of_the_whole(votes):
    rng, tile = np.random.default_rng(0), Box((5, 6, 7), (6, 10, 12))
    members = [torch.from_numpy(rng.random((3, *tile.shape), dtype=np.float32)) for _ in range(3)]
    whole = Mixture(tile, 3, 3, CPU, votes, disagreement=True)
    cut = Mixture(tile, 3, 3, CPU, votes, disagreement=True)
    rows = [Box((0, y, 0), (1, y + 1, 5)) for y in range(4)]
    for member, share in zip(members, (0.5, 0.2, 0.3), strict=True):
        is_last = member is members[-1]
        expected = whole.add(Box.of_shape(tile.shape), member, share, is_last)
        found = [cut.add(row, member[:, *row.slices], share, is_last) for row in rows]
        assert (expected.disagreement is not None) == is_last
    assert [piece.box for piece in found] == [row.shift(tile.start) for row in rows]
    assert torch.equal(torch.cat([p.probabilities for p in found], dim=2), expected.probabilities)
    assert torch.equal(torch.cat([p.disagreement for p in found], dim=1), expected.disagreement)
