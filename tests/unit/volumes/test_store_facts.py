"""A store that another person may have made is refused with one line, quickly, before anything is allocated."""

import json
import resource
import time

import numpy as np
import pytest

from genenet.core.errors import InputError
from genenet.volumes.label_images import class_labels
from genenet.volumes.ngff import label_names
from genenet.volumes.ome_zarr import open_store
from genenet.volumes.store_pyramid import build_pyramid
from tests.support.stores import write_store

SHAPE = (2, 20, 30)


@pytest.fixture
def store(tmp_path):
    attributes = {"fingerprint": "abc", "mean": [1.0], "region": [None, [3, 23], None]}
    labels = np.ones(SHAPE, np.uint8)
    return write_store(
        tmp_path / "a.ome.zarr", labels, classes=["background", "cell"], attributes=attributes
    ).path


def change(file, path, value):
    """Set one value of a JSON file; None removes it."""
    values = json.loads(file.read_text())
    *parents, last = path.split("/")
    node = values
    for part in parents:
        node = node[int(part) if isinstance(node, list) else part]
    if value is None:
        del node[last]
    else:
        node[int(last) if isinstance(node, list) else last] = value
    file.write_text(json.dumps(values))


def test_what_genenet_wrote_is_kept(store):
    facts = open_store(store).attributes
    assert facts["region"] == [None, [3, 23], None]
    assert (facts["fingerprint"], facts["mean"], facts["translation_nm"]) == ("abc", [1.0], [0.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "genenet.segmentation/9", "genenet.segmentation/1"),
        ("format", None, "format: is missing"),
        ("classes", None, "classes: is missing"),
        ("classes", "background", "classes: "),
        ("classes", [["a"], ["b"]], "classes.0: "),
        ("classes", [str(i) for i in range(300)], "classes: "),
        ("classes", ["a" * 10**6, "b"], "classes.0: "),
        ("channels", ["uncertainty", "more"], "with 2 channels"),
        ("voxel_size_nm", [0, 10, 10], "voxel_size_nm.0: "),
        ("voxel_size_nm", [-40, 10, 10], "voxel_size_nm.0: "),
        ("voxel_size_nm", [float("nan"), 10, 10], "voxel_size_nm.0: "),
        ("voxel_size_nm", [float("inf"), 10, 10], "voxel_size_nm.0: "),
        ("voxel_size_nm", [10, 10], "voxel_size_nm"),
        ("voxel_size_nm", "10x10x10", "voxel_size_nm: "),
        ("translation_nm", ["a", 0, 0], "translation_nm.0: "),
        ("region", [[0, 1]], "region"),
        ("fingerprint", 5, "fingerprint: "),
        ("norm_statistics", [{"a": ["b"]}], "norm_statistics.0.a.0: "),
        ("norm_statistics", [{"a": [float("nan")]}], "norm_statistics.0.a.0: "),
    ],
)
def test_absurd_attributes_are_one_line(store, key, value, message):
    change(store / "zarr.json", f"attributes/genenet/{key}", value)
    assert message in refused(store)


@pytest.mark.parametrize(
    ("array", "path", "value", "message"),
    [
        ("labels/segmentation/0", "shape", [10**9, 10**9, 10**9], "its labels"),
        ("labels/segmentation/0", "shape", [2, 20], ""),
        ("labels/segmentation/0", "data_type", "float64", "float64"),
        ("labels/segmentation/0", "data_type", "nonsense", "nonsense"),
        ("labels/segmentation/0", "chunk_grid/configuration/chunk_shape", [1, 1, 1], ""),
        ("labels/segmentation/0", "codecs", [], ""),
        ("labels/segmentation/0", "zarr_format", 2, ""),
        ("0", "shape", [10**6, 2, 20, 30], "with 1 channels"),
        ("0", "shape", "none", ""),
        ("0", "chunk_grid/configuration/chunk_shape", [0, 0, 0, 0], ""),
    ],
)
def test_absurd_arrays_are_one_line(store, array, path, value, message):
    change(store / array / "zarr.json", path, value)
    assert message in refused(store)


def huge(store, shape, shards, chunks):
    """Let both arrays claim these sizes."""
    for array, lead in (("0", [1]), ("labels/segmentation/0", [])):
        file = store / array / "zarr.json"
        change(file, "shape", [*lead, *shape])
        change(file, "chunk_grid/configuration/chunk_shape", [*lead, *shards])
        change(file, "codecs/0/configuration/chunk_shape", [*lead, *chunks])


def test_more_blocks_than_memory_has_room_for_are_refused(store):
    huge(store, [10**6, 10**6, 10**6], [2, 20, 30], [1, 20, 30])
    assert "blocks, and 16777216 is the most" in refused(store)


def test_a_chunk_larger_than_memory_is_refused(store):
    huge(store, [10**4] * 3, [10**4] * 3, [10**4] * 3)
    assert "a chunk of it has 1000000000000 bytes" in refused(store)


def refused(store):
    """Open it: it must be refused with one line, within a second and 200 MB."""
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError) as caught:
        open_store(store)
    assert time.process_time() - began < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    text = str(caught.value)
    assert text.startswith(f"{store}: not a segmentation that genenet made (")
    assert "\n" not in text
    assert len(text) < 600
    return text


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"zarr_format": 3, "node_type": "group"}', "[" * 10**5]
)
def test_metadata_that_isnt_json_or_is_empty_is_one_line(store, text):
    (store / "zarr.json").write_text(text)
    refused(store)


@pytest.mark.parametrize("name", ["../../elsewhere", "/etc", "..", "", 5, ["a"]])
def test_names_of_labels_lead_nowhere_else(store, name):
    change(store / "labels/zarr.json", "attributes/ome/labels", ["segmentation", name])
    for use in (label_names, build_pyramid, lambda path: class_labels(open_store(path))):
        with pytest.raises(InputError, match=r"labels/zarr\.json: .* isn't a name of labels"):
            use(store)


def test_a_store_that_lists_no_labels_is_one_line(store):
    change(store / "labels/zarr.json", "attributes/ome", None)
    with pytest.raises(InputError, match="doesn't list the images of labels"):
        label_names(store)


def test_labels_of_others_are_kept_as_they_are(store):
    change(store / "labels/zarr.json", "attributes/ome/labels", ["segmentation", "corrections 2"])
    build_pyramid(store, 8)
    assert label_names(store) == ["segmentation", "corrections 2"]
    assert (store / "labels/segmentation/1").exists()
