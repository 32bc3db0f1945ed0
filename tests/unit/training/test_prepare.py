"""Labelled images: what is refused, and what is written."""

import errno
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from zarr.storage import ZipStore

from genenet.config.settings import ImageFiles, PrepareSettings
from genenet.core.errors import InputError
from genenet.training import prepare as prepare_module
from genenet.training.prepare import prepare
from genenet.training.prepared import open_prepared


def pair(shape=(3, 300, 280), seed=0, dtype="uint8", n_classes=3):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 200, shape).astype(dtype), rng.integers(0, n_classes, shape).astype("uint8")


def write(folder: Path, image: Any, labels: Any, name="a", region=None, mask=None, weight=1.0) -> ImageFiles:
    tifffile.imwrite(folder / f"{name}.tif", image, photometric="minisblack")
    tifffile.imwrite(folder / f"{name}-labels.tif", labels, photometric="minisblack", compression="zlib")
    masks = None
    if mask is not None:
        masks = [folder / f"{name}-mask.tif"]
        tifffile.imwrite(masks[0], mask, photometric="minisblack")
    files = {"image": [folder / f"{name}.tif"], "labels": [folder / f"{name}-labels.tif"], "mask": masks}
    return ImageFiles(**files, region=region, weight=weight)


def make_settings(*images: ImageFiles, **changes: Any) -> PrepareSettings:
    values = {
        "classes": ["background", "cell", "organelle"],
        "ignore_label": None,
        "voxel_size_nm": (50, 10, 10),
    }
    return PrepareSettings(images=list(images), **(values | changes))


def test_what_is_written(tmp_path: Path) -> None:
    first, second = pair(), pair((1, 40, 50), 1, "float32")
    second[1][0, :7] = 200
    region = ((1, 3), None, (20, 270))
    settings = make_settings(
        write(tmp_path, *first, "a", region), write(tmp_path, *second, "b"), ignore_label=200
    )
    prepare(settings, tmp_path / "train.zarr.zip")
    prepared = open_prepared(tmp_path / "train.zarr.zip")
    cut = tuple(a[1:3, :, 20:270] for a in first)
    expected_labels = np.where(second[1] == 200, 255, second[1])
    a, b = prepared.images
    np.testing.assert_array_equal(a.image[...], cut[0])
    np.testing.assert_array_equal(a.labels[...], cut[1])
    np.testing.assert_array_equal(b.image[...], second[0])
    np.testing.assert_array_equal(b.labels[...], expected_labels)
    assert (a.image.dtype, b.image.dtype, b.labels.dtype) == ("uint8", "float32", "uint8")
    assert a.name == f"{tmp_path / 'a.tif'}[1:3, :, 20:270]"
    assert b.name == str(tmp_path / "b.tif")
    assert prepared.classes == ["background", "cell", "organelle"]
    assert prepared.voxel_size_nm == (50, 10, 10)
    everything = np.concatenate([cut[0].ravel(), second[0].ravel()]).astype(float)
    assert prepared.mean == pytest.approx(everything.mean(), rel=1e-12)
    assert prepared.deviation == pytest.approx(everything.std(), rel=1e-12)
    assert a.mean == pytest.approx(cut[0].mean(), rel=1e-12)
    np.testing.assert_allclose(a.slice_mean, cut[0].mean((1, 2)), rtol=1e-12)
    np.testing.assert_allclose(a.slice_deviation, cut[0].std((1, 2)), rtol=1e-12)
    counts = [int((cut[1] == i).sum() + (expected_labels == i).sum()) for i in range(3)]
    assert prepared.class_counts == counts


def test_the_checksum_depends_on_all_voxels(tmp_path: Path) -> None:
    image, labels = pair()
    changed_image, changed_labels = image.copy(), labels.copy()
    changed_image[2, 299, 279] ^= 1
    changed_labels[2, 299, 279] = (labels[2, 299, 279] + 1) % 3
    checksums = []
    for i, arrays in enumerate(
        [
            (image, labels),
            (image, labels),
            (changed_image, labels),
            (image, changed_labels),
            (image.astype("u2"), labels),
        ]
    ):
        prepare(make_settings(write(tmp_path, *arrays)), tmp_path / f"{i}.zarr.zip")
        checksums.append(open_prepared(tmp_path / f"{i}.zarr.zip").checksum)
    assert checksums[0] == checksums[1]
    assert len(set(checksums)) == 4


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int32"])
def test_where_the_mask_is_0_labels_are_ignored(tmp_path: Path, dtype: str) -> None:
    image, labels = pair()
    mask = np.random.default_rng(5).integers(0, 2, labels.shape).astype(dtype)
    labels[mask == 0] = 77  # not even looked at there
    labels[0, :9] = 200
    region = ((0, 2), (3, 300), None)
    settings = make_settings(write(tmp_path, image, labels, region=region, mask=mask), ignore_label=200)
    prepare(settings, tmp_path / "a.zarr.zip")
    prepared = open_prepared(tmp_path / "a.zarr.zip")
    cut, kept = labels[:2, 3:], (mask != 0)[:2, 3:]
    np.testing.assert_array_equal(prepared.images[0].labels[...], np.where(kept & (cut != 200), cut, 255))
    np.testing.assert_array_equal(prepared.images[0].image[...], image[:2, 3:])
    assert prepared.class_counts == [int((cut[kept] == i).sum()) for i in range(3)]


