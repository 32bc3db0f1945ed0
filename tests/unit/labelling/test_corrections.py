"""Boxes that a person has corrected become labels of their volume, which a search can be trained on."""

import numpy as np
import pytest
import tifffile
import yaml
import zarr

from genenet.config.model import check_config
from genenet.config.settings import ImageFiles, PrepareSettings
from genenet.core.atomic_files import read_json, write_json
from genenet.core.errors import InputError
from genenet.labelling.corrected_labels import read_corrected
from genenet.labelling.corrections import ALL, Corrections, ignore_label_of
from genenet.labelling.labelled import labelled_boxes
from genenet.training.prepare import prepare
from genenet.volumes.boxes import read_boxes, read_volume_of_boxes
from genenet.volumes.opening import open_volume
from tests.support import runs
from tests.support.boxes import write_boxes
from tests.support.configs import changed
from tests.support.runs import fails

CLASSES = ["background", "cell", "organelle"]
SHAPE = (6, 60, 80)
PLACES = [np.s_[0:2, 0:24, 0:24], np.s_[3:5, 20:44, 30:54], np.s_[4:6, 36:60, 56:80]]


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, SHAPE, np.uint8)


@pytest.fixture
def folder(tmp_path, image):
    """Three boxes, of which the second is marked; nothing is changed yet."""
    tifffile.imwrite(tmp_path / "image.tif", image, photometric="minisblack")
    return make(tmp_path / "boxes", image)


def make(path, image, reviewed=(2,), **facts):
    source = ImageFiles(image=[path.parent / "image.tif"], labels=None, region=None)
    facts = {"files": source.model_dump(mode="json"), "shape": list(SHAPE), **facts}
    write_boxes(path, image, image % 3, PLACES, CLASSES, reviewed, **facts)
    (path / "predictions").mkdir()
    for file in path.glob("*_labels.tif"):
        (path / "predictions" / file.name).write_bytes(file.read_bytes())
    return path


def edit(folder, number, change):
    """Change the labels of a box as a person does."""
    path = folder / f"box_{number:02d}_labels.tif"
    labels = change(tifffile.imread(path))
    tifffile.imwrite(path, labels, photometric="minisblack")
    return labels


def corrected(folder, reviewed=None, ignore_label=255, into="corrections.ome.zarr"):
    into = folder.parent / into
    lines = Corrections(folder, into, reviewed, ignore_label).run()
    return lines, zarr.open_array(into / "0", mode="r")


def test_only_reviewed_boxes_are_labelled(folder, image):
    labels = edit(folder, 2, lambda old: np.where(old == 2, 1, old).astype(np.uint8))
    lines, found = corrected(folder)
    assert found.shape == SHAPE
    assert found.dtype == np.uint8
    expected = np.full(SHAPE, 255, np.uint8)
    expected[PLACES[1]] = labels
    assert np.array_equal(found[...], expected)
    n = int((image[PLACES[1]] % 3 == 2).sum())
    kept = int((image[PLACES[1]] % 3 == 1).sum())
    assert f"box_02: {n} of 1,152 voxels changed ({n / 1152:.1%})" in lines
    assert f"cell: {n} voxels added, 0 removed, {kept} kept" in lines
    assert f"organelle: 0 voxels added, {n} removed, 0 kept" in lines
    assert not any(line.startswith("background") for line in lines)


def test_chunks_without_a_box_are_not_stored(tmp_path, image):
    big = (64, 1000, 1000)
    folder = make(tmp_path / "boxes", image, shape=list(big))
    _, found = corrected(folder)
    assert found.shape == big
    assert found.nchunks_initialized == 1
    assert int(found[63, 999, 999]) == 255


@pytest.mark.parametrize(
    ("ignore_label", "dtype", "first"),
    [(255, "uint8", 0), (0, "uint8", 1), (-1, "int16", 0), (300, "uint16", 0)],
)
def test_the_configs_ignored_label_is_written(folder, image, ignore_label, dtype, first):
    edit(folder, 2, lambda old: np.where(np.arange(24) < 3, 255, old).astype(np.uint8))
    lines, found = corrected(folder, ignore_label=ignore_label)
    assert found.dtype == dtype
    labels = found[...]
    assert (labels[PLACES[1]][:, :, :3] == ignore_label).all()
    assert np.array_equal(labels[PLACES[1]][:, :, 3:], image[PLACES[1]][:, :, 3:] % 3 + first)
    assert (labels[PLACES[0]] == ignore_label).all()
    assert f"  ignore_label: {ignore_label}" in lines


def test_all_or_some_boxes_can_be_named(folder, image):
    def labelled(reviewed):
        found = corrected(folder, reviewed)[1][...]
        return [bool((found[place] != 255).all()) for place in PLACES]

    assert labelled(ALL) == [True, True, True]
    assert labelled("box_01, box_03") == [True, False, True]
    with pytest.raises(InputError, match="box_9 isn't one of the boxes box_01, box_02, box_03"):
        corrected(folder, "box_01,box_9")


def test_a_box_that_is_changed_but_not_marked_is_said(folder, caplog):
    edit(folder, 1, lambda old: np.zeros_like(old))
    corrected(folder)
    assert "box_01 is changed, but not marked as reviewed, and left out" in caplog.text


