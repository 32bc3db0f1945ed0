"""Post-processing knows the mask of a segmentation from its store."""

import csv
import hashlib
import json

import mrcfile
import numpy as np
import pytest
import tifffile
import zarr

from genenet.config.postprocessing import Postprocessing
from genenet.core.errors import InputError
from genenet.segmentation.objects import PostprocessingJob, table_of
from genenet.volumes.ome_zarr import CLEANED, OBJECTS, open_store
from genenet.volumes.opening import open_volume
from tests.support.ensembles import job, write_ensemble, write_image
from tests.support.stores import CLASSES, write_store

SHAPE = (3, 40, 50)


def facts(store):
    """The attributes as they lie in the file."""
    return json.loads((store / "zarr.json").read_text())["attributes"]["genenet"]


def write_mask(path, inside, shape=SHAPE):
    """Write a mask that is 1 where ``inside``, a boolean array or slices of an array of ``shape``."""
    mask = np.zeros(inside.shape if isinstance(inside, np.ndarray) else shape, np.uint8)
    mask[inside] = 1
    tifffile.imwrite(path, mask, photometric="minisblack")
    return mask > 0


def make_store(folder, labels, **attributes):
    attributes = {"fingerprint": "abc", **attributes}
    return write_store(folder / "a.ome.zarr", labels, block=(2, 16, 32), attributes=attributes).path


def processed(store, **settings):
    """Post-process; return the receipt, and cleaned labels and objects, if there are any."""
    made = PostprocessingJob(store, Postprocessing(**settings), table_of(store)).run()
    folders = [store / "labels" / name / "0" for name in (CLEANED, OBJECTS)]
    return made, *(zarr.open_array(folder, mode="r")[...] for folder in folders if folder.exists())


@pytest.fixture
def ring():
    """A slice with a ring-shaped cell; its middle and the slice's frame lie outside the mask."""
    labels = np.zeros((1, 40, 50), np.uint8)
    labels[:, 5:35, 5:45] = 1
    outside = np.zeros(labels.shape, bool)
    outside[:, 15:25, 15:35] = True
    outside[:, :2], outside[:, -2:], outside[:, :, :2], outside[:, :, -2:] = (True,) * 4
    labels[outside] = 0
    return labels, outside


def test_a_hole_outside_the_mask_is_not_filled(tmp_path, ring):
    labels, outside = ring
    labels[0, 30:32, 10:12] = 2  # a hole inside the mask
    write_mask(tmp_path / "mask.tif", ~outside)
    store = make_store(tmp_path, labels, mask=[str(tmp_path / "mask.tif")])
    made, cleaned = processed(store, fill_holes=["cell"])
    np.testing.assert_array_equal(cleaned, np.where(labels == 2, 1, labels))
    assert made["holes"] == {"cell": 1}
    assert made["changed_voxels"] == 4


def test_without_a_record_of_the_mask_the_hole_is_filled_as_before(tmp_path, ring):
    labels, outside = ring
    _, cleaned = processed(make_store(tmp_path, labels), fill_holes=["cell"])
    assert (cleaned[outside] == 1).any()


def test_objects_of_the_background_end_at_the_mask(tmp_path, ring):
    labels, outside = ring
    write_mask(tmp_path / "mask.tif", ~outside)
    store = make_store(tmp_path, labels, mask=[str(tmp_path / "mask.tif")])
    made, objects = processed(store, objects=["background", "cell"])
    assert made["objects"] == {"background": 1, "cell": 1}
    assert not objects[outside].any()
    assert objects[~outside].all()
    with table_of(store).open() as file:
        volumes = {row["class"]: int(row["volume_voxels"]) for row in csv.DictReader(file)}
    assert volumes == {
        "background": ((labels == 0) & ~outside).sum(),
        "cell": (labels == 1).sum(),
    }


def test_what_is_outside_is_no_speck_and_gives_no_class(tmp_path):
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 10:13, :] = 2
    labels[:, 11:13, 20:22] = (
        1  # twelve voxels: three faces towards class 2 in each slice, and two outside the mask
    )
    inside = np.zeros(SHAPE, bool)
    inside[:, 10:13] = True
    labels[~inside] = 0
    write_mask(tmp_path / "mask.tif", inside)
    store = make_store(tmp_path, labels, mask=[str(tmp_path / "mask.tif")])
    made, cleaned = processed(store, min_size_voxels={"cell": 50, "background": 10**6})
    np.testing.assert_array_equal(cleaned, np.where(inside, 2, 0))
    assert made["specks"] == {"cell": 1}


def test_specks_that_only_touch_the_outside_stay(tmp_path):
    labels = np.zeros(SHAPE, np.uint8)
    inside = np.zeros(SHAPE, bool)
    inside[1, 5:7, 5:7] = True
    labels[inside] = 1
    write_mask(tmp_path / "mask.tif", inside)
    store = make_store(tmp_path, labels, mask=[str(tmp_path / "mask.tif")])
    made, cleaned = processed(store, min_size_voxels=50)
    np.testing.assert_array_equal(cleaned, labels)
    assert made["specks"] == {}


