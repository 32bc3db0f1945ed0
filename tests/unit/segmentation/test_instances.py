"""Objects that touch: seeds, growth, and their tables, on probabilities that no network has made."""

import csv
import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import label
from skimage.metrics import adapted_rand_error
from skimage.segmentation import relabel_sequential, watershed

from genenet.config.instances import InstanceSettings
from genenet.core.errors import InputError
from genenet.core.geometry import Box, blocks_of
from genenet.objects import growth
from genenet.objects.finder import Finder, find_in_memory
from genenet.objects.growth import grown
from genenet.objects.stages import UNDECIDED, Thresholds, core
from genenet.segmentation.instances import InstancesJob
from genenet.segmentation.object_tables import tables_of
from genenet.volumes.label_images import open_labels
from genenet.volumes.ome_zarr import open_store
from tests.support import runs
from tests.support.stores import write_store

CLASSES = ["background", "cell", "vessel"]
OBJECTS = [{"name": "cell", "of": ["cell"]}]


def cells(shape=(10, 60, 70), n=25, seed=0, smooth=1.0, width=2.5):
    """Object and border probabilities in 255 levels of cells that fill the space between their centres."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 1, (n, 3)) * shape
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)[..., None, :]
    distance = np.sqrt((((places - centres) * (3, 1, 1)) ** 2).sum(axis=-1))
    nearest, second = np.sort(distance, axis=-1)[..., :2].transpose(3, 0, 1, 2)
    inside = 1 / (1 + np.exp(nearest - 14))
    noise = ndimage.gaussian_filter(rng.normal(size=shape), smooth) * 0.3
    border = inside / (1 + np.exp((second - nearest) - width + noise))
    return np.rint(inside * 255).astype(np.uint8), np.rint(border * 255).astype(np.uint8)


def plain(of_object, border, thresholds):
    """The same with scikit-image on the whole volume."""
    inside, cores = of_object >= thresholds.extent * 255, core(of_object, border)
    seeds = label(inside & (cores >= thresholds.seed * 255), connectivity=1)
    found = watershed(255 - cores, seeds, connectivity=1, mask=inside)
    rest = label(inside & (found == 0), connectivity=1)
    return np.where(rest > 0, rest + found.max(), found)


def blockwise(of_object, border, thresholds, block, folder):
    """As the job does it, but in memory."""
    boxes = blocks_of(of_object.shape, block)

    def read(box):
        return of_object[box.slices], border[box.slices]

    finder = Finder(of_object.shape, boxes, read, thresholds, folder)
    n, parts = finder.seeds(iter(boxes))
    seeds, found = (np.zeros(of_object.shape, np.uint32) for _ in range(2))
    for box, numbers in parts:
        seeds[box.slices] = numbers
    for box in boxes:
        found[box.slices] = grown(box, of_object.shape, lambda b: seeds[b.slices], read)
    assert set(np.unique(found)) <= set(range(n + 1))
    return found


def assert_ties(of_object, border, thresholds, found, expected):
    """Where two results differ, both objects' seeds reach the voxel at the same level of the flood, the lowest one."""
    inside, cores = of_object >= thresholds.extent * 255, core(of_object, border)
    seeds = inside & (cores >= thresholds.seed * 255)
    assert np.array_equal(found[seeds], expected[seeds])
    left = {tuple(place) for place in np.argwhere(found != expected)}
    for level in range(256):
        flooded = label(inside & (255 - cores <= level), connectivity=1)
        for place in list(left):
            component = (flooded == flooded[place]) & seeds if flooded[place] else np.zeros_like(seeds)
            both = [
                bool((component & (expected == number)).any()) for number in (found[place], expected[place])
            ]
            assert both[0] == both[1], (place, level)
            if both[0]:
                left.remove(place)
        if not left:
            return
    assert not left


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.4, 0.6]), st.sampled_from([0.3, 0.5]))
def test_in_one_block_it_is_the_watershed_of_scikit_image(seed, seeds, extent):
    levels, thresholds = cells((6, 30, 34), 9, seed), Thresholds(seeds, extent)
    found = find_in_memory(*levels, thresholds)
    expected = plain(*levels, thresholds)
    assert np.array_equal(found > 0, expected > 0)
    # voxels that two seeds reach at the same level are given to either; on a plateau these may be many
    assert_ties(*levels, thresholds, found, expected)
    assert adapted_rand_error(expected, found, ignore_labels=(0,))[0] < 0.01
    assert np.array_equal(found, relabel_sequential(found)[0]), "without gaps"


