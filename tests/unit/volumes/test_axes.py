"""Names of axes: which axis of a file is z, and what is refused."""

import numpy as np
import pytest
import tifffile
import zarr

from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.volumes.opening import open_volume
from tests.support.dm_files import write_dm
from tests.support.zarr_files import write_ome_zarr

IMAGE = np.random.default_rng(0).integers(0, 100, (2, 40, 50)).astype("uint8")


def whole(volume):
    return volume.read(Box.of_shape(volume.shape))


def write(kind, path, axes):
    """Write IMAGE with the axes ``axes``; return what is to be opened."""
    if kind == "ome":
        tifffile.imwrite(path / "a.ome.tif", IMAGE, metadata={"axes": axes})
        return path / "a.ome.tif"
    if kind == "imagej":
        tifffile.imwrite(path / "a.tif", IMAGE, imagej=True, metadata={"axes": axes})
        return path / "a.tif"
    if kind == "dimension_names":
        zarr.create_array(path / "a.zarr", data=IMAGE, dimension_names=list(axes.lower()))
        return path / "a.zarr"
    transforms = [{"type": "scale", "scale": [1.0, 10.0, 5.0]}]
    write_ome_zarr(path / "a.zarr", IMAGE, axes.lower(), transforms)
    return path / "a.zarr" / ("0" if kind == "array inside an OME-Zarr" else "")


KINDS = ["ome", "imagej", "OME-Zarr", "array inside an OME-Zarr", "dimension_names"]


