"""Post-processing of a store: what is written, after kills too, and how much memory it takes."""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from ome_zarr_models.v05 import Image, ImageLabel, Labels
from scipy.ndimage import binary_fill_holes, find_objects, gaussian_filter
from skimage.measure import label

from genenet.config.model import check_config
from genenet.config.postprocessing import Postprocessing
from genenet.config.settings import ImageFiles
from genenet.config.stages import stage_settings
from genenet.core.errors import InputError
from genenet.segmentation.evaluation import evaluate_store
from genenet.segmentation.export import export_tiff
from genenet.segmentation.objects import COLUMNS, PostprocessingJob, from_options, table_of
from genenet.volumes.label_images import class_labels
from genenet.volumes.ome_zarr import open_store
from genenet.volumes.pyramid import mode_of_cells
from genenet.volumes.store_pyramid import build_pyramid
from tests.support import runs
from tests.support.configs import changed
from tests.support.stores import CLASSES, write_store

SHAPE = (10, 100, 130)
SETTINGS = Postprocessing(
    min_size_voxels={"organelle": 40, "cell": 20}, fill_holes={"organelle": 60}, objects=["organelle", "cell"]
)
SCRIPT = """
import sys
from pathlib import Path
from genenet.segmentation.objects import PostprocessingJob, table_of
from genenet.config.postprocessing import Postprocessing
store = Path(sys.argv[1])
PostprocessingJob(store, Postprocessing.model_validate_json(sys.argv[2]), table_of(store), int(sys.argv[3])).run()
"""


