"""Folders of boxes that people label."""

import numpy as np
import pytest
import tifffile

from genenet.core.atomic_files import read_json, write_json
from genenet.core.errors import InputError
from genenet.core.ignore import IGNORE
from genenet.volumes.boxes import read_boxes, read_volume_of_boxes
from tests.support.boxes import write_boxes

CLASSES = ["background", "blob"]
PLACES = [np.s_[0:2, 0:20, 0:30], np.s_[1:3, 20:40, 10:40]]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    volume, labels = rng.integers(0, 200, (3, 40, 50), np.uint8), rng.integers(0, 2, (3, 40, 50), np.uint8)
    labels[0, 0, 0] = IGNORE
    return write_boxes(tmp_path / "boxes", volume, labels, PLACES, CLASSES, reviewed=[2])


def test_boxes_are_read_with_their_place(folder):
    first, second = read_boxes(folder)
    assert (first.reviewed, second.reviewed) == (False, True)
    assert second.place.slices == PLACES[1]
    image, labels = first.read(folder, 2)
    assert image.shape == labels.shape == (2, 20, 30)
    assert labels[0, 0, 0] == IGNORE
    assert np.array_equal(image, tifffile.imread(folder / "box_01_image.tif"))


def test_slices_have_their_own_normalisation(folder):
    volume = read_volume_of_boxes(folder)
    assert volume.classes == CLASSES
    assert len(volume.normalisation(1, 2).mean) == 1
    values = read_json(folder / "volume.json")
    values["statistics"] |= {"mean": [1, 2, 3], "deviation": [4, 5, 6]}
    write_json(folder / "volume.json", values)
    assert read_volume_of_boxes(folder).normalisation(1, 2).mean.tolist() == [2, 3]


def read_all(folder):
    read_volume_of_boxes(folder)
    read_boxes(folder)[0].read(folder, 2)


def test_what_is_wrong_is_one_line(folder):
    def fails(said):
        with pytest.raises(InputError, match=said) as caught:
            read_all(folder)
        assert "\n" not in str(caught.value)

    labels = folder / "box_01_labels.tif"
    tifffile.imwrite(labels, np.full((2, 20, 30), 7, np.uint8), photometric="minisblack")
    fails("box_01_labels.tif: label 7 .* is none of the 2 classes")
    tifffile.imwrite(labels, np.zeros((2, 20, 31), np.uint8), photometric="minisblack")
    fails(
        "box_01_labels.tif: has 2 x 20 x 31 voxels .* the box in boxes.csv has 2 x 20 x 30; save it in the size"
    )
    table = folder / "boxes.csv"
    table.write_text(table.read_text().replace("box_01", "../box_01"))
    fails("boxes.csv, line 2: box: ")
    (folder / "volume.json").write_text("{}")
    fails("volume.json: not the volume of a folder of boxes .*; genenet suggest writes it")


def test_a_spreadsheet_may_have_saved_the_table(folder):
    table = folder / "boxes.csv"
    table.write_text("\ufeff" + table.read_text().replace(",", ";").replace("yes", "Yes"), encoding="utf-8")
    assert [box.reviewed for box in read_boxes(folder)] == [False, True]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("yes", "perhaps", "line 3: reviewed: write yes, or leave it empty; not 'perhaps'"),
        ("box_02", "box_01", "two lines are of box_01"),
        ("box_02,1", "box_02,z", "line 3: z: "),
    ],
)
def test_a_table_with_a_mistake_is_one_line(folder, old, new, message):
    table = folder / "boxes.csv"
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message) as error:
        read_boxes(folder)
    assert "\n" not in str(error.value)
