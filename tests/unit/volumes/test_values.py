"""Values mean what their format says: inverted greys, IMOD's signed bytes, labels that mean nothing."""

import mrcfile
import numpy as np
import pytest
import tifffile

import genenet
from genenet.config.data import Data
from genenet.config.settings import ImageFiles, PrepareSettings
from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.segmentation.evaluation import evaluate_store
from genenet.training.prepare import prepare
from genenet.training.prepared import open_prepared
from genenet.volumes.base import ArrayVolume
from genenet.volumes.labels import ShownLabels
from genenet.volumes.normalisation import Normalisation
from genenet.volumes.opening import open_volume
from genenet.volumes.statistics import image_statistics
from tests.support.ensembles import arrays, job, write_ensemble

IMAGE = np.random.default_rng(0).integers(0, 100, (3, 40, 50)).astype("uint8")


def whole(volume):
    return volume.read(Box.of_shape(volume.shape))


def normalised(volume):
    return Normalisation(*image_statistics(volume, per_slice=False)).apply(whole(volume), 0)


TILED = {"compression": "zlib", "tile": (16, 16)}
IMAGEJ = {"imagej": True, "metadata": {"axes": "ZYX"}}
INVERTED = [(dtype, {}) for dtype in ("uint8", "uint16", "int16", "float32", "bool")]
INVERTED += [(dtype, options) for dtype in ("uint8", "uint16", "float32") for options in (TILED, IMAGEJ)]


@pytest.mark.parametrize(("dtype", "options"), INVERTED)
def test_white_is_zero_is_the_negative(tmp_path, dtype, options):
    """The same picture as other programs show; the numbers of labels and masks stay."""
    image = IMAGE > 50 if dtype == "bool" else IMAGE.astype(dtype)
    tifffile.imwrite(tmp_path / "plain.tif", image, photometric="minisblack")
    tifffile.imwrite(tmp_path / "inverted.tif", image, photometric="miniswhite", **options)
    plain, inverted = open_volume(tmp_path / "plain.tif"), open_volume(tmp_path / "inverted.tif")
    assert inverted.dtype == dtype
    np.testing.assert_allclose(
        normalised(inverted), -normalised(plain), atol=1e-4
    )  # uint16 is shifted in float32
    labels = open_volume(tmp_path / "inverted.tif", is_grey=False)
    np.testing.assert_array_equal(whole(labels), image)


def test_slices_of_which_some_are_inverted(tmp_path):
    for z, slice_ in enumerate(IMAGE):
        inverted = {"photometric": "miniswhite"} if z == 1 else {"photometric": "minisblack"}
        tifffile.imwrite(tmp_path / f"{z}.tif", ~slice_ if z == 1 else slice_, **inverted)
    np.testing.assert_array_equal(whole(open_volume(tmp_path)), IMAGE)


RAMP = np.arange(256)
COLOURS = np.stack([RAMP * 257, np.zeros(256), RAMP[::-1] * 257]).astype("uint16")
PALETTES = [{}, {"compression": "zlib"}, IMAGEJ]


@pytest.mark.parametrize("options", PALETTES)
def test_a_picture_with_a_colour_table_holds_labels_but_no_greys(tmp_path, options):
    """Label tools write ids of 8 bits with a table of their colours."""
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, photometric="palette", colormap=COLOURS, **options)
    with pytest.raises(
        InputError, match=r"a\.tif: is a picture with a colour table; save it as grey"
    ) as error:
        open_volume(tmp_path / "a.tif")
    assert "\n" not in str(error.value)
    np.testing.assert_array_equal(whole(open_volume(tmp_path / "a.tif", is_grey=False)), IMAGE)


def test_labels_and_mask_with_colour_tables(tmp_path):
    labels, mask = (IMAGE > 50).astype("u1"), (IMAGE % 3 > 0).astype("u1")
    tifffile.imwrite(tmp_path / "image.tif", IMAGE, photometric="minisblack")
    for name, ids in (("labels", labels), ("mask", mask)):
        tifffile.imwrite(tmp_path / f"{name}.tif", ids, photometric="palette", colormap=COLOURS)
    settings = prepare_settings(tmp_path, image="image.tif", labels="labels.tif", mask="mask.tif")
    prepare(settings, tmp_path / "a.zarr.zip")
    (image,) = open_prepared(tmp_path / "a.zarr.zip").images
    np.testing.assert_array_equal(image.labels[...], np.where(mask, labels, 255))


TABLES = {"plain": RAMP, "inverted": RAMP[::-1], "half": RAMP // 2}


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("table", TABLES)
def test_a_table_of_greys_is_what_the_picture_shows(tmp_path, table, bits):
    colormap = np.stack([TABLES[table] * (257 if bits == 16 else 1)] * 3).astype("uint16")
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, photometric="palette", colormap=colormap)
    volume = open_volume(tmp_path / "a.tif")
    assert volume.dtype == "uint8"
    np.testing.assert_array_equal(whole(volume), TABLES[table][IMAGE])
    np.testing.assert_array_equal(whole(open_volume(tmp_path / "a.tif", is_grey=False)), IMAGE)


