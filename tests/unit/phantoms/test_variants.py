"""Phantoms that differ from the usual one, and the usual one, which must not change."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tifffile

from genenet.core.errors import InputError
from genenet.phantoms.phantom import numbered_slabs
from genenet.phantoms.variants import USUAL, Variant

SHAPE = (6, 256, 300)
OLD = Path(__file__).parents[2] / "data/version_0.1/search/phantoms"


@cache
def volume(variant=USUAL, shape=SHAPE, seed=1):
    """Image, labels and the numbers of the cells."""
    parts = list(numbered_slabs(shape, seed, ["cell"], variant=variant))
    cells = np.concatenate([part.instances["cell"] for part in parts])
    return (
        np.concatenate([part.image for part in parts]),
        np.concatenate([part.labels for part in parts]),
        cells,
    )


def n_contacts(ids):
    """The number of faces in a slice between voxels of two objects."""
    pairs = (ids[:, 1:], ids[:, :-1]), (ids[:, :, 1:], ids[:, :, :-1])
    return sum(int(((a != b) & (a > 0) & (b > 0)).sum()) for a, b in pairs)


@pytest.mark.parametrize(
    ("name", "shape", "seed"),
    [("1x96x96-seed1", (1, 96, 96), 1), ("1x80x80-seed2", (1, 80, 80), 2), ("2x96x96-seed3", (2, 96, 96), 3)],
)
def test_the_usual_phantom_is_that_of_version_0_1(name, shape, seed):
    for kind, array in zip(("image", "labels"), volume(shape=shape, seed=seed), strict=False):
        old = tifffile.imread(OLD / name / f"{kind}.tif").reshape(shape)
        assert (array != old).mean() < 1e-3  # processors may round sines differently


def test_cells_touch_only_on_request():
    _, labels, cells = volume()
    assert n_contacts(cells) == 0
    _, touching_labels, touching = volume(Variant(touching=True))
    assert n_contacts(touching) > 100
    inside = cells > 0
    np.testing.assert_array_equal(touching[inside], cells[inside])
    assert (touching > 0).sum() > 1.01 * inside.sum()
    organelles = labels > 1
    assert (touching_labels[organelles] == labels[organelles]).mean() > 0.999


def test_membranes_separate_cells_that_touch():
    image, _, cells = volume(Variant(touching=True))
    a, b = cells[:, :, 1:], cells[:, :, :-1]
    border = (a != b) & (a > 0) & (b > 0)
    assert image[:, :, 1:][border].mean() < image[cells > 0].mean() - 20


def test_numbers_change_halfway_between_membranes():
    image, _, cells = volume(Variant(touching=True, noise=0), (6, 400, 400))
    left, right = cells[:, :, 2:-3], cells[:, :, 3:-2]
    border = (left != right) & (left > 0) & (right > 0)
    third_pixels = image[:, :, :-5][border], image[:, :, 5:][border]
    assert third_pixels[0].mean() == pytest.approx(third_pixels[1].mean(), abs=8)


def test_no_background_is_left_between_cells_that_touch():
    """Between two cells that are a voxel apart there would be one, if a voxel halfway belonged to none."""
    _, _, cells = volume(Variant(touching=True))
    left, middle, right = cells[:, :, :-2], cells[:, :, 1:-1], cells[:, :, 2:]
    between = (left > 0) & (right > 0) & (left != right)
    assert (middle[between] == 0).mean() < 0.02  # where three cells meet, or two hardly do


@pytest.mark.parametrize("variant", [Variant(contrast=0.5), Variant(noise=2), Variant(contrast=0.5, noise=0)])
def test_contrast_and_noise_change_the_image_alone(variant):
    usual, changed = volume(), volume(variant)
    assert (usual[0] != changed[0]).mean() > 0.5
    for a, b in zip(usual[1:], changed[1:], strict=True):
        np.testing.assert_array_equal(a, b)


def test_factors_are_those_of_signal_and_noise():
    def signal_and_noise(variant):
        image, labels, _ = volume(variant)
        background, mitochondria = (image[0][labels[0] == label] for label in (0, 2))
        return float(background.mean() - mitochondria.mean()), float(np.var(background))

    signal, noise = signal_and_noise(USUAL)
    no_noise = signal_and_noise(Variant(noise=0))[1]
    low_signal, low_noise = signal_and_noise(Variant(contrast=0.5))
    assert low_signal / signal == pytest.approx(0.5, abs=0.02)
    assert low_noise == pytest.approx(noise - 0.75 * no_noise, rel=0.05)
    assert signal_and_noise(Variant(noise=0.5))[1] - no_noise == pytest.approx(
        (noise - no_noise) / 4, rel=0.1
    )


@pytest.mark.parametrize(
    "bad", [{"contrast": 0}, {"contrast": float("nan")}, {"noise": -1}, {"noise": float("inf")}]
)
def test_bad_factors_are_refused(bad):
    (name,) = bad
    with pytest.raises(InputError, match=f"{name} .*: the phantom needs a factor"):
        Variant(**bad)
