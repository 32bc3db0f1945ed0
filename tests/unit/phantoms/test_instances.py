"""The numbers of the phantom's objects."""

from functools import cache

import cc3d
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from genenet.core.errors import InputError
from genenet.phantoms.instances import site_number
from genenet.phantoms.objects import OBJECTS
from genenet.phantoms.organelles import KINDS, MOST_OF_A_KIND
from genenet.phantoms.phantom import CLASSES, VOXEL_SIZE_NM, numbered_slabs, slabs, write_phantom
from genenet.phantoms.platelets import site_key
from genenet.volumes.readers.tiff import open_tiff

SHAPE = (20, 300, 320)
SITES = st.tuples(*[st.integers(-8, 395)] * 3)


@cache
def volume(shape=SHAPE, seed=1, slab_height=8):
    """Labels (Z, Y, X), and the numbers of each class."""
    parts = list(numbered_slabs(shape, seed, list(OBJECTS), slab_height))
    ids = {name: np.concatenate([part.instances[name] for part in parts]) for name in OBJECTS}
    return np.concatenate([part.labels for part in parts]), ids


def pairs_of(ids, others):
    """The numbers that objects have in two volumes, each pair once."""
    pairs = np.unique(ids[ids > 0].astype(np.uint64) << np.uint64(32) | others[ids > 0])
    return pairs >> np.uint64(32), pairs & np.uint64(2**32 - 1)


def on_the_border(ids):
    """The numbers of objects that the border of the volume may cut."""
    faces = (np.take(ids, index, axis) for axis in range(3) for index in (0, -1))
    return np.concatenate([np.unique(face) for face in faces])


@given(SITES, SITES)
def test_each_site_has_its_own_number_of_26_bits(a, b):
    assert 0 <= site_number(a) < 2**26
    assert (site_number(a) == site_number(b)) == (a == b)


def test_sites_near_the_corner_have_the_smallest_numbers():
    first = {tuple(np.array(i) - site_key((0, 0, 0))) for i in np.ndindex(5, 5, 5)}
    assert {site_number(tuple(map(int, site))) for site in first} == set(range(125))


def test_every_organelle_of_a_platelet_has_a_number():
    assert all(kind.count <= MOST_OF_A_KIND for kind in KINDS)


def test_objects_consist_of_the_voxels_of_their_classes():
    labels, ids = volume()
    for name, of in OBJECTS.items():
        np.testing.assert_array_equal(ids[name] > 0, np.isin(labels, of))
        assert ids[name].dtype == np.uint32
        assert CLASSES.index(name) == of[0]


def test_an_organelle_lies_in_one_cell_and_two_cells_share_none():
    _, ids = volume()
    for name in set(OBJECTS) - {"cell"}:
        organelles, cells = pairs_of(ids[name], ids["cell"])
        assert len(organelles) == len(np.unique(organelles)) > len(np.unique(cells))


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_that_the_border_does_not_cut_is_one_piece(name):
    _, ids = volume()
    pieces = cc3d.connected_components(ids[name], connectivity=26)
    numbers, n_pieces = np.unique(pairs_of(ids[name], pieces)[0], return_counts=True)
    assert len(numbers) > 20
    assert (n_pieces[~np.isin(numbers, on_the_border(ids[name]))] == 1).all()
    assert (n_pieces > 1).sum() <= 2


@pytest.mark.parametrize("name", ["alpha granule", "canalicular vessel"])
def test_some_objects_touch_so_components_of_the_class_are_fewer(name):
    _, ids = volume()
    components = cc3d.connected_components((ids[name] > 0).astype(np.uint8), connectivity=26)
    assert components.max() < 0.95 * (len(np.unique(ids[name])) - 1)


@pytest.mark.parametrize(("shape", "slab_height"), [((3, 70, 255), 1), ((20, 131, 200), 7)])
def test_a_larger_volume_contains_the_smaller_with_its_numbers(shape, slab_height):
    _, whole = volume()
    _, part = volume(shape, 1, slab_height)
    z, y, x = shape
    for name in OBJECTS:
        np.testing.assert_array_equal(part[name], whole[name][:z, :y, :x])


def test_numbering_changes_no_voxel():
    labels, _ = volume()
    np.testing.assert_array_equal(np.concatenate([labels for _, _, labels in slabs(SHAPE, 1)]), labels)


def test_written_numbers_read_back(tmp_path):
    shape, names = (3, 60, 80), ["cell", "alpha granule"]
    files = {name: tmp_path / f"{name}.tif" for name in names}
    write_phantom(shape, 1, tmp_path / "image.tif", tmp_path / "labels.tif", files)
    _, ids = volume(shape)
    for name, path in files.items():
        np.testing.assert_array_equal(tifffile.imread(path), ids[name])
        assert tifffile.imread(path).dtype == np.uint32
        assert open_tiff(path).sizes_nm == dict(zip("zyx", VOXEL_SIZE_NM, strict=True))
        assert path.stat().st_size < 0.2 * ids[name].nbytes


def test_what_has_no_numbers_is_refused_at_once():
    with pytest.raises(InputError, match="instances of nucleus: the phantom numbers the objects of cell,"):
        numbered_slabs((1, 8, 8), 0, ["nucleus"])
    for shape in [(10_900, 8, 8), (1, 40_000, 8), (1, 8, 52_000)]:
        with pytest.raises(InputError, match="too large for objects with numbers of 32 bits"):
            numbered_slabs(shape, 0, ["cell"])
        slabs(shape, 0)
    numbered_slabs((10_000, 39_000, 51_000), 0, ["cell"])
