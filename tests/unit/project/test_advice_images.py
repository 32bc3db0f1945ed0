"""The advice of docs/troubleshooting.md about images: each message is met, then the advice is followed."""

import gzip
import json
import re
import shutil
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
import yaml
import zarr

from genenet.config.model import check_config, read_config
from genenet.config.stages import stage_settings
from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.training.prepare import prepare
from genenet.training.prepared import open_prepared
from genenet.volumes import ome_zarr
from genenet.volumes.opening import open_volume
from tests.support.configs import ROOT, changed
from tests.support.ensembles import job, write_ensemble

PAGE = (ROOT / "docs/troubleshooting.md").read_text()
IMAGE = np.random.default_rng(0).integers(0, 200, (3, 80, 90)).astype("uint8")
LABELS = np.random.default_rng(1).integers(0, 7, IMAGE.shape).astype("uint8")  # config.yaml has seven classes


def save(name, array):
    tifffile.imwrite(name, array, photometric="minisblack")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """The folder in which genenet is started, with an image and labels that fit."""
    monkeypatch.chdir(tmp_path)
    save("image.tif", IMAGE)
    save("labels.tif", LABELS)
    return tmp_path


def config(image=None, net=None, **data):
    values = changed("data.train", [{"path": "image.tif", "labels": "labels.tif", **(image or {})}])
    values["data"].update(data)
    values["search"]["regions"]["net"].update(net or {})
    return values


def prepared(image=None, **changes):
    """The image as ``genenet prepare`` packs it for these keys of an image, of ``data:``, of the region ``net:``."""
    settings = stage_settings(check_config(config(image, **changes)), "prepare_train")
    prepare(settings, Path("train.zarr.zip"))
    (image,) = open_prepared(Path("train.zarr.zip")).images
    return image


def refused(message, image=None, **changes):
    """The same is refused with this message, which the page explains."""
    with pytest.raises(InputError, match=re.escape(message)):
        prepared(image, **changes)


def voxels(path):
    volume = open_volume(Path(path))
    return volume.read(Box.of_shape(volume.shape))


def test_paths_are_relative_to_the_folder_of_the_start(place, monkeypatch):
    (place / "configs").mkdir()
    Path("configs/mine.yaml").write_text(yaml.safe_dump(config()))

    def train():
        return prepare(
            stage_settings(read_config(place / "configs/mine.yaml"), "prepare_train"), place / "a.zip"
        )

    monkeypatch.chdir(place / "configs")
    with pytest.raises(InputError, match=r"image\.tif: no such file"):
        train()
    monkeypatch.chdir(place)
    train()


def test_a_format_that_is_not_read():
    np.save("image.npy", IMAGE)
    refused("image.npy: NumPy isn't read; ", {"path": "image.npy"})
    Path("image.txt").write_text("no image")
    refused("image.txt: not an image of a known format; ", {"path": "image.txt"})
    Path("image.tif.gz").write_bytes(gzip.compress(Path("image.tif").read_bytes()))
    refused("gzip isn't read; unpack the file first", {"path": "image.tif.gz"})
    Path("unpacked.tif").write_bytes(gzip.decompress(Path("image.tif.gz").read_bytes()))
    np.testing.assert_array_equal(prepared({"path": "unpacked.tif"}).image[...], IMAGE)


def test_swapped_axes_and_missing_slices():
    save("labels.tif", LABELS.transpose(2, 1, 0))
    refused(
        "labels.tif: its shape 90 x 80 x 3 isn't that of image.tif, 3 x 80 x 90; each voxel needs a value"
    )
    save("labels.tif", LABELS[:2])
    refused("labels.tif: its shape 2 x 80 x 90 isn't that of image.tif")
    save("labels.tif", LABELS)
    np.testing.assert_array_equal(prepared().labels[...], LABELS)


def test_labels_saved_as_floats(caplog):
    """The line of Python on the page is run, with and without ``photometric``."""
    (line,) = re.findall(r"`(tifffile\.imwrite\(.+?\))`", PAGE)
    save("labels.tif", LABELS.astype("float32"))
    refused("labels.tif: labels are float32; save the class ids as integers")
    exec(line, {"tifffile": tifffile, "labels": LABELS.astype("float32")})
    np.testing.assert_array_equal(prepared().labels[...], LABELS)
    assert "they are read as slices" not in caplog.text
    short = line.replace(', photometric="minisblack"', "")
    assert short != line
    with pytest.warns(DeprecationWarning, match="stored as RGB"):
        exec(short, {"tifffile": tifffile, "labels": LABELS.astype("float32")})
    np.testing.assert_array_equal(prepared().labels[...], LABELS)
    assert "they are read as slices" in caplog.text