@pytest.mark.parametrize("kind", KINDS)
def test_channels_are_refused(tmp_path, kind):
    path = write(kind, tmp_path, "CYX")
    with pytest.raises(InputError, match=r"has 2 channels; give an image with one") as error:
        open_volume(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize("kind", KINDS)
def test_time_is_read_as_z_with_a_warning(tmp_path, kind, caplog):
    volume = open_volume(write(kind, tmp_path, "TYX"))
    np.testing.assert_array_equal(whole(volume), IMAGE)
    assert "has 2 time points, which are read as slices along z" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_z_is_read_without_a_word(tmp_path, kind, caplog):
    np.testing.assert_array_equal(whole(open_volume(write(kind, tmp_path, "ZYX"))), IMAGE)
    assert caplog.text == ""


NAMES = [
    ("Z", "Y", "X"),
    ("plane", "row", "col"),
    ("slices", "rows", "columns"),
    ("depth", "height", "width"),
]
NAMES += [("section", "Row", "COLUMN"), ("slice", "y", "x"), (None, None, None), ("dim_0", "dim_1", "dim_2")]


def write_named(kind, path, image, names):
    """Write an image with axes of these names; return what is to be opened."""
    if kind == "dimension_names":
        zarr.create_array(path / "a.zarr", data=image, dimension_names=names)
    elif kind == "as xarray writes format 2":
        array = zarr.create_array(path / "a.zarr", data=image, zarr_format=2)
        array.attrs["_ARRAY_DIMENSIONS"] = list(names)
    elif kind == "in a group, as xarray writes format 3":
        zarr.create_group(path / "a.zarr").create_array("em", data=image, dimension_names=names)
        return path / "a.zarr/em"
    else:
        write_ome_zarr(path / "a.zarr", image, names, [{"type": "scale", "scale": [40.0, 10.0, 5.0]}])
        return path / "a.zarr" / ("0" if kind == "array inside an OME-Zarr" else "")
    return path / "a.zarr"


KINDS_OF_ZARR = ["OME-Zarr", "array inside an OME-Zarr", "dimension_names"]
KINDS_OF_ZARR += ["as xarray writes format 2", "in a group, as xarray writes format 3"]


@pytest.mark.parametrize("kind", KINDS_OF_ZARR)
@pytest.mark.parametrize("names", NAMES)
def test_names_of_axes_that_programs_write(tmp_path, kind, names, caplog):
    if "OME" in kind and None in names:
        names = ("z", "y", "x")
    volume = open_volume(write_named(kind, tmp_path, IMAGE, names))
    np.testing.assert_array_equal(whole(volume), IMAGE)
    assert caplog.text == ""
    if "OME" in kind and names[0] != "dim_0":
        assert volume.voxel_size_nm == (40, 10, 5)


@pytest.mark.parametrize("kind", KINDS_OF_ZARR)
@pytest.mark.parametrize(
    "names", [("c", "row", "col"), ("channel", "height", "width"), ("C", "Y", "X"), ("Bands", "y", "x")]
)
def test_channels_of_any_name_are_refused(tmp_path, kind, names):
    with pytest.raises(InputError, match=r"has 2 channels; give an image with one"):
        open_volume(write_named(kind, tmp_path, IMAGE, names))


@pytest.mark.parametrize("kind", KINDS_OF_ZARR)
@pytest.mark.parametrize("names", [("stain", "y", "x"), ("z", "latitude", "longitude")])
def test_unknown_names_are_refused_with_those_that_are_known(tmp_path, kind, names):
    unknown = next(name for name in names if name not in "zyx")
    message = f"its axis '{unknown}' isn't known; name it x, y, z, c or t .*y: row, height; z: plane, slice"
    with pytest.raises(InputError, match=message) as error:
        open_volume(write_named(kind, tmp_path, IMAGE, names))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", KINDS_OF_ZARR)
def test_an_axis_of_one_place_may_have_any_name(tmp_path, kind):
    path = write_named(kind, tmp_path, IMAGE[:1], ("stain", "row", "col"))
    np.testing.assert_array_equal(whole(open_volume(path)), IMAGE[:1])


def test_two_axes_of_one_meaning_are_refused(tmp_path):
    image = np.zeros((2, 3, 40, 50), "u1")
    zarr.create_array(tmp_path / "a.zarr", data=image, dimension_names=("section", "plane", "y", "x"))
    with pytest.raises(InputError, match=r"has 4 dimensions, 2 x 3 x 40 x 50; save one 2D or 3D image"):
        open_volume(tmp_path / "a.zarr")
    zarr.create_array(tmp_path / "b.zarr", data=IMAGE, dimension_names=("row", "y", "x"))
    with pytest.raises(InputError, match=r"has 2 planes along y"):
        open_volume(tmp_path / "b.zarr")


def test_a_group_of_arrays_names_those_that_may_be_images(tmp_path):
    """As xarray writes a data set: an array for the image, and one for the coordinates of each axis."""
    group = zarr.create_group(tmp_path / "a.zarr")
    group.create_array("em", data=IMAGE, dimension_names=("z", "y", "x"))
    group.create_array("y", data=np.arange(40), dimension_names=("y",))
    with pytest.raises(InputError, match=r"give the path of an array inside of it, such as em$"):
        open_volume(tmp_path / "a.zarr")


@pytest.mark.parametrize(("letter", "name"), [("H", "lifetime"), ("E", "lambda"), ("A", "angle")])
def test_other_axes_of_ome_tiff_are_no_z(tmp_path, letter, name):
    metadata = {"axes": f"{letter}YX"}
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, photometric="minisblack", metadata=metadata)
    with pytest.raises(InputError, match=f"has 2 planes along {name}"):
        open_volume(tmp_path / "a.tif")


def test_axes_in_another_order_are_refused(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=IMAGE, dimension_names=["x", "y", "z"])
    with pytest.raises(InputError, match=r"its axes are x, y, z; they must end in y, x"):
        open_volume(tmp_path / "a.zarr")


@pytest.mark.parametrize("name", ["dim", "phony_dim"])
def test_names_without_a_known_meaning_name_nothing(tmp_path, name):
    """As xarray and netCDF write them by default."""
    zarr.create_array(tmp_path / "a.zarr", data=IMAGE, dimension_names=[f"{name}_{i}" for i in range(3)])
    np.testing.assert_array_equal(whole(open_volume(tmp_path / "a.zarr")), IMAGE)


def test_spectra_of_dm_are_refused(tmp_path):
    write_dm(tmp_path / "a.dm3", IMAGE, version=3, units=("nm", "nm", "eV"))
    with pytest.raises(InputError, match=r"a\.dm3: has 2 planes along energy"):
        open_volume(tmp_path / "a.dm3")
