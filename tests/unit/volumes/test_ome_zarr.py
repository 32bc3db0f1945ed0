"""The output store: blocks, metadata, pyramid."""

import json
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from ome_zarr_models.v05 import Image, ImageLabel, Labels
from zarr.storage import LocalStore

from genenet.core.errors import InputError
from genenet.core.geometry import Box, tiles
from genenet.volumes.ome_zarr import create_store, open_store
from genenet.volumes.opening import open_volume
from genenet.volumes.palette import class_colours
from genenet.volumes.pyramid import levels, mean_of_cells, mode_of_cells
from genenet.volumes.store_pyramid import build_pyramid

SHAPE = (10, 100, 130)
BLOCK = (4, 64, 64)
CLASSES = ["background", "cell", "organelle"]


def make(
    path: Path, shape=SHAPE, block=BLOCK, dtype="uint8", classes=CLASSES, voxel_size_nm=(50.0, 10.0, 10.0)
):
    create_store(
        path,
        shape=shape,
        classes=classes,
        voxel_size_nm=voxel_size_nm,
        block=block,
        channels=["uncertainty", *classes],
        dtype=dtype,
        attributes={"fingerprint": "abc"},
    )
    return open_store(path)


def data(shape=SHAPE, dtype="uint8", n_channels=4) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    channels = rng.integers(0, 255, (n_channels, *shape))
    return rng.integers(0, 3, shape).astype("u1"), (channels if dtype == "uint8" else channels / 255).astype(
        dtype
    )


def fill(store, labels, channels) -> None:
    for box in tiles(Box.of_shape(store.shape), store.block):
        store.write_block(box, labels[box.slices], channels[(slice(None), *box.slices)])


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_blocks_are_read_as_written(tmp_path: Path, dtype: str) -> None:
    labels, channels = data(dtype=dtype)
    store = make(tmp_path / "a.ome.zarr", dtype=dtype)
    assert store.attributes["fingerprint"] == "abc"
    assert store.attributes["classes"] == CLASSES
    fill(store, labels, channels)
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")
    np.testing.assert_array_equal(group["0"][...], channels)
    np.testing.assert_array_equal(group["labels/segmentation/0"][...], labels)
    assert group["0"].dtype == dtype


def test_one_block_is_one_file_of_each_array(tmp_path: Path) -> None:
    store = make(tmp_path / "a.ome.zarr")
    boxes = list(tiles(Box.of_shape(SHAPE), BLOCK))
    before = {p for p in store.path.rglob("*") if p.is_file()}
    for i, box in enumerate(boxes):
        assert not store.has_block(box)
        # Background all over must be a file too.
        store.write_block(box, np.zeros(box.shape, "u1"), np.zeros((4, *box.shape), "u1"))
        assert store.has_block(box)
        assert len({p for p in store.path.rglob("*") if p.is_file()} - before) == 2 * (i + 1)
    assert len(boxes) == 3 * 2 * 3


def test_a_block_that_failed_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make(tmp_path / "a.ome.zarr")
    box = Box.of_shape(BLOCK)
    labels, channels = data(BLOCK)
    replace = Path.replace

    def fails(self, target):
        if "c" in target.parts[-4:]:
            assert self != target
            assert not target.exists()
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="No space left"):
        store.write_block(box, labels, channels)
    monkeypatch.undo()
    assert not store.has_block(box)
    store.write_block(box, labels, channels)
    assert store.has_block(box)
    np.testing.assert_array_equal(store.labels[box.slices], labels)


def test_a_shard_half_there_is_a_block_missing(tmp_path: Path) -> None:
    store = make(tmp_path / "a.ome.zarr")
    box = Box((8, 64, 128), (10, 100, 130))
    store.write_block(box, np.ones(box.shape, "u1"), np.ones((4, *box.shape), "u1"))
    (tmp_path / "a.ome.zarr/labels/segmentation/0/c/2/1/2").unlink()
    assert not store.has_block(box)