def test_an_id_without_a_class():
    labels = LABELS.copy()
    labels[1, 2, 3] = 7
    save("labels.tif", labels)
    message = "label 7 (1 voxels, the first at z, y, x = (1, 2, 3)) is none of the 7 classes"
    refused(message)
    names = [*(f"class {i}" for i in range(7)), "vesicle"]
    np.testing.assert_array_equal(prepared(classes=names).labels[...], labels)
    assert prepared(ignore_label=7).labels[1, 2, 3] == 255
    negative = labels.astype("int16")
    negative[1, 2, 3] = -1
    save("labels.tif", negative)
    assert prepared(ignore_label=-1).labels[1, 2, 3] == 255
    save("labels.tif", LABELS + np.uint8(1))  # 0 means "not labelled", the first class has label 1
    np.testing.assert_array_equal(prepared(ignore_label=0).labels[...], LABELS)


def test_labels_that_number_objects():
    objects = LABELS.astype("uint16") * 100
    save("labels.tif", objects)
    refused("is none of the 7 classes")
    save("labels.tif", (objects > 0).astype("uint8"))
    np.testing.assert_array_equal(prepared(classes=["background", "cell"]).labels[...], LABELS > 0)


def test_a_place_without_labels():
    labels = LABELS.copy()
    labels[0] = 255
    save("labels.tif", labels)
    mask = np.ones_like(LABELS)
    mask[1] = 0
    save("mask.tif", mask)
    first, second, third = ([[z, z + 1], None, None] for z in range(3))
    refused("all voxels are ignored", {"region": first}, ignore_label=255)
    refused("all voxels are ignored", {"region": second, "mask": "mask.tif"}, ignore_label=255)
    image = prepared({"region": third, "mask": "mask.tif"}, ignore_label=255)
    np.testing.assert_array_equal(image.labels[...], LABELS[2:])


def test_a_colour_image():
    """The mean of the three colours is what Fiji's menu item saves."""
    tifffile.imwrite("image.tif", np.stack([IMAGE[0]] * 3, axis=-1), photometric="rgb")
    save("labels.tif", LABELS[0])
    refused("image.tif: is an RGB image; convert to greyscale")
    save("image.tif", tifffile.imread("image.tif").mean(axis=-1).astype("uint8"))
    np.testing.assert_array_equal(prepared().image[...], IMAGE[:1])