@pytest.mark.parametrize("block", [(10, 60, 70), (4, 16, 16), (3, 25, 70), (10, 7, 9)])
def test_another_grid_changes_hardly_anything(block, tmp_path):
    levels, thresholds = cells(), Thresholds()
    whole = find_in_memory(*levels, thresholds)
    assert whole.max() > 15
    found = blockwise(*levels, thresholds, block, tmp_path)
    assert adapted_rand_error(whole, found)[0] <= 0.002
    cores = core(*levels) >= 128
    assert np.array_equal(found[cores], whole[cores]), "seeds don't depend on the grid at all"


def test_a_halo_that_is_too_small_grows(tmp_path, monkeypatch):
    of_object, border = np.full((1, 8, 100), 255, np.uint8), np.full((1, 8, 100), 255, np.uint8)
    border[:, 2:6, 2:6] = border[:, 2:6, 94:98] = 0
    monkeypatch.setattr(growth, "HALO", (0, 1, 1))
    found = blockwise(of_object, border, Thresholds(), (1, 8, 10), tmp_path)
    assert set(np.unique(found)) == {1, 2}
    assert (found[:, :, :40] == 1).all()
    assert (found[:, :, 60:] == 2).all()


def test_objects_without_a_core_and_specks(tmp_path):
    of_object, border = np.zeros((2, 20, 20), np.uint8), np.zeros((2, 20, 20), np.uint8)
    of_object[:, 2:4, 2:12] = border[:, 2:4, 2:12] = 255  # nothing but border, 40 voxels
    of_object[0, 8, 8] = 255  # a seed of one voxel alone
    of_object[:, 12:18, 2:14] = 255
    border[:, 12:18, 7:9] = 255
    border[0, 14, 7] = 0  # a speck of a seed in the border between two objects, with 24 voxels each side
    found = find_in_memory(of_object, border, Thresholds(min_size_voxels=10))
    assert len(np.unique(found[found > 0])) == 3
    assert (found[:, 2:4, 2:12] == 1).all()
    assert found[0, 8, 8] == 0
    assert UNDECIDED not in found
    assert found[0, 14, 2] != found[0, 14, 13]


def test_levels_that_are_rounded_up_dont_wrap_around():
    assert core(np.array([10], np.uint8), np.array([11], np.uint8)).tolist() == [0]


class Volume:
    """A store of cells as ``genenet segment`` leaves it."""

    def __init__(self, folder, block=(4, 16, 16), dtype="uint8", disagreement=True, objects=OBJECTS):
        self.path = folder / "v.ome.zarr"
        self.of_object, self.border = cells((8, 48, 50), 16)
        self.labels = (self.of_object >= 128).astype(np.uint8)
        self.labels[:, :8][self.labels[:, :8] == 0] = 2
        rng = np.random.default_rng(1)
        self.doubt = rng.integers(0, 255, self.labels.shape).astype(np.uint8)
        self.apart = rng.integers(0, 255, self.labels.shape).astype(np.uint8)
        names = ["uncertainty", *(["disagreement"] if disagreement else []), "object cell", "border cell"]
        arrays = [self.doubt, *([self.apart] if disagreement else []), self.of_object, self.border]
        channels = np.stack(arrays)
        if dtype != "uint8":
            channels = (channels / 255).astype(dtype)
        facts = {"attributes": {"objects": objects}, "names": names, "classes": CLASSES}
        write_store(self.path, self.labels, channels, block, **facts)

    def run(self, **changes):
        changes = {"work_voxels": 4000, **changes}
        return InstancesJob(self.path, InstanceSettings(), **changes).run()

    @property
    def objects(self):
        return np.asarray(open_labels(open_store(self.path), "instances_cell")[...])

    def rows(self, which):
        with tables_of(self.path, "cell")[which].open() as file:
            return list(csv.DictReader(file))


