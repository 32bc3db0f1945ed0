"""Receipts of jobs: what was done, or why a part was given up; read back by the steps after them."""

import json

import pytest

from genenet.config.postprocessing import Postprocessing
from genenet.core.errors import InputError
from genenet.segmentation.objects import PostprocessingJob, table_of
from genenet.segmentation.receipts import Receipt, finished_store, read_receipt
from tests.support.ensembles import job, write_ensemble, write_image


@pytest.fixture
def folder(tmp_path):
    write_ensemble(tmp_path / "ensemble")
    write_image(tmp_path)
    return tmp_path


def write(folder, receipt, n_parts=2):
    path = folder / f"a/parts/{receipt.part:03d}-of-{n_parts:03d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(receipt.model_dump_json())
    return path


def test_a_receipt_is_read_as_it_was_written(folder):
    receipt = job(folder).run(1, 2)
    assert (receipt.status, receipt.part, receipt.n_parts, receipt.written) == ("ok", 1, 2, 6)
    assert read_receipt(write(folder, receipt)) == receipt


def test_receipts_of_version_0_1_are_read(folder):
    old = json.loads(write(folder, job(folder).run(1, 2)).read_text()) | {"format": "genenet.receipt/1"}
    del old["status"], old["reason"]
    (folder / "old.json").write_text(json.dumps(old))
    assert read_receipt(folder / "old.json").status == "ok"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "genenet.receipt/9"}, "format: "),
        ({"format": None}, "format: "),
        ({"status": "lost"}, "status: "),
        ({"part": 0}, "part: "),
        ({"written": -1}, "written: "),
        ({"surprise": 1}, "surprise: unknown key"),
        ({"seconds": "long"}, "seconds: "),
    ],
)
def test_a_receipt_of_another_version_or_making_is_one_line(folder, change, message):
    path = folder / "odd.json"
    path.write_text(json.dumps(Receipt(part=1, n_parts=2).model_dump() | change))
    with pytest.raises(InputError) as caught:
        read_receipt(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_damaged_receipt_is_one_line(folder, text):
    path = folder / "odd.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"odd\.json: ") as caught:
        read_receipt(path)
    assert "\n" not in str(caught.value)


def test_the_steps_after_segmenting_fail_with_the_reason(folder):
    job(folder).run(1, 2)
    store = folder / "a.ome.zarr"
    with pytest.raises(InputError, match="6 of 12 blocks are missing"):
        finished_store(store)
    reason = (
        "given up after 3 attempts without progress beyond block 0; the last: InputError: image.tif: damaged"
    )
    write(folder, Receipt(part=1, n_parts=2))
    write(folder, Receipt(part=2, n_parts=2, status="unfinished", reason=reason))
    expected = (
        rf"a\.ome\.zarr: part 2 of 2 is unfinished: {reason}; once the cause is removed, run genenet retry"
    )
    with pytest.raises(InputError, match=expected):
        finished_store(store)
    with pytest.raises(InputError, match=expected):
        PostprocessingJob(store, Postprocessing(), table_of(store)).run()


def test_a_volume_of_which_no_store_was_made_fails_with_the_reason(folder):
    write(folder, Receipt(part=1, n_parts=2, status="unfinished", reason="image.tif: no such file"))
    write(folder, Receipt(part=2, n_parts=2, status="unfinished", reason="image.tif: no such file"))
    with pytest.raises(
        InputError, match=r"part 1 of 2 \(and 1 more\) is unfinished: image\.tif: no such file"
    ):
        finished_store(folder / "a.ome.zarr")


def test_a_finished_store_doesnt_ask_for_receipts(folder):
    write(folder, Receipt(part=1, n_parts=2, status="unfinished", reason="of an earlier run"))
    job(folder).run()
    assert finished_store(folder / "a.ome.zarr").missing == []
