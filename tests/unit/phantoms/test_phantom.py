import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
import tifffile

from genenet.core.errors import InputError
from genenet.phantoms.phantom import CLASSES, VOXEL_SIZE_NM, slabs, write_phantom
from genenet.volumes.readers.tiff import open_tiff

SMALL = (8, 256, 256)
BACKGROUND, CELL, BODY, CORE = 0, 1, 5, 6


def volume(shape, seed, slab_height=8):
    _, images, labels = zip(*slabs(shape, seed, slab_height), strict=True)
    return np.concatenate(images), np.concatenate(labels)


@pytest.fixture(scope="module")
def phantom():
    return volume((12, 256, 256), 1)


def neighbours_in_slice(labels):
    """The labels of the four neighbours, (4, Z, Y, X); the border's are its own."""
    padded = np.pad(labels, ((0, 0), (1, 1), (1, 1)), mode="edge")
    views = padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]
    return np.stack(views)


def test_slabs_come_in_order_and_cover_the_volume():
    parts = slabs((7, 20, 30), seed=0, slab_height=3)
    assert isinstance(parts, Iterator)
    assert [(z0, image.shape, labels.shape) for z0, image, labels in parts] == [
        (0, (3, 20, 30), (3, 20, 30)),
        (3, (3, 20, 30), (3, 20, 30)),
        (6, (1, 20, 30), (1, 20, 30)),
    ]


def test_the_seed_decides_every_voxel():
    shape = (3, 100, 120)
    first, again, other = volume(shape, 5), volume(shape, 5), volume(shape, 6)
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()


@pytest.mark.parametrize("slab_height", [1, 5])
def test_slab_height_changes_nothing(phantom, slab_height):
    for expected, part in zip(phantom, volume((12, 256, 256), 1, slab_height), strict=True):
        np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("shape", [(3, 70, 255), (1, 1, 1), (5, 131, 200)])
def test_a_larger_volume_contains_the_smaller(phantom, shape):
    z, y, x = shape
    for whole, part in zip(phantom, volume(shape, 1), strict=True):
        np.testing.assert_array_equal(part, whole[:z, :y, :x])


@pytest.mark.parametrize("seed", [0, 2**40])
def test_every_class_occurs(seed):
    image, labels = volume(SMALL, seed)
    assert image.dtype == labels.dtype == np.uint8
    counts = np.bincount(labels.ravel(), minlength=len(CLASSES))
    assert len(counts) == len(CLASSES)
    assert (counts > 150).all()
    assert 0.25 < counts[BACKGROUND] / labels.size < 0.7


def test_organelles_lie_inside_of_cells(phantom):
    _, labels = phantom
    around = neighbours_in_slice(labels)
    assert not (around[:, labels > CELL] == BACKGROUND).any()


def test_cores_lie_inside_of_dense_bodies(phantom):
    _, labels = phantom
    around = neighbours_in_slice(labels)[:, labels == CORE]
    assert np.isin(around, (BODY, CORE)).mean() > 0.99
    assert (around == BODY).any()


def test_objects_are_as_anisotropic_as_the_voxels(phantom):
    """A step to the next slice is four pixels long: it changes the label about as often as four pixels do."""
    _, labels = phantom
    by_slice = (labels[1:] != labels[:-1]).mean()
    by_pixels = (labels[:, :, 4:] != labels[:, :, :-4]).mean()
    assert 0.6 < by_slice / by_pixels < 1.6


def test_grey_levels_overlap_yet_tell_something(phantom):
    image, labels = phantom
    means = [image[labels == label].mean() for label in range(len(CLASSES))]
    assert means[CORE] < means[2] < means[CELL] < means[BACKGROUND]
    mitochondrion, alpha, cell = (image[labels == label] for label in (2, 3, CELL))
    assert np.percentile(mitochondrion, 75) > np.percentile(alpha, 25)
    assert np.percentile(alpha, 90) > np.percentile(cell, 10)


def test_contrast_varies_from_slice_to_slice(phantom):
    image, labels = phantom
    background = [part[where].mean() for part, where in zip(image, labels == BACKGROUND, strict=True)]
    assert np.std(background) > 1


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_slices():
    def peak(n_slices):
        tracemalloc.start()
        for _ in slabs((n_slices, 128, 128), seed=0, slab_height=1):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(20) < 1.5 * peak(3)


@pytest.mark.parametrize("shape", [(5, 40, 60), (1, 33, 47)])
def test_written_stacks_read_back(tmp_path, shape):
    paths = tmp_path / "new" / "image.tif", tmp_path / "new" / "labels.tif"
    write_phantom(shape, 3, *paths)
    assert sorted(paths[0].parent.iterdir()) == sorted(paths)
    for path, expected in zip(paths, volume(shape, 3), strict=True):
        with tifffile.TiffFile(path) as tif:
            assert tif.is_ome
            assert len(tif.pages) == shape[0]
            assert tif.series[0].axes == "".join(a for a, n in zip("ZYX", shape, strict=True) if n > 1)
        array = tifffile.imread(path)
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array.reshape(shape), expected)
        assert open_tiff(path).sizes_nm == dict(zip("zyx", VOXEL_SIZE_NM, strict=True))


def test_the_written_image_can_be_mapped_and_the_labels_are_small(tmp_path):
    image, labels = tmp_path / "image.tif", tmp_path / "labels.tif"
    write_phantom((4, 200, 200), 0, image, labels)
    assert tifffile.memmap(image, mode="r").shape == (4, 200, 200)
    assert labels.stat().st_size < 0.1 * image.stat().st_size


@pytest.mark.parametrize("shape", [(0, 8, 8), (8, 8), (8, 8, 8, 8), (8, -1, 8), (8, 8.0, 8), (True, 8, 8)])
def test_a_bad_shape_is_refused_at_once(tmp_path, shape):
    with pytest.raises(InputError, match=r"three positive integers") as error:
        slabs(shape, 0)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"three positive integers"):
        write_phantom(shape, 0, tmp_path / "image.tif", tmp_path / "labels.tif")
    assert not list(tmp_path.iterdir())


def test_other_bad_arguments_are_refused():
    with pytest.raises(InputError, match="seed -1"):
        slabs((1, 1, 1), -1)
    with pytest.raises(InputError, match="slab_height 0"):
        slabs((1, 1, 1), 0, slab_height=0)