def test_the_store_s_objects_are_those_in_memory(tmp_path):
    volume = Volume(tmp_path)
    shown = []
    job = InstancesJob(volume.path, InstanceSettings(min_size_voxels=0), work_voxels=4000)
    done = job.run(lambda *args: shown.append(args[:2]))
    whole = find_in_memory(volume.of_object, volume.border, Thresholds())
    assert done["classes"]["cell"]["objects"] == whole.max() == volume.objects.max()
    assert adapted_rand_error(whole, volume.objects)[0] <= 0.002
    n = len(blocks_of(volume.labels.shape, job.block))
    assert n > 3
    assert shown == [(i, 3 * n) for i in range(1, 3 * n + 1)]
    assert done["block"] == list(job.block)
    assert not list((volume.path / "labels").glob(".*")), "nothing temporary is left"


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_second_run_writes_the_same(tmp_path, dtype):
    volume = Volume(tmp_path, dtype=dtype)
    volume.run()
    first = [volume.objects, *(path.read_text() for path in tables_of(volume.path, "cell"))]
    volume.run(threads=3)
    assert np.array_equal(first[0], volume.objects)
    assert first[1:] == [path.read_text() for path in tables_of(volume.path, "cell")]


def test_the_table_of_objects(tmp_path):
    volume = Volume(tmp_path)
    volume.run()
    objects, rows = volume.objects, volume.rows(0)
    assert [int(row["id"]) for row in rows] == list(range(1, objects.max() + 1))
    padded = np.pad(objects, 1, mode="edge")  # faces at the volume's end don't count
    classes = np.pad(volume.labels, 1, mode="edge")
    for row in rows:
        mine = objects == int(row["id"])
        places = np.argwhere(mine)
        assert int(row["volume_voxels"]) == len(places)
        assert [float(row[f"centroid_{a}_voxels"]) for a in "zyx"] == pytest.approx(
            places.mean(axis=0), abs=1e-3
        )
        assert [int(row[f"{a}_start"]) for a in "zyx"] == places.min(axis=0).tolist()
        assert [int(row[f"{a}_stop"]) for a in "zyx"] == (places.max(axis=0) + 1).tolist()
        assert int(row["n_slices"]) == len(set(places[:, 0]))
        assert float(row["uncertainty"]) == pytest.approx(volume.doubt[mine].mean() / 255, abs=1e-4)
        surface, touching = 0.0, np.zeros(3)
        inner = padded == int(row["id"])
        inner[[0, -1]] = inner[:, [0, -1]] = inner[:, :, [0, -1]] = False
        for axis, area in enumerate((100.0, 400.0, 400.0)):
            for step in (-1, 1):
                other = np.roll(padded, step, axis)
                faces = inner & (other != int(row["id"]))
                surface += faces.sum() * area
                touching += np.bincount(np.roll(classes, step, axis)[faces], minlength=3)
        assert float(row["surface_nm2"]) == pytest.approx(surface)
        assert [int(row[f"contact_{name}_faces"]) for name in CLASSES] == touching.tolist()
        volume_nm3 = len(places) * 4000
        if surface:
            sphericity = np.pi ** (1 / 3) * (6 * volume_nm3) ** (2 / 3) / surface
            assert float(row["sphericity"]) == pytest.approx(sphericity, abs=1e-4)


def test_the_table_of_contacts_begins_with_the_most_doubtful(tmp_path):
    volume = Volume(tmp_path)
    volume.run()
    objects, rows = volume.objects.astype(int), volume.rows(1)
    found = {(int(row["object_a"]), int(row["object_b"])): row for row in rows}
    expected = {}
    for axis in range(3):
        a, b = np.moveaxis(objects, axis, 0)[:-1], np.moveaxis(objects, axis, 0)[1:]
        at = (a != b) & (a > 0) & (b > 0)
        sides = [np.moveaxis(x, axis, 0) for x in (volume.border, volume.apart)]
        means = [(x[:-1].astype(float) + x[1:])[at] / 2 / 255 for x in sides]
        places = np.argwhere(at) + [0.5, 0, 0]
        places = np.insert(places[:, 1:], axis, places[:, 0], axis=1)
        for low, high, border, apart, place in zip(
            np.minimum(a, b)[at], np.maximum(a, b)[at], *means, places, strict=True
        ):
            expected.setdefault((low, high), []).append((border, apart, *place))
    assert set(found) == set(expected)
    for pair, faces in expected.items():
        border, apart, z, y, x = np.mean(faces, axis=0)
        row = found[pair]
        assert int(row["faces"]) == len(faces)
        assert float(row["border"]) == pytest.approx(border, abs=1e-4)
        assert float(row["disagreement"]) == pytest.approx(apart, abs=1e-4)
        assert [float(row[f"{axis}_voxels"]) for axis in "zyx"] == pytest.approx([z, y, x], abs=0.01)
        assert float(row["z_nm"]) == pytest.approx(40 * z, abs=0.5)
    risks = [float(row["risk"]) for row in rows]
    assert risks == sorted(risks, reverse=True)
    assert risks[0] == pytest.approx(1 - float(rows[0]["border"]), abs=2e-4)


