"""Augmentation: what each option does and by how much, and that labels move with their image."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genenet.config.training import Augmentation
from genenet.core.ignore import IGNORE
from genenet.training.augmentation import (
    MOVED,
    Augmenter,
    blur,
    mixed_with_convolution,
    through_curve,
    to_the_power,
)
from genenet.training.deformation import Patches, affine_field, deform, random_field, shift_slices
from tests.support.examples import examples

ROUNDING = 1e-4  # of grid_sample's places, -1 to 1 in float32, times the steepest slope
SHAPE, LABELS = (4, 1, 6, 48, 48), (4, 2, 32, 32)
OPTIONS = {
    "elastic": {"elastic_voxels": 3.0, "elastic_spacing_voxels": 16.0},
    "rotation": {"rotation_degrees": 30.0},
    "scaling": {"scaling": 0.4},
    "shifted": {"shifted_slices": 0.5, "shifted_slices_voxels": 5},
    "convolutions": {"random_convolutions": 1.0},
    "curves": {"curves": 0.7},
    "blur": {"blur_voxels": 1.5},
    "contrast": {"contrast": 0.5},
    "brightness": {"brightness": 0.5},
    "gamma": {"gamma": 0.5},
    "noise": {"noise": 0.5},
    "missing": {"missing_slices": 0.4},
}
ALL = {key: value for option in OPTIONS.values() for key, value in option.items()}
OF_SOME_PATCHES = ["rotation", "scaling"]
MOVING = ["elastic", "shifted", *OF_SOME_PATCHES]
GREY = [name for name in OPTIONS if name not in MOVING]


def example(shape=SHAPE, of_labels=LABELS, seed=0):
    """Smooth noise of mean 0 and deviation about 1, labels of 0, 3 and 254, weights above 0."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(shape, generator=generator)
    labels = torch.tensor([0, 3, 254], dtype=torch.uint8)[torch.randint(3, of_labels, generator=generator)]
    return images, labels, torch.rand(of_labels, generator=generator) + 0.5


def augmented(options, batch, seed=1):
    return Augmenter(Augmentation(**options))(*batch, seed)


def tiles(shape, side, n=4):
    """Classes 1 to n in squares of a random class each: (B, Z, Y, X) uint8."""
    coarse = torch.randint(1, n + 1, (*shape[:2], *(math.ceil(k / side) for k in shape[2:])))
    fine = coarse.repeat_interleave(side, 2).repeat_interleave(side, 3)
    return fine[:, :, : shape[2], : shape[3]].to(torch.uint8)


def centre(volume, shape):
    """The central part of (B, Z, Y, X)."""
    cut = [slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(volume.shape[1:], shape[1:], strict=True)]
    return volume[(slice(None), *cut)]


def same(a, b):
    return all(x is y is None or torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_off_is_unchanged():
    batch = example()
    off = Augmenter(Augmentation())
    assert off.is_identity
    assert same(off(*batch, 1), batch)


@pytest.mark.parametrize("name", OPTIONS)
def test_any_option_is_no_identity(name):
    assert not Augmenter(Augmentation(flips_and_turns=False, **OPTIONS[name])).is_identity


@pytest.mark.parametrize("half", [{"shifted_slices": 0.5}, {"shifted_slices_voxels": 5}])
def test_shifts_need_probability_and_distance(half):
    assert Augmenter(Augmentation(**half)).is_identity


@pytest.mark.parametrize("name", [*OPTIONS, "all"])
@pytest.mark.parametrize("has_weights", [True, False])
def test_seed_decides(name, has_weights):
    options = ALL if name == "all" else OPTIONS[name]
    images, labels, weights = example()
    batch = (images, labels, weights if has_weights else None)
    before = [None if a is None else a.clone() for a in batch]
    state = torch.get_rng_state()
    once = augmented(options, batch)
    assert same(augmented(options, batch), once)
    assert same(batch, before), "what is given stays as it is"
    assert torch.equal(torch.get_rng_state(), state), "nobody else's random numbers are taken"
    assert not torch.equal(augmented(options, batch, seed=2)[0], once[0])
    assert not torch.equal(once[0], images)
    assert [a is None for a in once] == [False, False, not has_weights]
    for a, b in zip(once, batch, strict=True):
        assert a is b is None or (a.shape == b.shape and a.dtype == b.dtype)


@pytest.mark.parametrize("name", [name for name in OPTIONS if name not in OF_SOME_PATCHES])
def test_each_patch_draws_its_own(name):
    images, labels, weights = (a[:1].expand(4, *a.shape[1:]) for a in example())
    changed, *_ = augmented(OPTIONS[name], (images, labels, weights))
    for i in range(4):
        assert not any(torch.equal(changed[i], changed[j]) for j in range(i))


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    halo=st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 4)),
    seed=st.integers(0, 2**63 - 1),
)
@examples(60)
def test_any_shape(shape, halo, seed):
    """Also where a patch is smaller than a shift, a blur, or the space between control points."""
    batch, *inner = shape
    outer = (batch, 1, *(n + 2 * h for n, h in zip(inner, halo, strict=True)))
    given_ = example(outer, shape, seed % 100)
    images, labels, weights = augmented({**ALL, "blur_voxels": 3.0}, given_, seed)
    assert images.shape == outer
    assert torch.isfinite(images).all()
    assert set(labels.unique().tolist()) <= {*given_[1].unique().tolist(), IGNORE}
    assert set(weights.unique().tolist()) <= {*given_[2].unique().tolist(), 0.0}
    assert torch.equal(weights == 0, labels == IGNORE)