def smooth_labels(shape=SHAPE, seed=0):
    """Three classes in blobs of all sizes."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return np.digitize(noise, np.quantile(noise, [0.5, 0.8])).astype(np.uint8)


def make_store(path, labels, block=(4, 64, 64)):
    """A finished segmentation of these labels."""
    return write_store(path, labels, block=block, voxel_size_nm=(40.0, 10.0, 5.0)).path


def results(path):
    """The bytes of all that post-processing has made, by file."""
    files = [*path.glob("labels/cleaned/**/*"), *path.glob("labels/objects/**/*"), table_of(path)]
    files = [file for file in files if file.is_file()]
    return {
        file.name if file.suffix == ".csv" else str(file.relative_to(path)): file.read_bytes()
        for file in files
    }


def arrays(path):
    group = zarr.open_group(path, mode="r")
    return [group[f"labels/{name}/0"][...] for name in ("segmentation", "cleaned", "objects")]


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "a.ome.zarr", smooth_labels())


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """The same store after post-processing, and the receipt."""
    path = make_store(tmp_path_factory.mktemp("processed") / "a.ome.zarr", smooth_labels())
    return path, postprocess(path)


@pytest.fixture
def processed(once, tmp_path):
    """A copy of it, with its table of objects."""
    shutil.copytree(once[0].parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / "a.ome.zarr"


def postprocess(path, settings=SETTINGS, work_voxels=2**14):
    return PostprocessingJob(path, settings, table_of(path), work_voxels).run()


def test_the_store_gets_cleaned_labels_and_objects_and_keeps_its_own(once):
    store, receipt = once
    labels, cleaned, _ = arrays(store)
    assert np.array_equal(labels, smooth_labels())
    assert receipt["changed_voxels"] == (labels != cleaned).sum() > 0
    for class_id, smallest in ((1, 20), (2, 40)):
        sizes = np.bincount(label(cleaned == class_id, connectivity=1).reshape(-1))
        assert min(sizes[1:]) >= smallest
    holes = binary_fill_holes(cleaned == 2) & (cleaned != 2)
    assert (np.bincount(label(holes, connectivity=1).reshape(-1))[1:] > 60).all()
    assert receipt["objects"] == {
        name: int(label(cleaned == class_id, connectivity=1).max())
        for class_id, name in ((2, "organelle"), (1, "cell"))
    }
    assert (receipt["specks"]["cell"], receipt["specks"]["organelle"]) > (0, 0)
    assert receipt["holes"].keys() == {"organelle"}


def test_the_table_opens_in_pandas_and_agrees_with_the_voxels(once):
    store, _ = once
    table = pd.read_csv(table_of(store))
    assert table_of(store).name == "a.objects.csv"
    assert tuple(table.columns) == COLUMNS
    _, cleaned, objects = arrays(store)
    assert table["id"].tolist() == list(range(1, objects.max() + 1))
    assert (table["volume_voxels"] == np.bincount(objects.reshape(-1))[1:]).all()
    assert (table["volume_nm3"] == table["volume_voxels"] * 2000).all()
    assert table["touches_border"].dtype == bool
    for row, box in zip(table.itertuples(), find_objects(objects.astype(int)), strict=True):
        assert (row.z_start, row.z_stop, row.y_start, row.y_stop, row.x_start, row.x_stop) == tuple(
            end for side in box for end in (side.start, side.stop)
        )
        at = np.argwhere(objects[box] == row.id) + [side.start for side in box]
        assert (row.centroid_z_voxels, row.centroid_y_voxels, row.centroid_x_voxels) == pytest.approx(
            at.mean(axis=0), abs=6e-4
        )
        assert (row.centroid_z_nm, row.centroid_x_nm) == pytest.approx(
            (at[:, 0].mean() * 40, at[:, 2].mean() * 5), abs=6e-4
        )
        assert CLASSES[cleaned[tuple(at[0])]] == row._3 == CLASSES[row.class_id]


def test_other_blocks_of_the_store_and_of_the_work_give_the_same(once, tmp_path):
    """For components, that any block gives the same is a property of test_components.py."""
    store, _ = once
    other = make_store(tmp_path / "b.ome.zarr", smooth_labels(), (3, 40, 50))
    postprocess(other, work_voxels=1)
    for ours, theirs in zip(arrays(store), arrays(other), strict=True):
        assert np.array_equal(ours, theirs)
    assert table_of(store).read_bytes() == table_of(other).read_bytes()


def test_a_slice_and_a_voxel(tmp_path):
    ring = np.ones((1, 5, 5), np.uint8)
    ring[0, 1:4, 1:4], ring[0, 2, 2] = 2, 0
    for name, labels, holes in (("ring", ring, 1), ("voxel", ring[:, :1, :1], 0)):
        path = make_store(tmp_path / f"{name}.ome.zarr", labels)
        settings = Postprocessing(fill_holes=["organelle"], objects=["cell"])
        assert postprocess(path, settings)["holes"] == {"organelle": holes}
    table = pd.read_csv(tmp_path / "voxel.objects.csv")
    assert (len(table), table["class"][0], table["touches_border"][0]) == (1, "cell", False)


@pytest.mark.process
def test_killed_at_any_moment_it_leaves_nothing_half_done_and_runs_again(store, tmp_path, once):
    expected = results(once[0])
    command = [sys.executable, "-c", SCRIPT, store, SETTINGS.model_dump_json(), "1"]
    kills = 0
    for wanted in (
        "labels/.cleaned.partial/zarr.json",
        "labels/.objects.partial/0/c/1",
        "labels/.objects.partial/0/c/2",
    ):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        while not (store / wanted).exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        names = json.loads((store / "labels/zarr.json").read_text())["attributes"]["ome"]["labels"]
        assert names == ["segmentation"]
        assert not table_of(store).exists()
    assert kills == 3
    done = runs.run(command)
    assert done.returncode == 0, done.stderr
    assert results(store) == expected
    assert not list(store.glob("labels/.*"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.objects.csv", "a.ome.zarr"]


def test_an_error_in_the_middle_leaves_nothing(processed, monkeypatch):
    store = processed

    def fails(*_):
        raise OSError(28, "No space left on device")

    expected = results(store)
    monkeypatch.setattr("genenet.objects.block.LabelledBlock.fill", fails)
    with pytest.raises(OSError, match="No space left"):
        postprocess(store)
    assert not results(store)
    assert not list(store.glob("labels/.*"))
    monkeypatch.undo()
    (store / "labels/objects/0").mkdir(parents=True)  # as if killed when it was renamed but not listed
    postprocess(store)
    assert results(store) == expected


def test_other_settings_replace_what_was_made_and_none_remove_it(processed):
    store = processed
    only_objects = Postprocessing(objects=["organelle"])
    assert postprocess(store, only_objects)["objects"]["organelle"] > 50
    assert not (store / "labels/cleaned").exists()
    assert postprocess(store, Postprocessing(min_size_voxels=9))["changed_voxels"] > 0
    assert not table_of(store).exists()
    postprocess(store, Postprocessing())
    assert [path.name for path in sorted((store / "labels").iterdir())] == ["segmentation", "zarr.json"]


def test_metadata_are_valid_and_pyramids_hold_the_most_frequent(processed):
    store = processed
    build_pyramid(store, min_size=40)
    group = zarr.open_group(store, mode="r")
    Image.from_zarr(group)
    assert Labels.from_zarr(group["labels"]).attributes.ome.labels == ["segmentation", "cleaned", "objects"]
    own, cleaned, objects = (
        ImageLabel.from_zarr(group[f"labels/{name}"]).attributes.ome
        for name in ("segmentation", "cleaned", "objects")
    )
    assert cleaned.image_label == own.image_label
    assert objects.image_label.colors is None
    assert [len(ome.multiscales[0].datasets) for ome in (own, cleaned, objects)] == [3, 3, 3]
    for name in ("cleaned", "objects"):
        whole = group[f"labels/{name}/0"][...]
        assert np.array_equal(group[f"labels/{name}/1"][...], mode_of_cells(whole, (1, 2, 2)))


def test_modes_of_wide_labels():
    labels = np.array([[[70000, 2**32 - 1], [70000, 5]], [[2**32 - 1, 5], [7, 2**32 - 1]]], np.uint32)
    assert mode_of_cells(labels, (1, 2, 2)).reshape(-1).tolist() == [70000, 2**32 - 1]
    assert mode_of_cells(labels, (2, 2, 2)).item() == 2**32 - 1
    assert mode_of_cells(labels[:, 1:], (2, 1, 2)).item() == 5


def test_exports_and_scores_take_the_cleaned_labels_unless_told_otherwise(store, tmp_path):
    labels = smooth_labels()
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    source = ImageFiles(image=[tmp_path / "labels.tif"], labels=[tmp_path / "labels.tif"], region=None)
    assert evaluate_store(store, source, None)["ari"] == 1
    with pytest.raises(
        InputError, match=r"a\.ome\.zarr: has no labels 'cleaned' .* genenet postprocess makes cleaned"
    ):
        class_labels(open_store(store), "cleaned")
    postprocess(store)
    cleaned = arrays(store)[1]
    for choice, expected in ((None, cleaned), ("cleaned", cleaned), ("segmentation", labels)):
        export_tiff(store, tmp_path / "out.tif", choice)
        assert np.array_equal(tifffile.imread(tmp_path / "out.tif"), expected)
    assert evaluate_store(store, source, None)["ari"] < 1
    assert evaluate_store(store, source, None, "segmentation")["ari"] == 1
    with pytest.raises(InputError, match="only segmentation or cleaned"):
        export_tiff(store, tmp_path / "out.tif", "objects")


def test_what_is_missing_or_unknown_is_said(store):
    unknown = Postprocessing(objects=["organel"])
    with pytest.raises(
        InputError, match=r"objects: 'organel' is none of the classes; did you mean organelle\?"
    ):
        postprocess(store, unknown)
    next((store / "labels/segmentation/0/c").rglob("1/1/1")).unlink()
    with pytest.raises(InputError, match=r"1 of 18 blocks are missing, the first at \(4, 64, 64\)"):
        postprocess(store)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"min_size": 5}, "unknown key; did you mean min_size_voxels?"),
        (
            {"min_size_voxels": "many"},
            "min_size_voxels: give a number of voxels, or {class: number}, not 'many'",
        ),
        (
            {"min_size_voxels": {"mitochondria": 5}},
            "'mitochondria' is none of the classes; did you mean mitochondrion?",
        ),
        ({"min_size_voxels": {"cell": 0}}, "min_size_voxels.cell: input should be greater than 0, not 0"),
        (
            {"fill_holes": True},
            "fill_holes: give a list of classes, or {class: largest hole in voxels}, not True",
        ),
        (
            {"fill_holes": ["nucleus"]},
            "fill_holes: 'nucleus' is none of the classes; classes are background, cell",
        ),
        ({"connectivity": 18}, "connectivity: input should be 6 or 26, not 18"),
    ],
)
def test_mistakes_in_the_config_are_one_line(value, said):
    with pytest.raises(InputError) as error:
        check_config(changed("segmentation.postprocessing", value))
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_post_processing_is_no_setting_of_the_segmentation():
    plain = check_config(changed("segmentation.jobs", 1))
    more = check_config(
        changed("segmentation.postprocessing", {"min_size_voxels": 5, "fill_holes": ["cell"]})
    )
    assert stage_settings(plain, "segment_demo") == stage_settings(more, "segment_demo")
    wanted = stage_settings(more, "postprocess")
    assert Postprocessing.model_validate_json(wanted.model_dump_json()) == wanted
    assert wanted.smallest(CLASSES) == [5, 5, 5]
    assert [stage_settings(c, "evaluate_demo").labels for c in (plain, more)] == ["segmentation", "cleaned"]


def test_options_of_the_command_line():
    found = from_options(["50", "alpha granule=20"], ["cell=9", "nucleus"], ["cell"], 26)
    assert found.smallest(["nucleus", "alpha granule"]) == [50, 20]
    assert found.fill_holes == {"cell": 9, "nucleus": None}
    assert (found.objects, found.connectivity) == (["cell"], 26)
    with pytest.raises(InputError, match="--min-size cell=few: give CLASS=NUMBER"):
        from_options(["cell=few"], [], [], 6)


@pytest.mark.process
def test_the_command(store, tmp_path):
    options = ["--min-size", "organelle=40", "--objects", "organelle", "--receipt", tmp_path / "receipt.json"]
    done = runs.run(runs.genenet("postprocess", store, *options))
    assert done.returncode == 0, done.stderr
    assert "specks removed" in done.stderr
    receipt = json.loads((tmp_path / "receipt.json").read_text())
    assert len(pd.read_csv(table_of(store))) == receipt["objects"]["organelle"] > 0
    wrong = runs.run(runs.genenet("postprocess", store, "--objects", "mitochondrion"))
    assert wrong.returncode == 1
    assert (
        "objects: 'mitochondrion' is none of the classes; classes are background, cell, organelle"
        in wrong.stderr
    )
    assert len(wrong.stderr.splitlines()) == 1


MEMORY = (
    """