def test_images_above_the_exact_limit_count_as_many_voxels_as_their_masks_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dark, bright = (pair((1, 256, 256), seed) for seed in (1, 2))
    mask = np.zeros((1, 256, 256), "u1")
    mask[:, :, :20] = 1
    bright = bright[0] // 4 + 200, bright[1]
    settings = make_settings(write(tmp_path, *dark, mask=mask), write(tmp_path, *bright, "b"))
    inside = np.concatenate([dark[0][mask == 1], bright[0].ravel()]).astype(float)
    for limit in (2**26, 60_000):
        monkeypatch.setattr(prepare_module, "EXACT_VOXELS", limit)
        prepare(settings, tmp_path / f"{limit}.zip")
        prepared = open_prepared(tmp_path / f"{limit}.zip")
        assert prepared.mean == pytest.approx(inside.mean(), rel=1e-9)
        assert prepared.deviation == pytest.approx(inside.std(), rel=1e-9)


def test_a_mask_of_several_files_is_stacked(tmp_path: Path) -> None:
    image, labels = pair((3, 50, 60))
    files = write(tmp_path, image, labels, mask=np.ones((50, 60), "u1"))
    for z in range(3):
        tifffile.imwrite(tmp_path / f"m{z}.tif", np.full((50, 60), z, "u1"), photometric="minisblack")
    files = files.model_copy(update={"mask": [tmp_path / f"m{z}.tif" for z in range(3)]})
    prepare(make_settings(files), tmp_path / "a.zarr.zip")
    (prepared,) = open_prepared(tmp_path / "a.zarr.zip").images
    assert [(prepared.labels[z] == 255).all() for z in range(3)] == [True, False, False]


def test_the_weight_is_kept_and_part_of_the_checksum(tmp_path: Path) -> None:
    checksums = []
    for i, weight in enumerate((1.0, 2.5)):
        first = write(tmp_path, *pair((1, 50, 60)), "a", weight=weight)
        prepare(make_settings(first, write(tmp_path, *pair((1, 50, 60)), "b")), tmp_path / f"{i}.zip")
        prepared = open_prepared(tmp_path / f"{i}.zip")
        assert [image.weight for image in prepared.images] == [weight, 1.0]
        checksums.append(prepared.checksum)
    assert checksums[0] != checksums[1]