@pytest.mark.parametrize("name", GREY)
def test_grey_options_leave_labels(name):
    images, labels, weights = example()
    changed = augmented(OPTIONS[name], (images, labels, weights))
    assert changed[1] is labels
    assert changed[2] is weights


# Deformation


@pytest.mark.parametrize("name", OF_SOME_PATCHES)
def test_a_share_of_the_patches_is_moved_each_by_its_own(name):
    n = 200
    one = torch.randn((1, 1, 1, 24, 24), generator=torch.Generator().manual_seed(0))
    images, labels = one.expand(n, -1, -1, -1, -1), torch.zeros((n, 1, 24, 24), dtype=torch.uint8)
    changed, *_ = augmented(OPTIONS[name], (images, labels, None))
    distance = (changed - images).abs().amax((1, 2, 3, 4))
    moved = distance > 1e-3
    assert moved.float().mean() == pytest.approx(MOVED, abs=4 * math.sqrt(0.25 / n))
    assert len(distance[moved].unique()) == moved.sum()


def test_a_quarter_turn_is_that_of_torch():
    images, labels, weights = example((2, 1, 3, 33, 33), (2, 3, 33, 33))
    quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]]).expand(2, 2, 2)
    turned = deform(Patches(images[:, 0], labels, weights), affine_field(quarter, (33, 33)))
    expected = torch.rot90(images[:, 0], -1, (2, 3))
    torch.testing.assert_close(turned.slices, expected, atol=100 * ROUNDING, rtol=0)
    inner = np.s_[:, :, 1:-1, 1:-1]  # rounding can push the outermost beyond the border
    assert torch.equal(turned.labels[inner], torch.rot90(labels, -1, (2, 3))[inner])


def test_scaling_takes_voxels_from_nearer_the_centre():
    ramp = torch.arange(33.0)[:, None].expand(1, 1, 33, 33) - 16
    labels = torch.zeros((1, 1, 33, 33), dtype=torch.uint8)
    doubled = deform(Patches(ramp, labels, None), affine_field(torch.eye(2)[None] / 2, (33, 33)))
    torch.testing.assert_close(doubled.slices, ramp / 2, atol=1e-3, rtol=0)


def test_scaling_stays_within_its_factors_both_ways():
    ramp = torch.arange(33.0)[:, None].expand(100, 1, 1, 33, 33) - 16
    labels = torch.zeros((100, 1, 5, 5), dtype=torch.uint8)
    changed, *_ = augmented({"scaling": 0.5}, (ramp, labels, None))
    factors = 4 / (changed[:, 0, 0, 18, 16] - changed[:, 0, 0, 14, 16])
    assert factors.min() >= 1 / 1.5 - 1e-3
    assert factors.max() <= 1.5 + 1e-3
    assert factors.min() < 0.75
    assert factors.max() > 1.35


