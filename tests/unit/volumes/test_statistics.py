"""Moments, and statistics of a sample."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.volumes.base import ArrayVolume
from genenet.volumes.sampling import sample
from genenet.volumes.statistics import Moments, image_statistics


@given(
    hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e6, 1e6)),
    st.floats(-1e9, 1e9),
    st.integers(0, 40),
)
def test_merged_moments_are_those_of_all(values, offset, cut) -> None:
    values = values + offset
    moments = Moments.of(values[:cut]).merge(Moments.of(values[cut:]))
    assert moments.n == len(values)
    assert moments.mean == pytest.approx(values.mean(), rel=1e-12, abs=1e-6)
    assert moments.deviation == pytest.approx(values.std(), rel=1e-6, abs=1e-5)


def test_a_large_offset_costs_no_precision() -> None:
    values = np.random.default_rng(0).normal(size=10**6)
    assert Moments.of(values + 1e9).deviation == pytest.approx(values.std(), rel=1e-6)
    assert Moments.of(np.full(10**6, 0.1, np.float32)).squares == 0


def gradient(shape):
    z, y, x = np.indices(shape)
    noise = np.random.default_rng(0).normal(size=shape)
    return (10 * z + noise + (y + x) / 100).astype("f4")


@pytest.mark.parametrize("per_slice", [False, True])
def test_all_of_a_small_volume(per_slice: bool) -> None:
    image = gradient((6, 70, 90))
    volume = ArrayVolume(image, chunks=(4, 32, 32))
    mean, deviation = image_statistics(volume, per_slice)
    axes = (1, 2) if per_slice else None
    np.testing.assert_allclose(mean, np.atleast_1d(image.mean(axes, dtype=float)), rtol=1e-9)
    np.testing.assert_allclose(deviation, np.atleast_1d(image.std(axes, dtype=float)), rtol=1e-9)


@pytest.mark.parametrize("per_slice", [False, True])
@pytest.mark.parametrize("chunks", [(1, 600, 700), (4, 32, 32), (1, 64, 700)])
def test_a_sample_of_a_large_volume(per_slice: bool, chunks) -> None:
    image = gradient((12, 600, 700))
    volume = ArrayVolume(image, chunks=chunks)
    boxes = [box for box, _ in sample(volume, None, per_slice, 10**6, np.random.default_rng(0))]
    assert sum(box.n_voxels for box in boxes) < 1.2 * 10**6
    assert len(set(boxes)) == len(boxes)
    mean, deviation = image_statistics(volume, per_slice, max_voxels=10**6)
    again = image_statistics(volume, per_slice, max_voxels=10**6)
    np.testing.assert_array_equal(mean, again[0])
    other = image_statistics(volume, per_slice, seed=1, max_voxels=10**6)
    assert not np.array_equal(mean, other[0])
    assert mean.shape == deviation.shape == ((12,) if per_slice else (1,))
    expected = image.mean((1, 2)) if per_slice else image.mean()
    np.testing.assert_allclose(mean, expected, atol=3 if per_slice else 10)


@given(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.tuples(*[st.integers(1, 9)] * 3),
    st.booleans(),
    st.integers(1, 400),
)
def test_boxes_lie_inside_and_all_slices_are_sampled(shape, chunks, per_slice, max_voxels) -> None:
    volume = ArrayVolume(np.zeros(shape), chunks=tuple(map(min, chunks, shape)))
    boxes = [box for box, _ in sample(volume, None, per_slice, max_voxels, np.random.default_rng(0))]
    seen = np.zeros(shape, int)
    for box in boxes:
        assert box.intersect(Box.of_shape(shape)) == box
        seen[box.slices] += 1
    assert seen.max() == 1
    if per_slice:
        assert seen.any((1, 2)).all()
    if seen.size <= max_voxels:
        assert seen.all()


def test_errors_and_constant_slices() -> None:
    image = gradient((3, 20, 20))
    image[1] = 5
    mean, deviation = image_statistics(ArrayVolume(image), per_slice=True)
    assert (mean[1], deviation[1]) == (5, 1)
    with pytest.raises(InputError, match="array: all voxels are 5"):
        image_statistics(ArrayVolume(image[1:2]), per_slice=False)
    image[2, 3, 4] = np.nan
    for per_slice in (False, True):
        with pytest.raises(InputError, match="array: holds NaN"):
            image_statistics(ArrayVolume(image), per_slice)


def test_memory_is_bounded_by_a_box() -> None:
    image = np.zeros((2, 4000, 4000), "u1")
    image[0] = 1
    tracemalloc.start()
    image_statistics(ArrayVolume(image), per_slice=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < image.nbytes / 3
