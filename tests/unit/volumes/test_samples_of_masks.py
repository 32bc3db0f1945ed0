"""Statistics of large masked images, which are estimated from boxes drawn inside the mask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genenet.core.geometry import Box
from genenet.volumes.base import ArrayVolume
from genenet.volumes.sampling import sample, sample_boxes
from genenet.volumes.statistics import image_statistics

SHAPE = (16, 900, 1000)
CORNER = (slice(2, 14), slice(0, 300), slice(700, 1000))


def corner():
    """An image whose gradient along y differs from slice to slice, black outside a corner, and the mask of it."""
    image, mask = np.zeros(SHAPE, "u2"), np.zeros(SHAPE, "u1")
    z, y, x = np.indices((12, 300, 300))
    image[CORNER] = 1000 + 200 * z + (z + 1) * y + x % 40
    mask[CORNER] = 1
    return image, mask


@pytest.mark.parametrize("per_slice", [False, True])
@pytest.mark.parametrize("chunks", [(1, 64, 64), (4, 32, 32), (1, 10, 1000), (1, 900, 1000)])
@pytest.mark.parametrize(("limit", "tolerance"), [(1_200_000, 0.1), (8_000_000, 1e-9)])
def test_a_corner_of_a_large_image(per_slice, chunks, limit, tolerance):
    """The larger limit gives each slice a share that its part of the mask does not reach: all of it is read."""
    image, mask = corner()
    volumes = ArrayVolume(image, chunks=chunks), ArrayVolume(mask)
    mean, deviation = image_statistics(volumes[0], per_slice, max_voxels=limit, mask=volumes[1])
    expected = image[CORNER].mean((1, 2)), image[CORNER].std((1, 2))
    if not per_slice:
        expected = [image[CORNER].mean()], [image[CORNER].std()]
    at = slice(2, 14) if per_slice else slice(None)
    np.testing.assert_allclose(mean[at], expected[0], rtol=tolerance / 2)
    np.testing.assert_allclose(deviation[at], expected[1], rtol=tolerance)
    if per_slice:
        np.testing.assert_array_equal([mean[[0, 1, 14, 15]], deviation[[0, 1, 14, 15]]], [[0] * 4, [1] * 4])


def test_same_seed_same_sample():
    image, mask = corner()
    volume, mask = ArrayVolume(image, chunks=(4, 32, 32)), ArrayVolume(mask)
    first, again, other = (
        image_statistics(volume, True, seed=seed, max_voxels=500_000, mask=mask)[0] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("edge", range(0, 64, 7))
def test_boxes_that_only_touch_the_mask_do_not_decide(edge):
    """A few rows of a box lie inside the mask, wherever the mask begins."""
    image, mask = np.zeros((1, 1000, 400), "u1"), np.zeros((1, 1000, 400), "u1")
    image[0, 300 + edge : 600 + edge] = np.arange(300)[:, None] // 2 + 50
    mask[0, 300 + edge : 600 + edge] = 1
    volumes = ArrayVolume(image, chunks=(1, 64, 64)), ArrayVolume(mask)
    mean, deviation = image_statistics(volumes[0], False, max_voxels=80_000, mask=volumes[1])
    inside = image[mask == 1]
    assert mean[0] == pytest.approx(inside.mean(), rel=0.05)
    assert deviation[0] == pytest.approx(inside.std(), rel=0.08)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("chunks", [(1, 64, 64), (4, 32, 32), (1, 900, 1000)])
def test_boxes_of_the_first_look_meet_the_mask(chunks, seed):
    """The mask covers 7.5 % of the volume: boxes drawn of all of it would hold 15 000 voxels inside."""
    image, mask = corner()
    volume, limit = ArrayVolume(image, chunks=chunks), 200_000
    boxes = sample_boxes(volume, limit, ArrayVolume(mask), seed)
    assert boxes == sorted(set(boxes), key=lambda box: box.start)
    assert all(mask[box.slices].any() for box in boxes)
    assert 0.7 * limit < sum(box.n_voxels for box in boxes) < 1.3 * limit
    assert sum(np.count_nonzero(mask[box.slices]) for box in boxes) > 40_000


def test_a_mask_of_one_voxel_is_found():
    image, mask = corner()
    mask[:] = 0
    mask[9, 500, 600] = 1
    (box,) = sample_boxes(ArrayVolume(image, chunks=(1, 64, 64)), 50_000, ArrayVolume(mask))
    assert mask[box.slices].sum() == 1
    assert not sample_boxes(ArrayVolume(image), 50_000, ArrayVolume(mask * 0))


def test_a_mask_of_most_of_the_volume_is_read_where_boxes_are_drawn(monkeypatch):
    volume, mask = ArrayVolume(np.zeros(SHAPE, "u1"), chunks=(1, 64, 64)), ArrayVolume(np.ones(SHAPE, "u1"))
    read, n_voxels = mask.read, []
    monkeypatch.setattr(mask, "read", lambda box: n_voxels.append(box.n_voxels) or read(box))
    assert sample_boxes(volume, 50_000, mask) == sample_boxes(volume, 50_000)
    assert sum(n_voxels) < 100_000


@given(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.tuples(*[st.integers(1, 9)] * 3),
    st.tuples(*[st.integers(1, 9)] * 3),
    st.booleans(),
    st.integers(1, 400),
    st.floats(0, 1),
)
def test_each_slice_has_its_share(shape, chunks, mask_chunks, per_slice, max_voxels, density):
    inside = np.random.default_rng(3).random(shape) < density
    volume = ArrayVolume(np.zeros(shape), chunks=tuple(map(min, chunks, shape)))
    mask = ArrayVolume(inside.astype("u1"), chunks=tuple(map(min, mask_chunks, shape)))
    n_boxes, drawn = np.zeros(shape[0], int), np.zeros(shape, int)
    for box, drawn_for in sample(volume, mask, per_slice, max_voxels, np.random.default_rng(0)):
        assert (drawn_for is not None) == per_slice
        counted = np.ones(box.shape[0], bool) if drawn_for is None else drawn_for
        assert box.intersect(Box.of_shape(shape)) == box
        assert counted.shape == box.shape[:1]
        assert inside[box.slices][counted].any()
        drawn[box.slices][counted] += 1
        n_boxes[box.slices[0]] += counted
    assert drawn.max(initial=0) <= 1
    groups = [[z] for z in range(shape[0])] if per_slice else [range(shape[0])]
    for group in groups:
        left = inside[group] & (drawn[group] == 0)
        if left.any():  # not all is drawn: the sample is as large as was asked for
            assert (inside[group] & (drawn[group] == 1)).sum() >= max_voxels // shape[0] - 1
            assert n_boxes[group].sum() >= 4