def test_no_displacement_is_the_identity():
    images, _, weights = example((1, 1, 3, 61, 47), (1, 1, 39, 25))
    labels = (torch.arange(39 * 25) % 256).to(torch.uint8).view(1, 1, 39, 25)
    before = Patches(images[:, 0], labels, weights)
    after = deform(before, torch.zeros(1, 2, 61, 47))
    assert torch.equal(after.labels, labels), "all 256 ids"
    assert torch.equal(after.weights, weights)
    torch.testing.assert_close(after.slices, images[:, 0], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize(("dy", "dx"), [(3, 0), (0, -4), (-2, 5)])
def test_displacements_are_voxels_along_y_and_x(dy, dx):
    images, labels, weights = example((2, 1, 3, 41, 52), (2, 1, 29, 36))
    field = torch.tensor([dy, dx], dtype=torch.float32).view(1, 2, 1, 1).expand(2, 2, 41, 52)
    after = deform(Patches(images[:, 0], labels, weights), field)
    for fill, moved, still in ((IGNORE, after.labels, labels), (0, after.weights, weights)):
        expected = torch.full_like(still, fill)
        to_y, to_x = (slice(max(0, -d), n - max(0, d)) for d, n in ((dy, 29), (dx, 36)))
        of_y, of_x = (slice(max(0, d), n - max(0, -d)) for d, n in ((dy, 29), (dx, 36)))
        expected[..., to_y, to_x] = still[..., of_y, of_x]
        assert torch.equal(moved, expected)
    # numpy's reflect, read at (y + dy, x + dx)
    padded = torch.nn.functional.pad(images[:, 0], (6, 6, 6, 6), mode="reflect")
    torch.testing.assert_close(
        after.slices, padded[..., 6 + dy : 47 + dy, 6 + dx : 58 + dx], rtol=0, atol=ROUNDING
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("inner", [(3, 3, 64, 64), (3, 1, 48, 56), (3, 3, 96, 96)])
def test_image_and_labels_deform_together(inner, seed):
    torch.manual_seed(seed)
    whole = tiles((3, 3, 96, 96), 16)
    labels = centre(whole, inner)
    options = {"elastic_voxels": 4.0, "elastic_spacing_voxels": 24.0}
    images, moved, weights = augmented(options, (whole[:, None].float(), labels, torch.ones(inner)), seed)
    seen, known = centre(images[:, 0], inner), moved != IGNORE
    # Between tiles the image is a mixture; inside, it is its class up to rounding.
    flat = (
        torch.nn.functional.max_pool2d(seen, 3, 1, 1) + torch.nn.functional.max_pool2d(-seen, 3, 1, 1)
    ) < 1e-3
    assert (flat & known).float().mean() > 0.4
    assert (seen[flat & known] - moved[flat & known]).abs().max() < 1e-3
    near = (seen[known] - moved[known]).abs() < 0.51
    assert near.float().mean() > 0.96, "between tiles of neighbouring ids, too"
    assert (moved != labels).float().mean() > 0.1, "it did move"
    assert torch.equal(weights, known.float())


def test_nearest_labels_stay_beside_the_image_at_halves():
    """A ramp as the image, its rounded values as labels: they never part by more than half a voxel."""
    ramp = torch.arange(80.0).expand(2, 1, 1, 80, 80)
    labels = ramp[:, 0, :, 10:70, 10:70].to(torch.uint8)
    options = {"elastic_voxels": 3.0, "elastic_spacing_voxels": 20.0}
    images, moved, _ = augmented(options, (ramp, labels, None))
    seen = images[:, 0, :, 10:70, 10:70]
    assert ((seen - moved)[moved != IGNORE]).abs().max() <= 0.5 + 1e-3


def test_all_slices_deform_alike():
    image = torch.randn(2, 1, 1, 48, 48).expand(2, 1, 5, 48, 48)
    images, *_ = augmented(OPTIONS["elastic"], (image, torch.zeros(2, 3, 32, 32, dtype=torch.uint8), None))
    assert torch.equal(images, images[:, :, :1].expand_as(images))


@pytest.mark.parametrize("spacing", [8.0, 12.5])
def test_displacements_have_their_deviation_at_control_points(spacing):
    field = random_field(200, (51, 76), 2.5, spacing, torch.Generator().manual_seed(0))
    assert field.shape == (200, 2, 51, 76)
    # Control points lie at (i + 1/2) spacing - 1/2, of which the first one before the patch is cut off.
    places = [(i + 1.5) * spacing - 0.5 - int(spacing) for i in range(3)]
    nearest = [round(place) for place in places]
    at_points = field[:, :, nearest][..., nearest]
    assert at_points.std().item() == pytest.approx(2.5, rel=0.05)
    assert abs(at_points.mean().item()) < 0.15
    assert field.std().item() == pytest.approx(0.8 * 2.5, rel=0.1)
    rough = field.diff(n=2, dim=-1).abs().max()
    assert rough < 2.5 * 40 / spacing**2, "smooth: curvature falls with the square of the spacing"


def test_neighbouring_control_points_are_independent():
    field = random_field(500, (40, 40), 1.0, 8.0, torch.Generator().manual_seed(0))[..., 3::8, 3::8]
    one, next_one = field[..., 1:-1, 1].flatten(), field[..., 1:-1, 2].flatten()
    far = field[..., 1:-1, 4].flatten()
    correlation = torch.corrcoef(torch.stack([one, next_one, far]))
    assert abs(correlation[0, 2]) < 0.1
    assert abs(correlation[0, 1]) < 0.3


# Slices


@pytest.mark.parametrize("offset", [(2, -3), (-5, 0), (0, 4), (60, -100)])
def test_a_shifted_slice(offset):
    images, labels, weights = example((2, 1, 5, 30, 40), (2, 3, 20, 24))
    offsets = torch.zeros(2, 5, 2, dtype=torch.int64)
    offsets[1, 2] = torch.tensor(offset)  # slice 2 of the image is slice 1 of the labels
    after = shift_slices(Patches(images[:, 0], labels, weights), offsets)
    dy, dx = offset
    for name, before, now, z in (
        ("image", images[:, 0], after.slices, 2),
        ("labels", labels, after.labels, 1),
        ("weights", weights, after.weights, 1),
    ):
        others = torch.ones(before.shape[:2], dtype=torch.bool)
        others[1, z] = False
        assert torch.equal(now[others], before[others]), name
        height, width = before.shape[-2:]
        for y in range(height):
            for x in range(0, width, 5):
                inside = 0 <= y - dy < height and 0 <= x - dx < width
                if inside:
                    assert now[1, z, y, x] == before[1, z, y - dy, x - dx], name
                elif name != "image":
                    assert now[1, z, y, x] == (IGNORE if name == "labels" else 0)
    extended = torch.from_numpy(np.pad(images[1, 0, 2].numpy(), 110, mode="reflect"))
    assert torch.equal(after.slices[1, 2], extended[110 - dy : 140 - dy, 110 - dx : 150 - dx])


def test_how_often_and_how_far_slices_are_shifted():
    image = (torch.arange(41.0)[:, None] * 100 + torch.arange(41.0)).expand(50, 1, 8, 41, 41)
    labels = torch.zeros(50, 8, 21, 21, dtype=torch.uint8)
    images, *_ = augmented({"shifted_slices": 0.3, "shifted_slices_voxels": 4}, (image, labels, None))
    by = image[0, 0, 0, 20, 20] - images[:, 0, :, 20, 20]
    dy = (by / 100).round()
    dx = by - 100 * dy
    moved = ((dy != 0) | (dx != 0)).float().mean().item()
    assert moved == pytest.approx(0.3 * 80 / 81, abs=0.07)
    assert set(dy.unique().tolist()) == set(dx.unique().tolist()) == set(range(-4, 5))


def test_shifted_slices_move_with_their_labels():
    torch.manual_seed(0)
    whole = tiles((3, 6, 64, 64), 12)
    labels = centre(whole, (3, 4, 48, 48))
    options = {"shifted_slices": 0.5, "shifted_slices_voxels": 6}
    images, moved, weights = augmented(options, (whole[:, None].float(), labels, torch.ones(3, 4, 48, 48)))
    known = moved != IGNORE
    assert torch.equal(centre(images[:, 0], labels.shape)[known], moved[known].float())
    assert torch.equal(weights, known.float())
    assert 0.8 < known.float().mean() < 1


def test_missing_slices_are_blank_at_the_patchs_mean():
    images, labels, weights = example((60, 1, 10, 12, 12), (60, 8, 6, 6))
    changed, *_ = augmented({"missing_slices": 0.2}, (images, labels, weights))
    same_ = (changed == images).all(-1).all(-1)
    blank = (changed == images.mean((1, 2, 3, 4), keepdim=True)).all(-1).all(-1)
    assert (same_ ^ blank).all()
    assert blank.float().mean().item() == pytest.approx(0.2, abs=0.05)


def test_a_missing_slice_is_not_shifted():
    images, labels, weights = example()
    options = {"missing_slices": 0.5, "shifted_slices": 1.0, "shifted_slices_voxels": 7}
    changed, moved, _ = augmented(options, (images, labels, weights))
    blank = (changed[:, 0] == changed[:, 0, :, :1, :1]).all(-1).all(-1)[:, 2:4]  # where there are labels
    still = (moved == labels).all(-1).all(-1)
    assert torch.equal(still, blank)
    assert 0 < blank.sum() < blank.numel()


def test_missing_slices_are_blank_after_everything_else():
    images, *_ = augmented({**ALL, "missing_slices": 1.0}, example())
    assert (images == images[..., :1, :1]).all()


@pytest.mark.parametrize(
    "options", [{"missing_slices": 1.0}, {"shifted_slices": 1.0, "shifted_slices_voxels": 9}]
)
def test_a_single_slice_is_neither_missing_nor_shifted(options):
    batch = example((3, 1, 1, 20, 20), (3, 1, 12, 12))
    assert same(augmented(options, batch), batch)


# Grey values


def many(shape=(200, 1, 1, 8, 8)):
    return example(shape, (shape[0], 1, 4, 4))


def test_brightness_adds_at_most_so_much():
    images, *rest = many()
    changed, *_ = augmented({"brightness": 0.7}, (images, *rest))
    offsets = (changed - images).flatten(1)
    assert (offsets - offsets[:, :1]).abs().max() < 1e-5, "one offset of a patch"
    assert offsets.abs().max() <= 0.7 + 1e-5
    assert offsets.min() < -0.6
    assert offsets.max() > 0.6


def test_contrast_multiplies_between_its_bounds():
    images, *rest = many()
    changed, *_ = augmented({"contrast": 1.0}, (images, *rest))
    factors = (changed / images).flatten(1)
    assert (factors / factors[:, :1] - 1).abs().max() < 1e-4
    assert factors.min() >= 0.5 - 1e-4
    assert factors.max() <= 2 + 1e-4
    assert factors.min() < 0.55
    assert factors.max() > 1.85
    assert (factors[:, 0] > 1).float().mean().item() == pytest.approx(0.5, abs=0.1)


def test_gamma_keeps_the_patchs_range():
    images, *rest = many()
    changed, *_ = augmented({"gamma": 1.0}, (images, *rest))
    low, high = images.flatten(1).amin(1), images.flatten(1).amax(1)
    torch.testing.assert_close(changed.flatten(1).amin(1), low)
    torch.testing.assert_close(changed.flatten(1).amax(1), high)
    units = [((a.flatten(1).T - low) / (high - low)).T for a in (images, changed)]
    inside = (units[0] > 0.1) & (units[0] < 0.9)
    exponents = units[1].log() / units[0].log()
    assert exponents[inside].min() >= 0.5 - 1e-3
    assert exponents[inside].max() <= 2 + 1e-3
    assert exponents[inside].min() < 0.55
    assert exponents[inside].max() > 1.8
    for of_patch, where in zip(exponents, inside, strict=True):
        assert of_patch[where].max() - of_patch[where].min() < 1e-3


@pytest.mark.parametrize("value", [0.0, -1.7, 3e30])
def test_gamma_of_a_constant_patch(value):
    images = torch.full((2, 1, 4, 4), value)
    assert torch.equal(to_the_power(images, torch.tensor([0.5, 2.0]).view(2, 1, 1, 1)), images)


def test_a_curve_is_monotone_and_keeps_the_patchs_range():
    images, *rest = example()
    changed, *_ = augmented({"curves": 1.0}, (images, *rest))
    for before, after in zip(images.flatten(1), changed.flatten(1), strict=True):
        order = before.argsort()
        assert (after[order].diff() >= -1e-5).all()
        torch.testing.assert_close(after.aminmax(), before.aminmax(), atol=1e-4, rtol=0)


def test_a_curve_passes_through_its_points():
    slices = torch.linspace(-2, 2, 9)[None, None, None]
    bent = through_curve(slices, torch.tensor([[0.0, 0.9, 1.0]]))
    expected = [-2, -1.1, -0.2, 0.7, 1.6, 1.7, 1.8, 1.9, 2]
    torch.testing.assert_close(bent.flatten(), torch.tensor(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("value", [0.0, -3.5, 1e-30])
def test_a_curve_of_a_constant_patch(value):
    changed, *_ = augmented({"curves": 1.0}, (torch.full(SHAPE, value), *example()[1:]))
    assert torch.equal(changed, torch.full(SHAPE, value))


def test_a_random_convolution_keeps_mean_and_deviation():
    slices = example()[0][:, 0]
    kernels = torch.zeros((4, 3, 3))
    kernels[:, 1, 2] = -2.0  # takes the neighbour on the right, inverted
    mixed = mixed_with_convolution(slices, kernels, torch.tensor([0.0, 0.5, 1.0, 1.0]).view(4, 1, 1, 1))
    assert torch.equal(mixed[0], slices[0])
    inverted = 2 * slices[2:].mean((1, 2, 3), keepdim=True) - slices[2:]
    torch.testing.assert_close(mixed[2:, :, :, :-2], inverted[:, :, :, 1:-1], atol=0.05, rtol=0)
    torch.testing.assert_close(mixed[2:].std((1, 2, 3)), slices[2:].std((1, 2, 3)))
    assert mixed[1].std() < slices[1].std()


def test_noise_has_a_deviation_up_to_so_much():
    images, *rest = many((100, 1, 1, 40, 40))
    changed, *_ = augmented({"noise": 0.4}, (images, *rest))
    noise = (changed - images).flatten(1)
    deviations = noise.std(1)
    assert deviations.max() <= 0.4 * 1.1
    assert deviations.max() > 0.36
    assert deviations.min() < 0.04
    assert deviations.mean().item() == pytest.approx(0.2, abs=0.04)
    assert (noise.mean(1).abs() < 4 * deviations / 40).all()


def test_noise_differs_between_voxels_and_slices():
    images = torch.zeros(1, 1, 3, 9, 9)
    changed, *_ = augmented({"noise": 1.0}, (images, torch.zeros(1, 1, 9, 9, dtype=torch.uint8), None))
    assert len(changed.unique()) == changed.numel()


@pytest.mark.parametrize("sigma", [0.7, 1.5, 3.0])
def test_blur_is_a_gaussian_in_the_plane(sigma):
    spot = torch.zeros(2, 3, 61, 61)
    spot[:, 1, 30, 30] = 1
    blurred = blur(spot, torch.tensor([sigma, 0.0]).view(2, 1, 1, 1), 3.0)
    assert torch.equal(blurred[1], spot[1]), "no blur is none"
    assert not blurred[0, [0, 2]].any()
    plane = blurred[0, 1]
    assert plane.sum().item() == pytest.approx(1, abs=1e-4)
    distance = torch.arange(61.0) - 30
    for axis in (0, 1):
        assert (plane.sum(axis) * distance**2).sum().sqrt().item() == pytest.approx(sigma, rel=0.03)
    gaussian = torch.exp(-(distance**2) / (2 * sigma**2))
    expected = gaussian[:, None] * gaussian / gaussian.sum() ** 2
    torch.testing.assert_close(plane, expected, atol=1e-4, rtol=0)


def test_blur_reflects_as_numpy_does():
    plane = torch.randn(1, 1, 20, 16)
    sigma = torch.full((1, 1, 1, 1), 1.3)
    wide = torch.nn.functional.pad(plane, (8, 8, 8, 8), mode="reflect")
    torch.testing.assert_close(blur(plane, sigma, 1.3), blur(wide, sigma, 1.3)[..., 8:-8, 8:-8])
    flat = torch.full((1, 1, 20, 16), 2.5)
    torch.testing.assert_close(blur(flat, sigma, 1.3), flat)


def test_blur_lowers_high_frequencies():
    images, *rest = many((60, 1, 1, 32, 32))
    changed, *_ = augmented({"blur_voxels": 2.0}, (images, *rest))
    deviations = changed.flatten(1).std(1) / images.flatten(1).std(1)
    # A Gaussian of sigma leaves white noise 1 / (2 sqrt(pi) sigma) of its deviation.
    assert deviations.max() <= 1 + 1e-5
    assert deviations.min() > 0.9 / (2 * math.sqrt(math.pi) * 2.0)
    assert deviations.min() < 0.2
    before, after = (torch.fft.rfft2(a[:, 0, 0]).abs().mean(0) for a in (images, changed))
    ratio = after / before
    assert ratio[16, 16] < 0.5 * ratio[2, 2]
    assert ratio[0, 0].item() == pytest.approx(1, abs=0.15)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_draws_what_the_cpu_draws():
    options = {**ALL, "noise": 0.0}
    batch = example()
    on_cpu, on_gpu = augmented(options, batch), augmented(options, [a.cuda() for a in batch])
    torch.testing.assert_close(on_gpu[0].cpu(), on_cpu[0], atol=1e-3, rtol=0)
    assert (on_gpu[1].cpu() == on_cpu[1]).float().mean() > 0.999
    assert all(a.device.type == "cuda" for a in on_gpu)
    assert same(augmented(ALL, [a.cuda() for a in batch]), augmented(ALL, [a.cuda() for a in batch]))