def test_a_table_that_is_not_used_says_nothing(tmp_path):
    table = (320, "H", COLOURS.size, COLOURS.ravel().tolist(), True)
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, photometric="minisblack", extratags=[table])
    np.testing.assert_array_equal(whole(open_volume(tmp_path / "a.tif")), IMAGE)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_greys_that_imagej_shows_in_colours_stay_greys(tmp_path, dtype):
    """ImageJ keeps tables of colours (LUTs) in its metadata; values are grey."""
    lut = (COLOURS >> 8).astype("uint8")
    metadata = {"axes": "ZYX", "LUTs": [lut], "mode": "grayscale"}
    tifffile.imwrite(tmp_path / "a.tif", IMAGE.astype(dtype), imagej=True, metadata=metadata)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        np.testing.assert_array_equal(np.ravel(tif.imagej_metadata["LUTs"]), lut.ravel())
    np.testing.assert_array_equal(whole(open_volume(tmp_path / "a.tif")), IMAGE)


def write_imod(path, values):
    """Bytes as IMOD has written them since version 4.2.23: signed, 128 less than what they stand for."""
    mrcfile.write(path, (values.astype("int16") - 128).astype("int8"), overwrite=True)
    content = bytearray(path.read_bytes())
    content[152:160] = np.array([1146047817, 1], "<i4").tobytes()
    path.write_bytes(content)


def prepare_settings(folder, classes=("dark", "light"), ignore_label=None, **files):
    images = [ImageFiles(**{"region": None, "labels": None, **{k: [folder / v] for k, v in files.items()}})]
    return PrepareSettings(
        images=images, classes=list(classes), ignore_label=ignore_label, voxel_size_nm=(40, 10, 10)
    )


def test_signed_bytes_of_imod_are_0_to_255(tmp_path):
    labels, mask = (IMAGE > 50).astype("u1"), (IMAGE % 3 > 0).astype("u1")
    for name, values in (("image", IMAGE), ("labels", labels), ("mask", mask)):
        write_imod(tmp_path / f"{name}.mrc", values)
    settings = prepare_settings(tmp_path, image="image.mrc", labels="labels.mrc", mask="mask.mrc")
    prepare(settings, tmp_path / "a.zarr.zip")
    (image,) = open_prepared(tmp_path / "a.zarr.zip").images
    np.testing.assert_array_equal(image.image[...], IMAGE)
    np.testing.assert_array_equal(image.labels[...], np.where(mask, labels, 255))
    np.testing.assert_array_equal(image.mask[...], mask)


@pytest.mark.parametrize(
    ("ignore_label", "dtype", "first"), [(-1, "int8", 0), (-1, "int16", 0), (0, "uint8", 1), (0, "int32", 1)]
)
def test_labels_that_mean_nothing(tmp_path, ignore_label, dtype, first):
    """-1, as in PyTorch and scikit-image; 0, as in programs where one paints on an empty canvas."""
    classes = np.random.default_rng(1).integers(0, 3, IMAGE.shape)
    unknown = IMAGE < 20
    labels = np.where(unknown, ignore_label, classes + first).astype(dtype)
    tifffile.imwrite(tmp_path / "image.tif", IMAGE, photometric="minisblack")
    tifffile.imwrite(tmp_path / "labels.tif", labels, photometric="minisblack")
    names = ["background", "cell", "organelle"]
    files = {"image": "image.tif", "labels": "labels.tif"}
    prepare(prepare_settings(tmp_path, names, ignore_label, **files), tmp_path / "a.zarr.zip")
    prepared = open_prepared(tmp_path / "a.zarr.zip")
    np.testing.assert_array_equal(prepared.images[0].labels[...], np.where(unknown, 255, classes))
    assert prepared.class_counts == [int((classes[~unknown] == i).sum()) for i in range(3)]
    shown = ShownLabels(ArrayVolume(labels), 3, ignore_label)
    np.testing.assert_array_equal(whole(shown), np.where(unknown, 255, classes))
    assert genenet.score(labels, classes, ignore_label=ignore_label)["ari"] == 1
    message = rf"label 7 .* is none of the 3 classes, which are {first} to {first + 2}; .* ignore_label: 7"
    labels[1, 2, 3] = 7
    tifffile.imwrite(tmp_path / "labels.tif", labels, photometric="minisblack")
    with pytest.raises(InputError, match=message):
        prepare(prepare_settings(tmp_path, names, ignore_label, **files), tmp_path / "a.zarr.zip")


@pytest.mark.parametrize("ignore_label", [-1, 0])
def test_a_segmentation_is_scored_by_the_same_ids(tmp_path, ignore_label):
    write_ensemble(tmp_path / "ensemble")
    tifffile.imwrite(tmp_path / "image.tif", IMAGE, photometric="minisblack")
    job(tmp_path).run()
    _, found = arrays(tmp_path / "a.ome.zarr")
    labels = np.where(IMAGE < 20, ignore_label, found.astype("i2") + (ignore_label == 0))
    tifffile.imwrite(tmp_path / "labels.tif", labels.astype("i2"), photometric="minisblack")
    source = ImageFiles(image=[tmp_path / "image.tif"], labels=[tmp_path / "labels.tif"], region=None)
    scores = evaluate_store(tmp_path / "a.ome.zarr", source, ignore_label)
    assert (scores["accuracy"], scores["n_voxels"]) == (1, int((IMAGE >= 20).sum()))


@pytest.mark.parametrize("ignore_label", [-1, 0, 255])
def test_the_config_takes_them(ignore_label):
    image = {"path": "a.tif", "labels": "b.tif"}
    data = Data(
        classes=["a", "b"],
        ignore_label=ignore_label,
        voxel_size_nm=(1, 1, 1),
        train=[image],
        validation=[image],
    )
    assert data.ignore_label == ignore_label