def test_a_picture_in_false_colours():
    """With the colours that Fiji's menu item sets the file holds grey values; labels may have any colours."""
    ramp = np.arange(256, dtype="uint16") * 257
    fire, grays = np.stack([ramp, ramp // 2, ramp[::-1]]), np.stack([ramp] * 3)
    tifffile.imwrite("image.tif", IMAGE, photometric="palette", colormap=fire)
    refused("image.tif: is a picture with a colour table; ")
    tifffile.imwrite("image.tif", IMAGE, photometric="palette", colormap=grays)
    tifffile.imwrite("labels.tif", LABELS, photometric="palette", colormap=fire)
    image = prepared()
    np.testing.assert_array_equal(image.image[...], IMAGE)
    np.testing.assert_array_equal(image.labels[...], LABELS)


def test_several_channels_or_images_in_a_file():
    tifffile.imwrite("image.ome.tif", IMAGE, metadata={"axes": "CYX"}, photometric="minisblack")
    refused("image.ome.tif: has 3 channels; ", {"path": "image.ome.tif"})
    tifffile.imwrite("image.ome.tif", IMAGE, metadata={"axes": "ZYX"}, photometric="minisblack")
    np.testing.assert_array_equal(prepared({"path": "image.ome.tif"}).image[...], IMAGE)
    save("image.tif", np.stack([IMAGE, IMAGE + np.uint8(1)]))
    refused("has 4 dimensions, 2 x 3 x 80 x 90; save one 2D or 3D image as a file")
    with tifffile.TiffWriter("image.tif") as file:
        file.write(IMAGE[0])
        file.write(IMAGE[0, :20, :30])
    refused("image.tif: holds 2 images (80 x 90, 20 x 30)")
    save("image.tif", IMAGE)
    np.testing.assert_array_equal(prepared().image[...], IMAGE)


@pytest.mark.parametrize(("flip", "rows"), [(["y"], slice(None, None, -1)), ([], slice(None))])
def test_mrc_and_labels_in_another_format(flip, rows):
    mrcfile.write("image.mrc", IMAGE.astype("int16"))
    refused("image.mrc: is MRC, whose first row is the bottom one, and ", {"path": "image.mrc"})
    image = prepared({"path": "image.mrc", "flip": flip})
    np.testing.assert_array_equal(image.image[...], IMAGE[:, rows])
    np.testing.assert_array_equal(image.labels[...], LABELS)


@pytest.mark.parametrize("n_slices", [2, 9])
def test_old_metadata(caplog, n_slices):
    with tifffile.TiffWriter("image.tif") as file:
        for page in IMAGE:
            description = f"ImageJ=1.54f\nimages={n_slices}\nslices={n_slices}\n"
            file.write(page, description=description, metadata=None, contiguous=False)
    message = f"its ImageJ metadata describe {n_slices} slices, but it has 3"
    if n_slices > len(IMAGE):
        refused(f"{message}; it is truncated, or")
    else:
        np.testing.assert_array_equal(voxels("image.tif"), IMAGE)
        assert f"{message}, and all are read" in caplog.text
    tifffile.imwrite("image.tif", IMAGE, imagej=True, metadata={"axes": "ZYX"})  # saved again
    caplog.clear()
    np.testing.assert_array_equal(prepared().image[...], IMAGE)
    assert "metadata describe" not in caplog.text


def test_a_resolution_for_printing(caplog):
    write_ensemble(Path("ensemble"))
    inches = {"axes": "ZYX", "unit": "inch"}
    tifffile.imwrite("image.tif", IMAGE, imagej=True, resolution=(72, 72), metadata=inches)
    message = "says that its voxels are 352778 nm along x, which isn't a microscope's"
    job(Path(), source={"voxel_size_nm": (40, 8, 8)}).run()
    assert message in caplog.text
    assert ome_zarr.open_store(Path("a.ome.zarr")).attributes["voxel_size_nm"] == [40, 8, 8]
    caplog.clear()
    tifffile.imwrite(
        "image.tif", IMAGE, imagej=True, resolution=(1 / 8, 1 / 8), metadata={"axes": "ZYX", "unit": "nm"}
    )
    assert open_volume(Path("image.tif")).grid.sizes_nm[1:] == (8, 8)
    assert message not in caplog.text


def test_padding_that_is_no_number():
    image = IMAGE.astype("float32")
    image[:, :10] = np.nan
    save("image.tif", image)
    refused("image.tif: holds NaN or infinite voxels")
    np.testing.assert_array_equal(prepared({"region": [None, [10, 80], None]}).image[...], IMAGE[:, 10:])
    save("mask.tif", np.isfinite(image).astype("uint8"))
    assert prepared({"mask": "mask.tif"}).image.shape == IMAGE.shape


def test_padding_without_contrast():
    save("image.tif", np.concatenate([np.full_like(IMAGE, 7), IMAGE], axis=2))
    save("labels.tif", np.concatenate([LABELS, LABELS], axis=2))
    refused("all voxels are 7; an image with contrast is needed", {"region": [None, None, [0, 90]]})
    np.testing.assert_array_equal(prepared({"region": [None, None, [90, 180]]}).image[...], IMAGE)


def test_a_copy_that_is_incomplete():
    mrcfile.write("image.mrc", IMAGE)
    content = Path("image.mrc").read_bytes()
    Path("image.mrc").write_bytes(content[:-1])
    with pytest.raises(InputError, match="is truncated, its voxels should reach beyond the end of the file"):
        open_volume(Path("image.mrc"))
    Path("image.mrc").write_bytes(content)
    np.testing.assert_array_equal(voxels("image.mrc"), IMAGE)

    zarr.create_array("whole.zarr", data=IMAGE, chunks=(1, 80, 90))
    shutil.copytree("whole.zarr", "image.zarr", ignore=shutil.ignore_patterns("c"))
    refused("not one of its 3 chunks is there; copy it anew", {"path": "image.zarr"})
    shutil.rmtree("image.zarr")
    shutil.copytree("whole.zarr", "image.zarr")
    np.testing.assert_array_equal(prepared({"path": "image.zarr"}).image[...], IMAGE)


def test_chunks_that_are_too_large():
    zarr.create_array("image.zarr", data=IMAGE)
    metadata = json.loads(Path("image.zarr/zarr.json").read_text())

    def chunked(*shape):
        metadata["shape"] = [10**4] * 3
        metadata["chunk_grid"]["configuration"]["chunk_shape"] = shape
        Path("image.zarr/zarr.json").write_text(json.dumps(metadata))
        return open_volume(Path("image.zarr"))

    with pytest.raises(
        InputError, match="is stored in pieces of .* GB each, and a piece is decoded as a whole"
    ):
        chunked(10**4, 10**4, 10**4)
    assert chunked(64, 512, 512).shape == (10**4,) * 3


def test_an_image_smaller_than_every_patch():
    message = "smaller than every genome's input: at least 100 x 100 are needed"
    refused(message, net={"input_size": [100, 128]})
    assert prepared(net={"input_size": [48, 96]}).image.shape == IMAGE.shape
