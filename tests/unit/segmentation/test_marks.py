"""What viewers mark: the most doubtful contacts, and boxes. Mistakes in tables are one line."""

import csv
import logging

import numpy as np
import pytest

from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.segmentation.marks import doubtful_contacts, marked_boxes
from genenet.segmentation.object_tables import tables_of
from genenet.segmentation.shown import corners, read_shown
from tests.support.stores import write_boxes, write_store, write_touching

BOX = ("box_01", 1, 10, 20, 3, 8, 16, 0.75, "disagreement", "")


@pytest.fixture
def store(tmp_path):
    return write_touching(tmp_path / "a.ome.zarr")


def change(store, old, new):
    """Replace text in the table of contacts."""
    _, table = tables_of(store.path, "cell")
    table.write_text(table.read_text().replace(old, new))
    return table


def test_contacts_are_those_of_the_table_the_most_doubtful_first(store):
    doubtful, certain = doubtful_contacts(store, "cell")
    assert (doubtful.objects, certain.objects) == ((2, 3), (1, 2))
    assert doubtful.risk == pytest.approx(1 - 200 / 255, abs=1e-3) == 1 - doubtful.border
    assert certain.risk == 0
    assert doubtful.disagreement == pytest.approx(50 / 255, abs=1e-3)
    # between the voxels 59 and 60 along x; the rows 10 to 29 and the slices 0 to 4
    assert doubtful.centre == (2, 19.5, 59.5)
    assert doubtful.area_nm2 == 5 * 20 * 40 * 10


def test_the_order_is_that_of_the_risk_also_in_a_table_that_was_sorted_anew(store):
    _, table = tables_of(store.path, "cell")
    header, first, second = table.read_text().splitlines()
    table.write_text("\n".join([header, second, first]) + "\n")
    assert [contact.objects for contact in doubtful_contacts(store, "cell")] == [(2, 3), (1, 2)]
    assert [contact.objects for contact in doubtful_contacts(store, "cell", most=1)] == [(2, 3)]
    assert doubtful_contacts(store, "cell", most=0) == []


def test_disagreement_that_was_not_stored_is_none(store):
    _, table = tables_of(store.path, "cell")
    with table.open() as file:
        rows = list(csv.DictReader(file))
    with table.open("w") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row | {"disagreement": ""} for row in rows)
    assert {contact.disagreement for contact in doubtful_contacts(store, "cell")} == {None}


def test_objects_without_their_table_are_shown_and_that_is_said(store, caplog):
    _, table = tables_of(store.path, "cell")
    table.unlink()
    with caplog.at_level(logging.WARNING):
        shown = read_shown(store.path)
    assert caplog.messages == [f"{table}: isn't there, so no contacts are shown; genenet instances writes it"]
    assert [(labels.name, labels.visible) for labels in shown.labels] == [
        ("segmentation", False),
        ("instances_cell", True),
    ]
    assert shown.by_risk == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("risk", "danger", r"line 2: has no risk; the table is incomplete, write it anew"),
        ("59.5", "sixty", r"line 2: x_voxels is 'sixty', not a number; correct it, or write the table anew"),
        ("59.5", "nan", r"line 2: x_voxels is 'nan', not a number"),
    ],
)
def test_a_table_of_contacts_with_a_mistake_names_the_line(store, old, new, message):
    table = change(store, old, new)
    with pytest.raises(InputError, match=message) as raised:
        doubtful_contacts(store, "cell")
    assert str(raised.value).startswith(str(table))


def test_what_is_no_table_is_one_line(store):
    _, table = tables_of(store.path, "cell")
    table.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a table of comma-separated values; write it anew"):
        doubtful_contacts(store, "cell")


def test_boxes_are_read_in_the_order_of_their_table(store, tmp_path):
    other = ("box_02", 0, 0, 0, 1, 40, 90, "", "", "Yes")
    first, second = marked_boxes(write_boxes(tmp_path / "boxes", BOX, other), store)
    assert (first.row.box, first.box) == ("box_01", Box((1, 10, 20), (4, 18, 36)))
    assert (second.row.reviewed, second.box) == (True, Box((0, 0, 0), (1, 40, 90)))
    assert corners(first.box) == ((0.5, 9.5, 19.5), (3.5, 17.5, 35.5))


def test_boxes_of_the_image_of_a_region_begin_at_the_region(tmp_path):
    labels = np.zeros((4, 40, 90), np.uint8)
    store = write_store(tmp_path / "b.ome.zarr", labels, attributes={"region": [[1, 5], None, [10, 100]]})
    (marked,) = marked_boxes(write_boxes(tmp_path / "boxes", BOX), store)
    assert marked.box == Box((0, 10, 10), (3, 18, 26))


def test_boxes_that_reach_outside_are_one_line(store, tmp_path):
    folder = write_boxes(tmp_path / "boxes", (*BOX[:4], 5, *BOX[5:]))
    message = (
        r"box_01 reaches outside of the segmentation, which has 5 x 40 x 90 voxels \(z, y, x\); "
        "give the segmentation that the boxes are of"
    )
    with pytest.raises(InputError, match=message):
        marked_boxes(folder, store)


def test_without_objects_the_classes_are_seen(tmp_path, store):
    plain = write_store(tmp_path / "b.ome.zarr", store.labels[...])
    assert [(labels.name, labels.visible) for labels in read_shown(plain.path).labels] == [
        ("segmentation", True)
    ]
