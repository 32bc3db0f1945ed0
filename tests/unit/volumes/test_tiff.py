"""The segmentation as TIFF."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile

from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.segmentation.export import export_tiff
from genenet.volumes.ome_zarr import Store
from genenet.volumes.opening import open_volume
from genenet.volumes.units import nm_per
from tests.support.stores import write_store


def make(path: Path, labels: np.ndarray, block=(8, 64, 64)) -> Store:
    classes = ["background", "cell", "α-granule"]
    return write_store(path, labels, block=block, classes=classes, voxel_size_nm=(50.0, 10.5, 10.0))


@pytest.mark.parametrize("shape", [(19, 100, 130), (1, 100, 130), (3, 1, 1)])
def test_export(tmp_path: Path, shape) -> None:
    labels = np.random.default_rng(0).integers(0, 3, shape).astype("u1")
    make(tmp_path / "a.ome.zarr", labels)
    export_tiff(tmp_path / "a.ome.zarr", tmp_path / "a.tif")
    assert {p.name for p in tmp_path.iterdir()} == {"a.ome.zarr", "a.tif"}
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif").reshape(shape), labels)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_bigtiff
        assert tif.is_ome
        assert len(tif.pages) == shape[0]
        assert tif.pages.first.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert "2 α-granule" in tif.ome_metadata
        pixels = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
        assert [pixels[f"Size{axis}"] for axis in "ZYX"] == list(shape)
    volume = open_volume(tmp_path / "a.tif")
    np.testing.assert_array_equal(volume.read(Box.of_shape(volume.shape)), labels)
    assert volume.voxel_size_nm == (50, 10.5, 10)


def test_export_leaves_nothing_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "a.ome.zarr", np.zeros((4, 50, 60), "u1"))

    def fails(*_):
        yield np.zeros((50, 60), "u1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("genenet.segmentation.export._pages", fails)
    with pytest.raises(OSError, match="No space left"):
        export_tiff(tmp_path / "a.ome.zarr", tmp_path / "a.tif")
    assert {p.name for p in tmp_path.iterdir()} == {"a.ome.zarr"}


def test_export_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a segmentation"):
        export_tiff(tmp_path / "none.ome.zarr", tmp_path / "a.tif")


def test_export_is_streamed(tmp_path: Path) -> None:
    labels = np.zeros((128, 512, 512), "u1")
    make(tmp_path / "a.ome.zarr", labels, block=(8, 512, 512))
    tracemalloc.start()
    export_tiff(tmp_path / "a.ome.zarr", tmp_path / "a.tif")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < labels.nbytes / 2


def test_units() -> None:
    assert nm_per("µm") == nm_per("micron") == nm_per("micrometer") == 1000
    assert nm_per("Angstrom") == nm_per("\u212b") == nm_per("\u00c5") == nm_per("ångströms") == 0.1
    assert nm_per("nanometers") == nm_per("Nanometres") == 1
    assert nm_per("ms") is None
    assert nm_per("pixel") is None
    assert nm_per(None) is None
