"""Volumes that aren't what the ensemble was trained on."""

import re

import numpy as np
import pytest
import tifffile
import zarr
from typer.testing import CliRunner

from genenet.cli.main import app
from genenet.core.errors import InputError
from genenet.ensembles.ensemble import load_ensemble
from genenet.segmentation.suitability import warn_of_other_images
from genenet.volumes import ome_zarr
from genenet.volumes.base import ArrayVolume
from tests.support.ensembles import arrays, job, write_ensemble, write_image


@pytest.fixture
def folder(tmp_path):
    write_ensemble(tmp_path / "ensemble", dtypes=["uint8"])
    write_image(tmp_path)
    return tmp_path


def said(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_what_suits_is_not_talked_about(folder, caplog):
    job(folder, source={"voxel_size_nm": (41, 10, 10.2)}).run()
    assert said(caplog) == []


def test_another_voxel_size_is_said_and_kept_in_the_store(folder, caplog):
    job(folder, source={"voxel_size_nm": (40, 8, 8)}).run()
    (message,) = said(caplog)
    assert (
        "image.tif: has voxels of (40.0, 8.0, 8.0) nm, the ensemble was trained on (40.0, 10.0, 10.0)"
        in message
    )
    assert "--rescale" in message
    store = ome_zarr.open_store(folder / "a.ome.zarr")
    assert (store.shape, store.attributes["voxel_size_nm"]) == ((4, 70, 90), [40, 8, 8])


def test_rescaled_it_has_the_ensembles_voxels(folder, caplog):
    """An image enlarged twofold, rescaled, gives what the image gives."""
    image = tifffile.imread(folder / "image.tif")
    smooth = np.cumsum(image.astype(float), axis=2)
    smooth = (smooth - smooth.min()) / np.ptp(smooth) * 250
    tifffile.imwrite(folder / "image.tif", smooth.round().astype("u1"), photometric="minisblack")
    large = smooth.round().astype("u1").repeat(2, axis=1).repeat(2, axis=2)
    tifffile.imwrite(folder / "large.tif", large, photometric="minisblack", compression="zlib")
    job(folder, "plain.ome.zarr").run()
    source = {"voxel_size_nm": (35, 5, 5)}  # along z nothing changes: the networks are 2D
    job(folder, image="large.tif", source=source, rescale=True).run()
    assert said(caplog) == []
    store = ome_zarr.open_store(folder / "a.ome.zarr")
    assert (store.shape, store.attributes["voxel_size_nm"]) == ((4, 70, 90), [35, 10, 10])
    assert store.attributes["warnings"] == []
    (a, _), (b, _) = arrays(folder / "plain.ome.zarr"), arrays(folder / "a.ome.zarr")
    assert np.abs(a - b).max() < 0.05


def test_what_cannot_be_rescaled(folder):
    with pytest.raises(
        InputError, match=r"image\.tif: its file doesn't say its voxel size, so it can't be rescaled"
    ):
        job(folder, rescale=True).run()
    source = {"voxel_size_nm": (40, 5, 5), "mask": [folder / "image.tif"]}
    with pytest.raises(InputError, match=r"image\.tif: has labels or a mask, which aren't rescaled with it"):
        job(folder, source=source, rescale=True).run()


@pytest.mark.parametrize("mode", ["volume", "training"])
def test_another_type_of_voxels(tmp_path, mode, caplog):
    write_ensemble(tmp_path / "ensemble", dtypes=["uint16"], mode=mode)
    write_image(tmp_path)
    job(tmp_path).run()
    (message,) = said(caplog)
    assert "image.tif: its voxels are uint8, the ensemble was trained on uint16" in message
    assert message.endswith(f"normalisation: {mode}")


def test_other_values_than_those_of_the_training_images(tmp_path, caplog):
    normalisation = {"mode": "training", "mean": 30000.0, "deviation": 5000.0}
    write_ensemble(tmp_path / "ensemble", normalisation=normalisation)
    write_image(tmp_path)
    job(tmp_path).run()
    (message,) = said(caplog)
    assert "image.tif: its voxels are 127 ± 74, those of the training images 3e+04 ± 5e+03" in message


@pytest.mark.parametrize(("inside", "warns"), [(127, False), (9000, True)])
def test_values_are_compared_inside_a_small_mask(tmp_path, caplog, inside, warns):
    """The mask is a thousandth of the volume, which is too large to be read as a whole."""
    rng = np.random.default_rng(0)
    image, mask = np.full((4, 800, 900), 50_000, "u2"), np.zeros((4, 800, 900), "u1")
    at = (slice(1, 2), slice(300, 350), slice(700, 760))
    image[at], mask[at] = rng.normal(inside, 74, mask[at].shape).clip(0), 1
    ensemble = load_ensemble(write_ensemble(tmp_path / "ensemble", mode="training"))
    warn_of_other_images(ArrayVolume(image, chunks=(1, 64, 64)), ensemble, ArrayVolume(mask))
    assert ["its voxels are" in line for line in said(caplog)] == [True] * warns


@pytest.mark.parametrize(("mode", "depth", "warns"), [("3d", 1, True), ("3d", 2, False), ("2.5d", 1, False)])
def test_a_slice_for_3d_networks(tmp_path, caplog, mode, depth, warns):
    write_ensemble(
        tmp_path / "ensemble", dtypes=["uint8"], net={"spatial_mode": ["2d", "3d", "2.5d"].index(mode)}
    )
    write_image(tmp_path, (depth, 40, 40))
    job(tmp_path).run()
    ome_zarr.open_store(tmp_path / "a.ome.zarr").check_complete()
    message = "image.tif: is a single slice, and the ensemble's networks are 3D"
    assert [message in line for line in said(caplog)] == [True] * warns


def test_missing_chunks_are_said(folder, caplog):
    image = tifffile.imread(folder / "image.tif")
    zarr.create_array(folder / "image.zarr", data=image, chunks=(2, 35, 45))
    (folder / "image.zarr/c/1/0/1").unlink()
    job(folder, image="image.zarr").run()
    (message,) = said(caplog)
    assert "image.zarr: 1 of its 8 chunks have no file and are read as 0; if the image isn't empty" in message


def test_region_mask_and_voxel_size_on_the_command_line(folder):
    tifffile.imwrite(folder / "mask.tif", np.ones((4, 70, 90), "u1"), photometric="minisblack")
    start = [
        "segment",
        "--ensemble",
        folder / "ensemble",
        folder / "image.tif",
        "--out",
        folder / "a.ome.zarr",
    ]

    def run(*options):
        return CliRunner().invoke(app, [str(a) for a in (*start, "--device", "cpu", *options)])

    done = run("--region", "1:3,:,10:90", "--mask", folder / "mask.tif", "--voxel-size", "40x9x10")
    assert done.exit_code == 0, done.exception
    store = ome_zarr.open_store(folder / "a.ome.zarr")
    assert (store.shape, store.attributes["voxel_size_nm"]) == ((2, 70, 80), [40, 9, 10])
    assert run("--voxel-size", "40x5x5", "--rescale").exit_code == 0
    assert ome_zarr.open_store(folder / "a.ome.zarr").shape == (4, 35, 45)
    for options, message in {
        ("--region", "1:3,10:90"): "--region 1:3,10:90: give start:stop along z, y and x",
        ("--region", "3:99,:,:"): r"image.tif: region \[3, 99\] along z reaches outside",
        ("--region", "a:b,:,:"): "segment: volume.region.0.0: input should be a valid integer",
        ("--voxel-size", "10x10"): "--voxel-size 10x10: give nm along z, y, x, such as 40x10x10",
    }.items():
        assert re.search(message, str(run(*options).exception)), options