def test_the_mask_is_cut_to_the_region(tmp_path):
    whole = write_mask(tmp_path / "mask.tif", np.s_[:, 10:30, 7:20], (4, 60, 50))
    region = [[1, 4], [5, 45], None]
    labels = np.zeros(SHAPE, np.uint8)
    store = make_store(tmp_path, labels, mask=[str(tmp_path / "mask.tif")], region=region)
    _, objects = processed(store, objects=["background"])
    np.testing.assert_array_equal(objects > 0, whole[1:4, 5:45])


def test_a_mask_in_mrc_is_mirrored_as_it_was(tmp_path):
    inside = np.zeros(SHAPE, np.int16)
    inside[:, 3:20, 7:30] = 1
    with mrcfile.new(tmp_path / "mask.mrc", inside) as file:
        file.set_volume()
    store = make_store(tmp_path, np.zeros(SHAPE, np.uint8), mask=[str(tmp_path / "mask.mrc")], flip=["y"])
    _, objects = processed(store, objects=["background"])
    np.testing.assert_array_equal(objects, inside[:, ::-1])


def test_a_mask_that_is_gone_or_has_changed_is_refused_before_results_are_removed(tmp_path):
    labels = np.zeros(SHAPE, np.uint8)
    write_mask(tmp_path / "mask.tif", np.s_[:, 5:])
    store = make_store(tmp_path, labels, mask=[str(tmp_path / "mask.tif")])
    processed(store, objects=["background"])
    write_mask(tmp_path / "mask.tif", np.s_[:, 5:], (3, 40, 51))
    with pytest.raises(
        InputError, match=r"its shape 3 x 40 x 50 isn't that of its mask .*mask\.tif, which is 3 x 40 x 51"
    ):
        processed(store, objects=["background"])
    (tmp_path / "mask.tif").unlink()
    with pytest.raises(InputError, match=r"its mask can't be opened \(.*mask\.tif.*\); put the mask back"):
        processed(store, objects=["background"])
    assert table_of(store).exists()
    _, *images = processed(store)  # nothing is wanted: the results are removed, and no mask is needed
    assert not images
    assert not table_of(store).exists()


@pytest.fixture
def folder(tmp_path):
    write_ensemble(tmp_path / "ensemble", mode="training")
    write_image(tmp_path)
    write_mask(tmp_path / "mask.tif", np.s_[:, 10:40, 20:], (4, 70, 90))
    return tmp_path


def test_a_segmentation_records_its_mask_for_post_processing(folder, monkeypatch):
    monkeypatch.chdir(folder)
    job(folder, source={"mask": ["mask.tif"], "region": (None, (5, 70), None)}).run()
    store = folder / "a.ome.zarr"
    assert facts(store)["mask"] == [str(folder / "mask.tif")]
    monkeypatch.chdir(folder / "ensemble")
    _, _, objects = processed(store, objects=CLASSES, fill_holes=CLASSES)
    inside = tifffile.imread(folder / "mask.tif")[:, 5:] > 0
    np.testing.assert_array_equal(objects > 0, inside)


def test_without_a_mask_nothing_is_recorded(folder):
    job(folder).run()
    assert not {"mask", "flip"} & set(facts(folder / "a.ome.zarr"))
    assert open_store(folder / "a.ome.zarr").attributes["mask"] is None


def fingerprint(folder, **source):
    opened = job(folder, source=source)
    return opened._fingerprint(open_volume(opened.source.image))


def test_flip_changes_the_fingerprint_only_with_a_mask(folder):
    mask = [folder / "mask.tif"]
    assert fingerprint(folder) == fingerprint(folder, flip=("y",))
    assert fingerprint(folder, mask=mask) == fingerprint(folder, mask=mask, flip=())
    flips = [fingerprint(folder, mask=mask, flip=flip) for flip in ((), ("y",), ("x",), ("y", "x"))]
    assert len(set(flips)) == 4


@pytest.mark.parametrize("flip", [None, ()])
def test_the_fingerprint_of_an_older_store_with_a_mask_stays(folder, flip):
    """It is computed here as by the version before ``flip`` was part of it."""
    files = [folder / "image.tif", folder / "mask.tif"]
    opened = job(folder, source={"mask": files[1:], "flip": flip})
    settings = opened.settings.model_dump(mode="json", exclude={"jobs", "memory_mb", "tile"})
    parts = [
        opened.ensemble.fingerprint,
        settings | {"block": opened.block},
        [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files],
        None,
        (4, 70, 90),
        open_volume(files[:1]).voxel_size_nm,
        "statistics inside the mask",
    ]
    expected = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    assert fingerprint(folder, mask=files[1:], flip=flip) == expected


@pytest.mark.parametrize(("key", "value"), [("mask", []), ("mask", [""]), ("mask", "a.tif"), ("flip", ["w"])])
def test_odd_records_of_a_mask_are_refused(tmp_path, key, value):
    with pytest.raises(InputError, match="not a segmentation that genenet made"):
        make_store(tmp_path, np.zeros(SHAPE, np.uint8), **{key: value})