def test_a_file_without_weights_can_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As older versions wrote it."""
    create = zarr.create_group

    def without_weight(*args, attributes, **named):
        return create(*args, attributes={k: v for k, v in attributes.items() if k != "weight"}, **named)

    monkeypatch.setattr(zarr, "create_group", without_weight)
    prepare(make_settings(write(tmp_path, *pair((1, 50, 60)), weight=3.0)), tmp_path / "a.zarr.zip")
    assert open_prepared(tmp_path / "a.zarr.zip").images[0].weight == 1.0


def test_a_black_slice_is_no_error(tmp_path: Path) -> None:
    image, labels = pair()
    image[1] = 0
    prepare(make_settings(write(tmp_path, image, labels)), tmp_path / "a.zarr.zip")
    (prepared,) = open_prepared(tmp_path / "a.zarr.zip").images
    assert prepared.slice_deviation[1] == 1
    assert prepared.slice_mean[1] == 0


def refused(tmp_path: Path, settings: PrepareSettings, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        prepare(settings, tmp_path / "out" / "a.zarr.zip")
    assert "\n" not in str(error.value)
    assert not [*(tmp_path / "out").glob("*")]


def with_first(value: float, image: Any) -> Any:
    image[1, 2, 3] = value
    return image


@pytest.mark.parametrize(
    ("image", "labels", "message"),
    [
        (
            pair()[0],
            pair()[1][:, :-1],
            r"a-labels.tif: its shape 3 x 299 x 280 isn't that of .*a.tif, 3 x 300 x 280",
        ),
        (
            pair()[0],
            pair()[1].astype("f4"),
            r"a-labels.tif: labels are float32; save the class ids as integers",
        ),
        (with_first(np.nan, pair(dtype="f4")[0]), pair()[1], r"a.tif: holds NaN or infinite voxels"),
        (with_first(-np.inf, pair(dtype="f4")[0]), pair()[1], r"a.tif: holds NaN or infinite voxels"),
        (np.full((3, 300, 280), 0.1, "f4"), pair()[1], r"a.tif: all voxels are 0.1"),
        (pair()[0], np.full((3, 300, 280), 9, "u1"), r"a-labels.tif: all voxels are ignored"),
        (
            pair()[0],
            with_first(7, pair()[1].astype("i4")),
            r"label 7 \(1 voxels, the first at .* = \(1, 2, 3\)\) .* 3 classes.* 0 to 2; .* ignore_label: 7",
        ),
        (pair()[0], with_first(-1, pair()[1].astype("i2")), r"label -1 \(1 voxels"),
        (
            pair((3, 40, 40))[0],
            pair((3, 40, 40))[1],
            r"a.tif: is 40 x 40 voxels, .*at least 48 x 48 .*input_size",
        ),
    ],
    ids=lambda value: value[:25] if isinstance(value, str) else "",
)
def test_refused(tmp_path: Path, image: Any, labels: Any, message: str) -> None:
    files = write(tmp_path, image, labels)
    refused(tmp_path, make_settings(files, ignore_label=9, smallest_input_voxels=48), message)


def test_refused_files(tmp_path: Path) -> None:
    image, labels = pair()
    good = write(tmp_path, image, labels)
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((300, 280, 3), "u1"), photometric="rgb")
    for change, message in [
        ({"labels": None}, r"a.tif: labels are missing"),
        ({"labels": [tmp_path / "none.tif"]}, r"none.tif: no such file"),
        ({"image": [tmp_path / "rgb.tif"]}, r"rgb.tif: is an RGB image"),
        ({"labels": [tmp_path / "rgb.tif"]}, r"rgb.tif: is an RGB image"),
        ({"region": ((0, 4), None, None)}, r"a.tif: region \[0, 4\] along z reaches outside"),
    ]:
        refused(tmp_path, make_settings(good.model_copy(update=change)), message)
    refused(tmp_path, make_settings(), "no labelled images")


def test_the_position_of_an_unknown_label_is_that_in_the_file(tmp_path: Path) -> None:
    image, labels = pair()
    labels[2, 10, 20:25] = 40
    files = write(tmp_path, image, labels, region=((1, 3), (5, 300), (7, 280)))
    refused(tmp_path, make_settings(files), r"label 40 \(5 voxels, the first at z, y, x = \(2, 10, 20\)\)")


def test_refused_masks(tmp_path: Path) -> None:
    image, labels = pair()
    good = np.ones(image.shape, "u1")
    hidden, shown = labels.copy(), labels.copy()
    hidden[0, 1, 2] = shown[2, 10, 20] = hidden[2, 10, 20] = 40
    hole = with_first(0, good.copy())
    hole[0, 1, 2] = 0
    for used, mask, message in [
        (labels, good[:, 1:], r"a-mask.tif: its shape 3 x 299 x 280 isn't that of .*a.tif, 3 x 300 x 280"),
        (labels, good.astype("f4"), r"a-mask.tif: the mask is float32; save it as integers"),
        (labels, good * 0, r"a-labels.tif: all voxels are ignored or masked by .*a-mask.tif"),
        (hidden, hole, r"label 40 \(1 voxels, the first at z, y, x = \(2, 10, 20\)\)"),
    ]:
        refused(tmp_path, make_settings(write(tmp_path, image, used, mask=mask)), message)
    files = write(tmp_path, image, labels).model_copy(update={"mask": [tmp_path / "none.tif"]})
    refused(tmp_path, make_settings(files), r"none.tif: no such file")


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(self, key, value):
        raise OSError(errno.ENOSPC, "No space left on device")

    settings = make_settings(write(tmp_path, *pair()))
    monkeypatch.setattr(ZipStore, "_set", no_space)
    with pytest.raises(OSError, match="No space left"):
        prepare(settings, tmp_path / "out" / "a.zarr.zip")
    assert not [*(tmp_path / "out").iterdir()]


def test_not_a_prepared_file(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("hello")
    with ZipStore(tmp_path / "other.zip", mode="w") as store:
        zarr.create_group(store, attributes={"format": "another"})
    for name, message in {
        "none.zip": "no such file",
        "text.zip": "not a file",
        "other.zip": "not a file",
    }.items():
        with pytest.raises(InputError, match=f"{name}: {message}"):
            open_prepared(tmp_path / name)


def test_memory_is_bounded_by_a_slab(tmp_path: Path) -> None:
    image = np.zeros((160, 256, 256), "u1")
    image[::2] = 1
    settings = make_settings(write(tmp_path, image, image, mask=np.ones_like(image)))
    tracemalloc.start()
    prepare(settings, tmp_path / "a.zarr.zip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * image.nbytes / 2