def test_only_whole_blocks_can_be_written(tmp_path: Path) -> None:
    store = make(tmp_path / "a.ome.zarr")
    for box in (Box((0, 0, 0), (4, 64, 63)), Box((1, 0, 0), (5, 64, 64)), Box((0, 64, 64), (4, 128, 128))):
        with pytest.raises(ValueError, match="isn't a block"):
            store.write_block(box, np.zeros(box.shape, "u1"), np.zeros((4, *box.shape), "u1"))


@pytest.mark.parametrize(
    ("block", "shape", "chunks"),
    [
        ((8, 512, 512), (30, 1000, 1000), (8, 256, 256)),
        ((8, 512, 512), (1, 50, 60), (1, 256, 256)),
        ((24, 300, 768), (100, 1000, 1000), (12, 150, 256)),
        ((7, 509, 100), (100, 1000, 1000), (7, 509, 100)),
    ],
)
def test_chunks_divide_the_block(tmp_path: Path, block, shape, chunks) -> None:
    store = make(tmp_path / "a.ome.zarr", shape, block)
    assert store.labels.chunks == chunks
    assert store.root.chunks == (1, *chunks)
    assert store.root.shards == (4, *store.block)
    assert list(tiles(Box.of_shape(shape), block)) == list(tiles(Box.of_shape(shape), store.block))


def test_errors(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "other.zarr")
    for name in ("none.zarr", "other.zarr"):
        with pytest.raises(InputError, match=f"{name}: not a segmentation"):
            open_store(tmp_path / name)


def test_a_store_is_made_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(self, key, value):
        if "labels" in key:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalStore, "set", fails)
    with pytest.raises(OSError, match="No space left"):
        make(tmp_path / "a.ome.zarr")
    assert not [*tmp_path.iterdir()]


def test_metadata_are_valid_before_and_after_the_pyramid(tmp_path: Path) -> None:
    store = make(tmp_path / "a.ome.zarr")
    fill(store, *data())
    for n_levels in (1, 3):
        group = zarr.open_group(store.path, mode="r")
        image = Image.from_zarr(group)
        assert len(image.attributes.ome.multiscales[0].datasets) == n_levels
        assert image.labels is not None
        Labels.from_zarr(group["labels"])
        label = ImageLabel.from_zarr(group["labels/segmentation"]).attributes.ome.image_label
        assert [c.rgba for c in label.colors] == [(0, 0, 0, 0), (230, 159, 0, 255), (86, 180, 233, 255)]
        assert [p.model_dump()["name"] for p in label.properties] == CLASSES
        assert label.source.image == "../../"
        channels = group.attrs["ome"]["omero"]["channels"]
        assert [c["label"] for c in channels] == ["uncertainty", *CLASSES]
        assert group.attrs["genenet"]["fingerprint"] == "abc"
        build_pyramid(store.path, min_size=40)


def test_levels_halve_z_when_voxels_are_even() -> None:
    found = levels((60, 4000, 3000), (50.0, 10.0, 10.0), 256)
    assert [level.shape for level in found] == [
        (60, 4000, 3000),
        (60, 2000, 1500),
        (60, 1000, 750),
        (30, 500, 375),
        (15, 250, 188),
    ]
    assert [level.scale for level in found[2:4]] == [(50, 40, 40), (100, 80, 80)]
    assert found[1].translation == (0, 5, 5)
    assert found[3].translation == (25, 35, 35)
    assert levels((1, 300, 1), (10.0, 10.0, 10.0), 256)[1].factors == (1, 2, 1)


factors = st.tuples(st.sampled_from([1, 2]), st.sampled_from([1, 2]), st.sampled_from([1, 2]))
shapes = st.tuples(*[st.integers(1, 5)] * 3)


