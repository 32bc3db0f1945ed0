"""Volumes resampled while they are read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import resize

from genenet.core.geometry import Box
from genenet.volumes.base import ArrayVolume
from genenet.volumes.grid import Grid
from genenet.volumes.rescale import RescaledVolume

SHAPE = (6, 20, 31)


def volume(image, voxel_size_nm=(40.0, 10.0, 10.0)):
    volume = ArrayVolume(image)
    volume.grid = Grid(voxel_size_nm)
    return volume


def whole(of):
    return of.read(Box.of_shape(of.shape))


@pytest.mark.parametrize("voxel_size_nm", [(40.0, 5.0, 4.0), (20.0, 10.0, 7.5), (13.0, 3.0, 10.0)])
def test_smaller_voxels_are_interpolated_linearly(voxel_size_nm):
    image = np.random.default_rng(0).normal(size=SHAPE)
    rescaled = RescaledVolume(volume(image), voxel_size_nm)
    expected = resize(image, rescaled.shape, order=1, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(whole(rescaled), expected, atol=1e-12)
    extent = np.multiply(rescaled.shape, rescaled.voxel_size_nm)
    np.testing.assert_allclose(extent, np.multiply(SHAPE, (40, 10, 10)))
    np.testing.assert_allclose(rescaled.voxel_size_nm, voxel_size_nm, rtol=0.06)


def test_larger_voxels_are_not_aliased():
    """Stripes finer than the new voxels become grey; a ramp stays one."""
    stripes = np.broadcast_to(np.arange(64) % 2 * np.uint8(200), (1, 64, 64))
    rescaled = RescaledVolume(volume(stripes), (40.0, 10.0, 40.0))
    assert rescaled.shape == (1, 64, 16)
    assert set(whole(rescaled)[:, :, 1:-1].ravel()) == {100}
    ramp = np.broadcast_to(np.arange(60.0), (3, 4, 60))
    coarse = whole(RescaledVolume(volume(ramp), (40.0, 10.0, 30.0)))
    np.testing.assert_allclose(coarse[0, 0, 1:-1], np.arange(1, 59, 3)[1:-1])


sizes = st.tuples(*[st.floats(4, 60)] * 3)


@given(sizes, st.data(), st.sampled_from(["uint8", "int16", "float32"]))
def test_a_voxel_does_not_depend_on_its_box(voxel_size_nm, data, dtype):
    image = np.random.default_rng(0).normal(0, 40, SHAPE).clip(-100, 100)
    image = (image + 100 if dtype == "uint8" else image).astype(dtype)
    rescaled = RescaledVolume(volume(image, (15.0, 10.0, 12.0)), voxel_size_nm)
    ends = [sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2))) for n in rescaled.shape]
    box = Box(*zip(*ends, strict=True))
    part = rescaled.read(box)
    assert (part.shape, part.dtype) == (box.shape, dtype)
    np.testing.assert_array_equal(part, whole(rescaled)[box.slices])
    assert whole(rescaled).min() >= image.min()
    assert whole(rescaled).max() <= image.max()


def test_the_same_voxels_are_the_same_image():
    image = np.random.default_rng(0).integers(0, 2**31, SHAPE)
    np.testing.assert_array_equal(whole(RescaledVolume(volume(image), (40.0, 10.0, 10.0))), image)


def test_boxes_outside_are_a_programming_error():
    with pytest.raises(ValueError, match="isn't inside"):
        RescaledVolume(volume(np.zeros(SHAPE)), (40.0, 5.0, 5.0)).read(Box((0, 0, 0), (1, 41, 1)))


def test_truth_values_are_rounded():
    image = np.zeros((1, 8, 8), bool)
    image[:, :, 3] = True
    image[:, 4:] = True
    coarse = whole(RescaledVolume(volume(image), (40.0, 20.0, 20.0)))
    assert coarse.dtype == bool
    np.testing.assert_array_equal(coarse[0, :, 0], [False, False, True, True])
    assert not coarse[0, 0].any()
