"""Percentiles of images, and centre and scale from them."""

import tracemalloc
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genenet.config.normalisation import NormalisationSettings
from genenet.core.errors import InputError
from genenet.volumes import percentiles
from genenet.volumes.base import ArrayVolume
from genenet.volumes.measure import ImageInMask, measure, measure_together
from genenet.volumes.percentiles import Distribution, image_distribution, slice_distributions

DTYPES = ["uint8", "int8", "uint16", "int16", "bool", "int32", "float16", "float32", "float64"]


def by_percentiles(over="volume", low=1, high=99):
    return NormalisationSettings(over=over, by="percentiles", percentiles=(low, high))


@given(
    hnp.arrays(np.int16, st.tuples(*[st.integers(1, 5)] * 3), elements=st.integers(-3, 9)),
    st.floats(0.1, 99.9),
)
def test_they_are_numpys(array, percentage):
    array[0, 0, 0] = 10  # so that it isn't constant
    array[-1, -1, -1] = -4
    if array.size == 1:
        return
    found = image_distribution(ArrayVolume(array)).percentile(percentage)
    assert found == pytest.approx(np.percentile(array, percentage), abs=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_types_are_exact(dtype):
    rng = np.random.default_rng(0)
    array = rng.normal(20, 30, (3, 50, 70)).clip(0, 127) if dtype != "bool" else rng.random((3, 50, 70)) < 0.3
    array = array.astype(dtype)
    found = image_distribution(ArrayVolume(array))
    assert found.n == array.size
    for percentage in (1, 37.5, 99):
        expected = np.percentile(array.astype("f8"), percentage)
        assert found.percentile(percentage) == pytest.approx(expected, abs=1e-9)


def test_known_values():
    """101 voxels, 0 to 100: the p-th percentile is p."""
    array = np.arange(101, dtype="u1").reshape(1, 1, 101)
    found = image_distribution(ArrayVolume(array))
    assert [found.percentile(p) for p in (1, 2.5, 50, 99)] == [1, 2.5, 50, 99]
    centre, scale = measure(by_percentiles(), ImageInMask(ArrayVolume(array)))
    assert centre == pytest.approx([50], abs=1e-12)
    assert scale == pytest.approx([98 / 4.652695748], rel=1e-9)
    centre, scale = measure(by_percentiles(low=5, high=95), ImageInMask(ArrayVolume(array)))
    assert (centre[0], scale[0]) == pytest.approx((50, 90 / 3.289707254), rel=1e-9)


@pytest.mark.parametrize("pair", [(1, 99), (5, 95), (2, 60), (70, 90)])
def test_a_normal_distribution_gets_its_mean_and_deviation(pair):
    levels = (np.arange(10**5) + 0.5) / 10**5
    array = 130 + 12 * np.array([NormalDist().inv_cdf(level) for level in levels])
    centre, scale = measure(
        by_percentiles("volume", *pair), ImageInMask(ArrayVolume(array.reshape(1, 100, -1)))
    )
    assert (centre[0], scale[0]) == pytest.approx((130, 12), rel=1e-3)


def test_outliers_change_nothing():
    array = np.random.default_rng(0).normal(100, 10, (1, 200, 200)).astype("f4")
    plain = measure(by_percentiles(), ImageInMask(ArrayVolume(array)))
    array[0, 0, :40] = 1e6  # a thousandth of the voxels
    found = measure(by_percentiles(), ImageInMask(ArrayVolume(array)))
    np.testing.assert_allclose(found, plain, rtol=0.02)


@pytest.mark.parametrize(
    ("dtype", "offset"), [("int32", 2_000_000_000), ("uint32", 4_000_000_000), ("float64", 1e9)]
)
def test_an_offset_is_kept_exactly(dtype, offset):
    array = np.random.default_rng(0).integers(0, 200, (2, 30, 40))
    shifted = (array + offset).astype(dtype)
    centre, scale = measure(by_percentiles(), ImageInMask(ArrayVolume(array)))
    moved = measure(by_percentiles(), ImageInMask(ArrayVolume(shifted)))
    assert (moved[0] - offset, moved[1]) == (pytest.approx(centre, abs=1e-5), pytest.approx(scale))


@pytest.mark.parametrize("chunks", [(1, 60, 50), (3, 16, 16), (5, 60, 7), (20, 60, 50)])
@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_slices_each_by_itself(dtype, chunks, monkeypatch):
    monkeypatch.setattr("genenet.volumes.sampling._SLAB_VOXELS", 2000)  # several slabs for each slice
    rng = np.random.default_rng(0)
    array = (rng.normal(100, 10, (20, 60, 50)) + np.arange(20)[:, None, None]).astype(dtype)
    array[4] = 7  # a missing section
    mask = np.ones(array.shape, "u1")
    mask[:, :10], mask[11] = 0, 0
    image = ImageInMask(ArrayVolume(array, chunks=chunks), ArrayVolume(mask))
    centre, scale = measure(by_percentiles("slice"), image)
    low, high = np.percentile(array[:, 10:].astype("f8"), [1, 99], axis=(1, 2))
    others = [z for z in range(20) if z not in (4, 11)]
    np.testing.assert_allclose(centre[others], (low + high)[others] / 2, rtol=1e-12)
    np.testing.assert_allclose(scale[others], (high - low)[others] / 4.652695748, rtol=1e-9)
    assert (centre[4], scale[4]) == (7, 1)
    assert (centre[11], scale[11]) == (0, 1)  # nothing is inside


@pytest.mark.parametrize("over", ["volume", "slice"])
def test_only_what_is_inside_the_mask_counts(over):
    array = np.random.default_rng(0).normal(50, 5, (2, 40, 40)).astype("f4")
    mask = np.zeros(array.shape, "u1")
    mask[:, 5:30, 8:20] = 3
    inside = ImageInMask(ArrayVolume(array[:, 5:30, 8:20].copy()))
    array[mask == 0] = np.nan
    found = measure(by_percentiles(over), ImageInMask(ArrayVolume(array), ArrayVolume(mask)))
    np.testing.assert_array_equal(found, measure(by_percentiles(over), inside))
    array[0, 6, 9] = np.inf
    with pytest.raises(InputError, match="array: holds NaN or infinite voxels inside its mask"):
        measure(by_percentiles(over), ImageInMask(ArrayVolume(array), ArrayVolume(mask)))
    with pytest.raises(InputError, match="array: has no voxels inside its mask"):
        measure(by_percentiles(over), ImageInMask(ArrayVolume(array), ArrayVolume(mask * 0)))


@pytest.mark.parametrize("over", ["volume", "slice"])
@pytest.mark.parametrize("dtype", ["u2", "f8"])
def test_an_image_without_contrast(over, dtype):
    with pytest.raises(InputError, match="array: all voxels are 7; an image with contrast is needed"):
        measure(by_percentiles(over), ImageInMask(ArrayVolume(np.full((2, 30, 30), 7, dtype))))


def test_percentiles_that_are_the_same_give_no_scale():
    array = np.zeros((1, 100, 100), "u1")
    array[0, 0, :50] = 200
    message = r"array: percentiles 1 and 99 of its voxels are both 0, and give no scale; set percentiles: further apart"
    with pytest.raises(InputError, match=message):
        measure(by_percentiles(), ImageInMask(ArrayVolume(array)))


def test_images_together_weigh_as_many_voxels_as_they_have(monkeypatch):
    rng = np.random.default_rng(0)
    small, large = (
        rng.integers(0, 90, (1, 20, 30)).astype("u1"),
        rng.integers(60, 250, (2, 300, 200)).astype("u1"),
    )
    images = [ImageInMask(ArrayVolume(small)), ImageInMask(ArrayVolume(large, chunks=(1, 16, 16)))]
    everything = np.concatenate([small.ravel(), large.ravel()]).astype("f8")
    low, high = np.percentile(everything, [1, 99])
    exact = measure_together(by_percentiles("training"), images)
    assert (exact[0][0], exact[1][0]) == pytest.approx(
        ((low + high) / 2, (high - low) / 4.652695748), rel=1e-9
    )
    sampled = measure_together(by_percentiles("training"), images, max_voxels=20_000)
    np.testing.assert_allclose(sampled, exact, rtol=0.02)
    mean, deviation = measure_together(NormalisationSettings(over="training"), images)
    assert (mean[0], deviation[0]) == pytest.approx((everything.mean(), everything.std()), rel=1e-12)
    mean, deviation = measure_together(NormalisationSettings(over="training"), images, max_voxels=20_000)
    assert (mean[0], deviation[0]) == pytest.approx((everything.mean(), everything.std()), rel=0.02)


def test_a_sample_is_uniform_seeded_and_of_its_size(monkeypatch):
    """Voxels ascend along the image, and are read in many pieces: each must be as likely as any other."""
    monkeypatch.setattr(percentiles, "SAMPLE_VOXELS", 2000)
    monkeypatch.setattr(percentiles, "_PIECE_VOXELS", 500)
    array = np.arange(40_000, dtype="f4").reshape(4, 100, 100)
    found, again, other = (image_distribution(ArrayVolume(array), seed=seed) for seed in (0, 0, 1))
    assert len(found.values) == 2000
    assert len(set(found.values)) == 2000  # drawn without replacement
    assert found.n == pytest.approx(40_000)
    np.testing.assert_array_equal(found.values, again.values)
    assert not np.array_equal(found.values, other.values)
    in_tenths = np.histogram(found.values, 10, (0, 40_000))[0]
    assert np.abs(in_tenths - 200).max() < 60  # 4 standard deviations
    for percentage in (1, 50, 99):
        assert found.percentile(percentage) == pytest.approx(percentage * 400, abs=800)


def test_a_large_image_is_sampled_in_boxes():
    array = np.random.default_rng(0).normal(100, 10, (12, 600, 700)).astype("f4")
    array += np.arange(12, dtype="f4")[:, None, None]
    volume = ArrayVolume(array, chunks=(4, 32, 32))
    found, again = (image_distribution(volume, max_voxels=10**6) for _ in range(2))
    assert found.n < 1.2 * 10**6
    assert found.percentile(1) == again.percentile(1) == pytest.approx(np.percentile(array, 1), abs=0.5)
    slices = dict(slice_distributions(volume, max_voxels=10**6))
    assert list(slices) == list(range(12))
    for z, of_slice in slices.items():
        assert of_slice.percentile(50) == pytest.approx(100 + z, abs=0.5)


def test_merged_distributions_are_those_of_all():
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, high, (1, 20, 30)).astype("u1") for high in (30, 200, 90)]
    merged = Distribution.merged(image_distribution(ArrayVolume(array)) for array in arrays)
    for percentage in (1, 33, 99):
        assert merged.percentile(percentage) == pytest.approx(np.percentile(arrays, percentage), abs=1e-12)


@pytest.mark.parametrize(("dtype", "over"), [("u2", "volume"), ("f4", "volume"), ("f4", "slice")])
def test_memory_is_bounded(dtype, over, monkeypatch):
    for name in ("SAMPLE_VOXELS", "_SLICE_VOXELS", "_PIECE_VOXELS"):
        monkeypatch.setattr(percentiles, name, 2**13)
    array = np.random.default_rng(0).integers(0, 50_000, (24, 400, 500)).astype(dtype)
    image = ImageInMask(ArrayVolume(array, chunks=(1, 400, 500)))
    tracemalloc.start()
    measure(by_percentiles(over), image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < array.nbytes / 2