def test_without_disagreement_its_column_is_empty(tmp_path):
    volume = Volume(tmp_path, disagreement=False)
    volume.run()
    assert {row["disagreement"] for row in volume.rows(1)} == {""}


def test_a_store_without_objects_says_what_to_do(tmp_path):
    volume = Volume(tmp_path, objects=[])
    with pytest.raises(InputError, match="training images need instances:"):
        volume.run()
    with pytest.raises(InputError, match="has no objects of class vessel, only of cell"):
        Volume(tmp_path).run(classes=["vessel"])


def test_an_error_leaves_nothing_and_the_next_run_succeeds(tmp_path, monkeypatch):
    volume = Volume(tmp_path)
    volume.run()
    calls = []

    def failing(box, *args):
        calls.append(box)
        if len(calls) == 3:
            raise OSError("the disk is full")
        return grown(box, *args)

    monkeypatch.setattr("genenet.segmentation.instances.grown", failing)
    with pytest.raises(OSError, match="full"):
        volume.run()
    assert sorted(path.name for path in (volume.path / "labels").iterdir()) == ["segmentation", "zarr.json"]
    assert not any(path.exists() for path in tables_of(volume.path, "cell"))
    monkeypatch.undo()
    assert volume.run()["classes"]["cell"]["objects"] == volume.objects.max()


def test_what_the_validation_images_said_is_used_unless_the_user_says_otherwise(tmp_path):
    volume = Volume(tmp_path)
    metadata = json.loads((volume.path / "zarr.json").read_text())
    found = InstancesJob(volume.path, InstanceSettings()).run()["classes"]["cell"]
    assert (found["seed"], found["extent"]) == (0.5, 0.5)
    attributes = metadata["attributes"]["genenet"]
    risk = {"intercept": 0, "border": 0, "disagreement": 0, "log_faces": 0, "n_contacts": 9}
    attributes["tuned_objects"] = {"cell": {"seed": 0.7, "extent": 0.4, "risk": risk}}
    (volume.path / "zarr.json").write_text(json.dumps(metadata))
    found = InstancesJob(volume.path, InstanceSettings()).run()["classes"]["cell"]
    assert (found["seed"], found["extent"]) == (0.7, 0.4)
    assert {row["risk"] for row in volume.rows(1)} == {"0.5"}
    found = InstancesJob(volume.path, InstanceSettings(seed=0.6)).run()["classes"]["cell"]
    assert (found["seed"], found["extent"]) == (0.6, 0.4)


def test_a_box_grows_by_its_halo():
    assert Box((1, 2, 3), (4, 5, 6)).grow((1, 0, 2)) == Box((0, 2, 1), (5, 5, 8))


MEMORY = """
import re, sys, threading
from pathlib import Path
import cc3d, skimage.segmentation
from genenet.config.instances import InstanceSettings
from genenet.segmentation.instances import InstancesJob

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1])

peak, before, stop = 0, anonymous(), threading.Event()
def watch():
    global peak
    while not stop.wait(0.002):
        peak = max(peak, anonymous())
threading.Thread(target=watch, daemon=True).start()
InstancesJob(Path(sys.argv[1]), InstanceSettings(), work_voxels=int(sys.argv[2])).run()
stop.set()
print(peak - before)
"""


@pytest.mark.process
def test_memory_doesnt_grow_with_the_number_of_blocks(tmp_path):
    of_object, border = cells((8, 128, 128), 6)  # few, since the graph grows with the objects
    labels = (of_object >= 128).astype(np.uint8)
    channels = np.stack([border, border, of_object, border])
    names = ["uncertainty", "disagreement", "object cell", "border cell"]
    taken = []
    for n in (6, 90):
        path = tmp_path / f"{n}.ome.zarr"
        facts = {"attributes": {"objects": OBJECTS}, "names": names, "classes": CLASSES}
        repeated = np.concatenate([channels] * n, axis=1)
        write_store(path, np.concatenate([labels] * n), repeated, (8, 128, 128), **facts)
        done = runs.run([sys.executable, "-c", MEMORY, path, str(labels.size)])
        assert done.returncode == 0, done.stderr
        taken.append(int(done.stdout))
    more = (
        84 * channels.size / 1024
    )  # kB of the larger volume's channels; its objects' numbers take as much again
    print(taken, more)
    assert taken[1] - taken[0] < 0.75 * more, taken
