"""An ensemble is adapted to another volume by a few labelled boxes; one that isn't better isn't taken."""

import json
import shutil

import numpy as np
import pytest
import tifffile

import genenet
from genenet.api.adaptation import adapt_folder
from genenet.config.adaptation import AdaptSettings
from genenet.core.atomic_files import read_json, write_json
from genenet.ensembles.adaptation import RECORD
from genenet.ensembles.description import read_description
from tests.support import runs
from tests.support.boxes import write_boxes
from tests.support.ensembles import CLASSES, write_ensemble

IMAGE, LABELS = runs.blobs((3, 96, 96), 3)
PLACES = [np.s_[0:1, 0:48, 0:48], np.s_[1:2, 48:96, 0:48], np.s_[2:3, 0:48, 48:96]]
SETTINGS = AdaptSettings(threads=1, device="cpu")


@pytest.fixture
def old(tmp_path):
    """Two networks with random weights, so that any training makes them better."""
    return write_ensemble(tmp_path / "old", n_stacks=(1, 0), net={"input_size": 32})


@pytest.fixture
def boxes(tmp_path):
    return write_boxes(tmp_path / "boxes", IMAGE, LABELS, PLACES, CLASSES)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_better_one_is_an_ensemble_like_any_other(tmp_path, old, boxes):
    out = tmp_path / "new"
    done = adapt_folder(old, boxes, out, SETTINGS)
    assert done.is_better
    assert done.after.ari > done.before.ari + 0.2
    description = read_description(out / "ensemble.json")
    assert description.adapted == done
    assert [crop.name for crop in done.crops] == ["box_01", "box_02", "box_03"]
    assert done.ensemble == str(old)
    assert done.source == "volume.tif"
    assert description.class_priors == [] or description.class_priors[2] == 1  # no box shows the class
    assert description.calibration.temperature > 0
    assert read_json(out / RECORD) == done.model_dump(mode="json")
    before, after = (genenet.load_ensemble(folder).segment(IMAGE, threads=1) for folder in (old, out))
    scores = [genenet.score(LABELS, found, classes=CLASSES)["ari"] for found in (before, after)]
    assert scores[1] > scores[0] + 0.2


def test_same_boxes_seed_and_threads_give_the_same_bits(tmp_path, old, boxes):
    for name in ("a", "b"):
        adapt_folder(old, boxes, tmp_path / name, SETTINGS)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_one_that_is_not_better_is_not_taken(tmp_path, old, caplog):
    said = genenet.load_ensemble(old).segment(IMAGE, threads=1)  # nothing can be better than what it says
    boxes = write_boxes(tmp_path / "boxes", IMAGE, said, PLACES, CLASSES)
    done = adapt_folder(old, boxes, tmp_path / "new", SETTINGS)
    assert not done.is_better
    assert "isn't better" in caplog.text
    found = contents(tmp_path / "new")
    assert (
        json.loads(found.pop((tmp_path / "new" / RECORD).relative_to(tmp_path / "new")))["is_better"] is False
    )
    assert found == contents(old)


def test_only_boxes_that_a_person_has_been_through_are_taken(tmp_path, old):
    boxes = write_boxes(tmp_path / "boxes", IMAGE, LABELS, PLACES, CLASSES, reviewed=[1, 3])
    tifffile.imwrite(
        boxes / "box_02_labels.tif", np.full((1, 48, 48), 77, np.uint8), photometric="minisblack"
    )
    done = adapt_folder(old, boxes, tmp_path / "new", SETTINGS)
    assert [crop.name for crop in done.crops] == ["box_01", "box_03"]


def test_boxes_are_normalised_as_their_volume(tmp_path, old):
    """Boxes of a volume that is twice as bright, with the statistics of that volume, give the same weights."""
    brighter = IMAGE.astype(np.uint16) * 2
    folders = [
        write_boxes(tmp_path / f"boxes{number}", image, LABELS, PLACES, CLASSES)
        for number, image in enumerate((IMAGE, brighter))
    ]
    for number, boxes in enumerate(folders):
        adapt_folder(old, boxes, tmp_path / f"new{number}", SETTINGS)
    one, other = (contents(tmp_path / f"new{number}/members") for number in (0, 1))
    assert one == other


