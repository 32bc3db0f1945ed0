"""Grey values of images whose differences are known."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from genenet.volumes.base import ArrayVolume
from genenet.volumes.grey_values import EXACT, LAGS, PERCENTAGES, grey_values
from genenet.volumes.masks import MaskedVolume
from genenet.volumes.normalisation import Normalisation

RNG = np.random.default_rng(0)
SMOOTH = gaussian_filter(RNG.normal(0, 1, (2, 90, 100)), (0, 1.5, 1.5))
IMAGE = (120 + 40 * SMOOTH / SMOOTH.std()).astype(np.uint8)


def of(image, like=None, mask=None):
    """The grey values of an image that is normalised by itself, or as another one."""
    known = (image if like is None else like).astype(float)
    norm = Normalisation.of_volume(float(known.mean()), float(known.std()))
    return grey_values(ArrayVolume(image, "image"), norm, None if mask is None else ArrayVolume(mask))


def test_an_image_has_no_distance_from_itself():
    found = of(IMAGE)
    assert (found.distance(found), found.texture(found)) == (0, 0)
    assert found.quantiles == sorted(found.quantiles)
    assert found.quantiles[PERCENTAGES.index(50)] == pytest.approx(0, abs=0.1)


def test_quantiles_are_those_of_numpy_and_differences_those_of_all_pairs():
    found, normalised = of(IMAGE), (IMAGE - IMAGE.mean()) / IMAGE.astype(float).std()
    assert found.quantiles == pytest.approx(np.percentile(normalised, PERCENTAGES), abs=1e-3)
    pairs = [
        np.abs(normalised[:, 2:] - normalised[:, :-2]),
        np.abs(normalised[..., 2:] - normalised[..., :-2]),
    ]
    expected = np.concatenate([pair.ravel() for pair in pairs]).mean()
    assert found.differences[LAGS.index(2)] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("shift", "factor"), [(25, 1.0), (0, 0.5)])
def test_brightness_counts_only_if_another_image_normalises(shift, factor):
    changed = (factor * IMAGE + shift).round().astype(np.uint8)
    assert of(changed).distance(of(IMAGE)) < 0.02
    assert of(changed, like=IMAGE).distance(of(IMAGE)) > 0.3


def test_blur_makes_neighbours_more_alike_and_noise_less():
    blurred = gaussian_filter(IMAGE, (0, 3, 3))
    noisy = np.clip(IMAGE + RNG.normal(0, 40, IMAGE.shape), 0, 255).astype(np.uint8)
    assert of(blurred).texture(of(IMAGE)) < -0.8
    assert of(noisy).texture(of(IMAGE)) > 0.8
    assert of(IMAGE).texture(of(blurred)) > 0.8


def test_dark_lines_have_a_negative_skew_and_an_inverted_image_the_opposite():
    membranes = IMAGE.copy()
    membranes[:, ::15], membranes[:, :, ::15] = 10, 10
    found, inverted = of(membranes), of(255 - membranes)
    assert found.skews[0] < -1
    assert inverted.skews == pytest.approx([-skew for skew in found.skews], abs=1e-3)
    assert inverted.skew_distance(found, -1) < 0.01 < 1 < inverted.skew_distance(found)


def test_voxels_outside_the_mask_do_not_count():
    mask = np.zeros(IMAGE.shape, np.uint8)
    mask[:, 10:50, 20:70] = 1
    other = np.where(mask, IMAGE, 255).astype(np.uint8)
    assert of(other, like=IMAGE, mask=mask) == of(IMAGE, mask=mask)
    norm = Normalisation.of_volume(float(IMAGE.mean()), float(IMAGE.std()))
    inside = ArrayVolume(mask)
    as_networks_see_it = MaskedVolume(ArrayVolume(other, "image"), inside)
    assert grey_values(as_networks_see_it, norm, inside) == of(other, like=IMAGE, mask=mask)
    assert of(IMAGE, mask=np.zeros_like(mask)) is None


def test_a_constant_image_and_one_with_voxels_that_are_no_numbers():
    constant = of(np.full((1, 20, 20), 7, np.uint8), like=IMAGE)
    assert constant.differences == constant.skews == [0, 0, 0, 0]
    assert constant.texture(of(IMAGE)) < -1
    broken = IMAGE.astype(np.float32)
    broken[0, :5], broken[1, 7] = np.nan, np.inf
    assert of(broken, like=IMAGE).distance(of(IMAGE)) < 0.05
    assert of(np.zeros((3, 1, 1), np.uint8), like=IMAGE).skews == [None] * 4


def test_a_large_image_is_sampled_the_same_way_each_time():
    large = np.tile(IMAGE, (2, 6, 7))
    assert large.size > EXACT
    assert of(large) == of(large)
    assert of(large).distance(of(IMAGE)) < 0.1
    assert abs(of(large).texture(of(IMAGE))) < 0.15