def test_rounds_are_added_and_a_repeated_round_is_replaced(folder, image):
    corrected(folder, "box_01")
    other = make(folder.parent / "more", image)
    edit(other, 2, lambda old: np.ones_like(old))
    lines, found = corrected(other)
    assert (found[PLACES[1]] == 1).all()
    assert np.array_equal(found[PLACES[0]], image[PLACES[0]] % 3)
    assert "corrections.ome.zarr: 2 labelled boxes of 2 rounds; all other voxels are 255" in lines[-7]
    _, found = corrected(folder, "box_03")
    assert (found[PLACES[0]] == 255).all()
    assert (found[PLACES[1]] == 1).all()
    facts = read_corrected(folder.parent / "corrections.ome.zarr")
    assert [(r.folder, [b.box for b in r.boxes]) for r in facts.rounds] == [
        (str(other), ["box_02"]),
        (str(folder), ["box_03"]),
    ]
    places = [box.slices for box in labelled_boxes([folder.parent / "corrections.ome.zarr", folder])]
    assert sorted(map(str, places)) == sorted(map(str, PLACES))


def test_labels_of_another_volume_are_not_mixed(folder, image):
    corrected(folder)
    with pytest.raises(
        InputError, match="its ignore_label is 255, that of the boxes -1; write --into another"
    ):
        corrected(folder, ignore_label=-1)
    (folder.parent / "other.ome.zarr").mkdir()
    with pytest.raises(InputError, match="neither a folder of boxes that genenet suggest wrote, nor labels"):
        corrected(folder, into="other.ome.zarr")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda old: old[:, :-1],
            "box_02_labels.tif: has 2 x 23 x 24 voxels .* save it in the size that it had",
        ),
        (
            lambda old: old + np.uint8(6),
            "box_02_labels.tif: label [678] .* is none of the 3 classes, which are 0 to 2; write 255 where the class",
        ),
        (
            lambda old: old.astype(np.float32),
            "box_02_labels.tif: labels are float32; save the class ids as integers",
        ),
    ],
)
def test_a_file_that_was_spoilt_is_one_line(folder, change, message):
    edit(folder, 2, change)
    with pytest.raises(InputError, match=message):
        corrected(folder)
    assert not (folder.parent / "corrections.ome.zarr").exists()


def test_no_reviewed_box_is_one_line(tmp_path, image):
    folder = make(tmp_path / "boxes", image, reviewed=())
    with pytest.raises(InputError, match="none of its boxes is reviewed; write yes into the last column"):
        corrected(folder)
    with pytest.raises(InputError, match="--reviewed: names no box"):
        corrected(folder, ",")


def test_boxes_without_a_volume_are_one_line(folder):
    values = read_json(folder / "volume.json")
    write_json(folder / "volume.json", {k: v for k, v in values.items() if k != "files"})
    with pytest.raises(InputError, match="its volume.json has no files: and shape: of the volume"):
        corrected(folder)


def test_a_class_cant_be_ignored(folder):
    with pytest.raises(InputError, match="--ignore-label 1 is the label of class 'cell'"):
        corrected(folder, ignore_label=1)


def test_the_printed_lines_train(folder, image):
    """They are those of a config, whose images are prepared; the store opens as labels of the image's place."""
    lines, _ = corrected(folder)
    data = yaml.safe_load("\n".join(lines[lines.index("lines for config.yaml:") + 1 :]))["data"]
    config = check_config(
        changed("data", {**data, "classes": CLASSES, "voxel_size_nm": [40, 10, 10], "folds": 2})
    )
    entry = config.data.train[0]
    files = ImageFiles(image=entry.path, labels=entry.labels, region=entry.region)
    settings = PrepareSettings(
        images=[files], classes=CLASSES, ignore_label=config.data.ignore_label, voxel_size_nm=(40, 10, 10)
    )
    prepare(settings, folder.parent / "train.zarr.zip")
    labels = open_volume(entry.labels, is_grey=False)
    assert labels.voxel_size_nm == (40.0, 10.0, 10.0)


def test_of_a_large_volume_the_part_around_the_boxes_is_trained_on(tmp_path, image):
    description = {
        "format": "genenet.ensemble/1",
        "classes": CLASSES,
        "voxel_size_nm": [40, 10, 10],
        "normalisation": {"mode": "image", "mean": 1, "deviation": 1},
        "members": [{"folder": "members/00", "run": "r0/000", "genome": "g"}],
    }
    write_json(tmp_path / "ensemble/ensemble.json", description)
    big = {"shape": [64, 4000, 4000], "ensemble": str(tmp_path / "ensemble")}
    lines, _ = corrected(make(tmp_path / "boxes", image, **big))
    assert "    region: [[0, 37], [0, 556], [0, 566]]" in lines
    write_json(
        tmp_path / "ensemble/ensemble.json",
        description | {"normalisation": {**description["normalisation"], "mode": "volume"}},
    )
    lines, _ = corrected(tmp_path / "boxes")
    assert not any("region" in line for line in lines)


def test_the_config_says_which_label_is_ignored(tmp_path, folder):
    config = changed("data.classes", CLASSES)
    config["data"]["ignore_label"] = -1
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    assert ignore_label_of(tmp_path / "config.yaml", folder) == -1
    assert ignore_label_of(None, folder) == 255
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(changed("data.ignore_label", 9)))
    with pytest.raises(InputError, match="give the config that the ensemble was made with"):
        ignore_label_of(tmp_path / "config.yaml", folder)


@pytest.mark.process
def test_from_the_command_line(folder):
    command = runs.genenet("corrections", folder, "--into", folder.parent / "c.ome.zarr")
    done = runs.run_without("torch", *command[3:])
    assert done.returncode == 0, done.stderr
    assert "c.ome.zarr: 1 labelled box; all other voxels are 255" in done.stdout
    fails([*command, "--reviewed", "box_7"], "box_7 isn't one of the boxes")
    assert read_volume_of_boxes(folder).classes == CLASSES
    assert len(read_boxes(folder)) == 3