def test_norms_of_a_volume_need_its_statistics(tmp_path):
    old = write_ensemble(tmp_path / "old", net={"norm": "instance", "input_size": 32})
    boxes = write_boxes(tmp_path / "boxes", IMAGE, LABELS, PLACES, CLASSES)
    with pytest.raises(genenet.InputError, match="boxes hold the norms' statistics for 0 networks.* has 1;"):
        adapt_folder(old, boxes, tmp_path / "new", SETTINGS)
    layers = ("encode/stack0", "decode/stack1", "decode/stack0")
    names = [f"layers.{layer.replace('/', '_')}_layer0.norm" for layer in layers]
    widths = (3, 6, 3)
    statistics = {
        f"{name}.{key}": [value] * width
        for name, width in zip(names, widths, strict=True)
        for key, value in (("running_mean", 0.1), ("running_var", 1.5))
    }
    values = read_json(boxes / "volume.json")
    values["statistics"]["norm_statistics"] = [statistics]
    write_json(boxes / "volume.json", values)
    done = adapt_folder(old, boxes, tmp_path / "new", SETTINGS.model_copy(update={"layers": "last-stack"}))
    assert done.only_heads == ["r0/000"]


def test_votes_and_priors_of_an_earlier_adaptation_count(tmp_path, boxes):
    old = write_ensemble(
        tmp_path / "old", (1, 0), net={"input_size": 32}, combination="vote", class_priors=[1.0, 2.0, 0.5]
    )
    done = adapt_folder(old, boxes, tmp_path / "new", SETTINGS)
    assert done.is_better
    again = adapt_folder(tmp_path / "new", boxes, tmp_path / "again", SETTINGS)
    said = genenet.load_ensemble(tmp_path / "new").segment(IMAGE[:1, :48, :48], threads=1)
    assert said.shape == (1, 48, 48)
    assert again.before.ari == pytest.approx(done.after.ari, abs=0.3)


def test_from_python(tmp_path, old, boxes):
    ensemble = genenet.load_ensemble(old)
    ensemble.segment(IMAGE[:1], threads=1)  # merges norms into convolutions
    new = genenet.adapt(ensemble, boxes, threads=1, device="cpu")
    assert new.description["adapted"]["after"]["ari"] > 0.2
    assert new.members == ensemble.members
    with pytest.raises(
        genenet.InputError, match="adapt: layers: 'heads' is no choice of layers; did you mean head"
    ):
        genenet.adapt(old, boxes, layers="heads")


def test_what_is_of_no_use_is_one_line(tmp_path, old):
    def fails(said, labels=LABELS, places=PLACES, out="new", classes=CLASSES, **facts):
        shutil.rmtree(tmp_path / "boxes", ignore_errors=True)
        boxes = write_boxes(tmp_path / "boxes", IMAGE, labels, places, classes, **facts)
        with pytest.raises(genenet.InputError, match=said) as caught:
            adapt_folder(old, boxes, tmp_path / out, SETTINGS)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "new").exists()

    fails("boxes.csv: no box is marked as reviewed; write yes into the column reviewed", reviewed=[])
    fails("one reviewed box can't show whether the new ensemble is better; go through", reviewed=[1])
    fails("the reviewed boxes show one class only; go through a box that shows another", labels=LABELS * 0)
    fails("box_01: no voxel has a class; label some, or take the mark", labels=LABELS * 0 + 255)
    fails(
        "the boxes have the classes a, b, the ensemble has background, cell, organelle; label", classes="ab"
    )
    fails("old: is the ensemble to be adapted; choose another name", out="old")
    (tmp_path / "mine").mkdir()
    fails("mine: exists and isn't an ensemble; choose another name", out="mine")


@pytest.mark.process
def test_the_command(tmp_path, old, boxes):
    command = ["adapt", old, "--crops", boxes, "--out", tmp_path / "new", "--threads", 1, "--device", "cpu"]
    done = runs.run(runs.genenet(*command))
    assert done.returncode == 0, done.stderr
    assert "on 3 boxes, each of which was left out of the training once:" in done.stdout
    assert "IoU of cell" in done.stdout
    assert "2 networks with a new head, temperature " in done.stdout
    again = adapt_folder(old, boxes, tmp_path / "again", SETTINGS)
    assert again.is_better
    assert contents(tmp_path / "again/members") == contents(tmp_path / "new/members")
    runs.fails(runs.genenet(*command[:3], tmp_path / "nowhere", *command[4:]), "volume.json: no such file")