def cells(image, factors):
    """Each cell's place and voxels, by hand."""
    for at in np.ndindex(*(-(-n // f) for n, f in zip(image.shape, factors, strict=True))):
        yield at, image[tuple(slice(i * f, i * f + f) for i, f in zip(at, factors, strict=True))].ravel()


@given(hnp.arrays(np.uint8, shapes, elements=st.sampled_from([0, 1, 2, 3, 254, 255])), factors)
def test_labels_shrink_to_the_mode(labels, factors) -> None:
    small = mode_of_cells(labels, factors)
    for at, voxels in cells(labels, factors):
        counts = Counter(voxels.tolist())
        assert small[at] == min(label for label, n in counts.items() if n == max(counts.values()))


@given(hnp.arrays(np.uint8, shapes), factors)
def test_channels_shrink_to_the_mean(image, factors) -> None:
    small, exact = mean_of_cells(image, factors), mean_of_cells(image.astype("f4"), factors)
    assert (small.dtype, exact.dtype) == ("uint8", "float32")
    for at, voxels in cells(image, factors):
        assert exact[at] == pytest.approx(voxels.mean(), rel=1e-6)
        assert abs(float(small[at]) - voxels.mean()) <= 0.5


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_the_pyramid_is_that_of_the_whole_volume(tmp_path: Path, dtype: str) -> None:
    labels, channels = data(dtype=dtype)
    store = make(tmp_path / "a.ome.zarr", dtype=dtype, voxel_size_nm=(15.0, 10.0, 10.0))
    fill(store, labels, channels)
    build_pyramid(store.path, min_size=40)
    group = zarr.open_group(store.path, mode="r")
    for level in ("1", "2"):
        labels = mode_of_cells(labels, (2, 2, 2))
        channels = np.stack([mean_of_cells(channel, (2, 2, 2)) for channel in channels])
        np.testing.assert_array_equal(group[f"labels/segmentation/{level}"][...], labels)
        np.testing.assert_array_equal(group[level][...], channels)
    datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
    assert datasets[2]["coordinateTransformations"] == [
        {"type": "scale", "scale": [1, 60, 40, 40]},
        {"type": "translation", "translation": [0, 22.5, 15, 15]},
    ]
    assert group.attrs["ome"]["multiscales"][0]["axes"][1] == {
        "name": "z",
        "type": "space",
        "unit": "nanometer",
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_pyramid_twice_is_the_pyramid(tmp_path: Path) -> None:
    store = make(tmp_path / "a.ome.zarr")
    fill(store, *data())
    build_pyramid(store.path, min_size=40)
    once = contents(store.path)
    build_pyramid(store.path, min_size=40)
    assert contents(store.path) == once
    assert "labels/segmentation/2/zarr.json" in once
    json.loads(once["zarr.json"])


def test_the_labels_can_be_opened_as_a_volume(tmp_path: Path) -> None:
    labels, channels = data()
    store = make(tmp_path / "a.ome.zarr")
    fill(store, labels, channels)
    volume = open_volume(store.path / "labels" / "segmentation")
    np.testing.assert_array_equal(volume.read(Box.of_shape(SHAPE)), labels)
    assert volume.voxel_size_nm == (50, 10, 10)


@pytest.mark.slow
def test_the_pyramids_memory_is_bounded_by_shards(tmp_path: Path) -> None:
    store = make(tmp_path / "a.ome.zarr", (64, 512, 512), (8, 128, 128), classes=[])
    zeros = np.zeros((8, 128, 128), "u1")
    for box in tiles(Box.of_shape(store.shape), store.block):
        store.write_block(box, zeros, zeros[None])
    tracemalloc.start()
    build_pyramid(store.path, min_size=128)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 512 * 512 / 2


def test_colours_are_distinct() -> None:
    assert class_colours(0) == []
    assert class_colours(1) == [(0, 0, 0)]
    colours = class_colours(254)
    assert len(set(colours)) == 254
    assert all(0 <= part <= 255 for colour in colours for part in colour)
    assert class_colours(7) == colours[:7]
    apart = [
        max(abs(a - b) for a, b in zip(p, q, strict=True))
        for p in colours[:22]
        for q in colours[:22]
        if p != q
    ]
    assert min(apart) > 30