import re, threading, time
def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""
    + SCRIPT.replace(
        "PostprocessingJob(",
        """import genenet.segmentation.job
peak, before, stop = 0, anonymous(), threading.Event()
def watch():
    global peak
    while not stop.wait(0.002):
        peak = max(peak, anonymous())
threading.Thread(target=watch, daemon=True).start()
PostprocessingJob(""",
    )
    + "\nstop.set()\nprint(peak - before)\n"
)


@pytest.mark.process
def test_memory_doesnt_grow_with_the_number_of_blocks(tmp_path):
    blob = np.zeros((16, 256, 256), np.uint8)
    blob[4:12, 40:200, 30:220], blob[6:10, 60:90, 60:90], blob[7, 20, 20] = 1, 2, 2
    settings = Postprocessing(min_size_voxels=5, objects=["cell", "organelle"]).model_dump_json()
    taken = []
    for n in (8, 40):
        path = make_store(tmp_path / f"{n}.ome.zarr", np.concatenate([blob] * n), (16, 256, 256))
        done = runs.run([sys.executable, "-c", MEMORY, path, settings, str(blob.size)])
        assert done.returncode == 0, done.stderr
        taken.append(int(done.stdout))
        assert len(pd.read_csv(table_of(path))) == 2 * n
    more = 32 * blob.size / 1024  # kB of voxels in the larger volume; some MB come and go in zarr's threads
    assert taken[1] - taken[0] < more / 4, taken
