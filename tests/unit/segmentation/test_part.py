"""A part of a segmentation is given up after three attempts without a new block, and its receipt says why."""

import dataclasses
import errno
import json
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import tifffile

from genenet.config.segmentation import Segmentation
from genenet.config.settings import ImageFiles, SegmentSettings
from genenet.core import exit_codes
from genenet.core.atomic_files import write_json
from genenet.core.errors import InputError, MachineError
from genenet.core.paths import ResultPaths
from genenet.search.retry import find, retry
from genenet.segmentation.part import ATTEMPTS, PartOfSegmentation
from genenet.segmentation.receipts import finished_store, read_receipt
from genenet.volumes.ome_zarr import open_store
from tests.support.ensembles import job, write_ensemble, write_image
from tests.support.runs import fails, genenet, run

PATHS = ResultPaths(Path("results"))
STORE, RECEIPT = Path(PATHS.store("a")), Path(PATHS.receipt("a", "002-of-002"))


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder with an ensemble and an image, as the workflow would have them."""
    monkeypatch.chdir(tmp_path)
    write_ensemble(tmp_path / "ensemble")
    write_image(tmp_path)
    return tmp_path


def part(image="image.tif"):
    """The second half of the volume ``a``, 6 of 12 blocks."""
    settings = SegmentSettings(
        volume=ImageFiles(image=[Path(image)], labels=None, region=None),
        segmentation=Segmentation(block=(2, 32, 64)),
        threads=1,
        device="cpu",
    )
    return PartOfSegmentation(settings, Path("ensemble"), STORE, RECEIPT, 2, 2)


def segment(_settings=None, **more):
    """Segment the part for once."""
    return job(Path(), STORE, **more).run(2, 2)


def raising(error):
    def work(_settings):
        raise error

    return work


def attempts():
    return json.loads(RECEIPT.with_suffix(".attempts.json").read_text())["attempts"]


@pytest.mark.process
def test_a_part_that_is_done_is_ok():
    receipt = part().run(segment)
    assert (receipt.status, receipt.written) == ("ok", 6)
    assert [(a["ending"], a["began_at_iteration"], a["ended_at_iteration"]) for a in attempts()] == [
        ("finished", 0, 6)
    ]


@pytest.mark.process
@pytest.mark.parametrize(
    ("error", "raised", "code"),
    [
        (InputError("image.tif: damaged"), InputError, exit_codes.USER_ERROR),
        (OSError(errno.ENOSPC, "No space left on device"), MachineError, exit_codes.MACHINE),
        (RuntimeError("CUDA error: an illegal memory access"), MachineError, exit_codes.MACHINE),
    ],
)
def test_what_ended_an_attempt_decides_the_exit_code_and_the_third_is_the_last(error, raised, code):
    for _ in range(ATTEMPTS - 1):
        with pytest.raises(raised) as caught:
            part().run(raising(error))
        assert caught.value.status == code
    receipt = part().run(raising(error))
    assert receipt.status == "unfinished"
    assert receipt.reason.startswith("given up after 3 attempts without progress beyond block 0; the last: ")
    assert str(error.args[-1]) in receipt.reason


@pytest.mark.process
def test_the_same_crash_twice_is_a_failure():
    with pytest.raises(ZeroDivisionError):
        part().run(raising(ZeroDivisionError("division by zero")))
    assert part().run(raising(ZeroDivisionError("division by zero"))).status == "failed"


@pytest.mark.process
def test_ctrl_c_counts_nowhere():
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            part().run(raising(KeyboardInterrupt()))
    assert part().run(segment).status == "ok"


@pytest.mark.process
def test_an_attempt_that_adds_a_block_is_no_attempt_without_progress():
    def one_or_some_more_blocks(_settings):
        def show(*_):
            raise OSError(errno.EIO, "Input/output error")

        return job(Path(), STORE, block=(1, 32, 32)).run(2, 2, show)

    before = 0
    for _ in range(ATTEMPTS + 1):
        with pytest.raises(MachineError):
            part().run(one_or_some_more_blocks)
        n = attempts()[-1]["ended_at_iteration"]
        assert before < n < 18
        before = n
    assert part().run(lambda _: segment(block=(1, 32, 32))).kept == before


@pytest.mark.process
def test_killed_three_times_without_a_block_it_is_given_up_at_the_next_start():
    context = multiprocessing.get_context("fork")
    for _ in range(ATTEMPTS):
        process = context.Process(target=part().run, args=(lambda _: os.kill(os.getpid(), signal.SIGKILL),))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    receipt = part().run(segment)
    assert receipt.status == "unfinished"
    assert "beyond block 0; the last: killed" in receipt.reason
    assert not STORE.exists()  # nothing was tried


@pytest.mark.process
def test_with_another_image_attempts_count_anew():
    tifffile.imwrite("other.tif", np.zeros((4, 70, 90), np.uint8), photometric="minisblack")
    for _ in range(ATTEMPTS - 1):
        with pytest.raises(InputError):
            part("other.tif").run(raising(InputError("other.tif: is an RGB image")))
    write_image(Path(), (4, 70, 90))
    os.replace("image.tif", "other.tif")  # corrected
    with pytest.raises(InputError):
        part("other.tif").run(raising(InputError("other.tif: has NaN")))


@pytest.mark.process
@pytest.mark.parametrize(("content", "problem"), [("{", "not a JSON file"), (None, "no such file")])
def test_a_broken_settings_file_is_given_up_too(content, problem):
    path = Path("settings.json")
    write_json(path, part().settings.model_dump(mode="json"))
    good, broken = path.read_text(), dataclasses.replace(part(), settings=path)
    path.unlink() if content is None else path.write_text(content)
    for _ in range(ATTEMPTS - 1):
        with pytest.raises(InputError, match=problem) as caught:
            broken.run(segment)
        assert caught.value.status == exit_codes.USER_ERROR
    receipt = broken.run(segment)
    assert receipt.status == "unfinished"
    assert problem in receipt.reason
    path.write_text(good)
    assert broken.run(segment).status == "ok"


@pytest.mark.process
def test_an_rgb_volume_is_given_up_and_retried(place):
    tifffile.imwrite("image.tif", np.zeros((70, 90, 3), np.uint8), photometric="rgb")
    write_json(Path("settings.json"), part().settings.model_dump(mode="json"))
    command = genenet(
        *("segment", "--ensemble", "ensemble", "--settings", "settings.json", "--part", "2/2"),
        *("--out", STORE, "--receipt", RECEIPT),
    )
    for _ in range(ATTEMPTS - 1):
        done = run(command)
        assert done.returncode == exit_codes.USER_ERROR, done.stderr
        assert "genenet: error: image.tif: is an RGB image; convert to greyscale" in done.stderr
        assert not RECEIPT.exists()
    done = run(command)
    assert done.returncode == 0, done.stderr
    assert read_receipt(RECEIPT).status == "unfinished"
    fails(
        genenet("export", STORE, "--tiff", "a.tif"),
        "part 2 of 2 is unfinished: given up after 3 attempts without progress beyond block 0",
        "image.tif: is an RGB image; convert to greyscale",
        "genenet retry",
    )
    (given_up,) = find(PATHS, ["unfinished"])
    assert given_up.name == "a, part 002-of-002"
    write_image(place)  # corrected
    retry([given_up])
    assert not RECEIPT.exists()
    done = run(command)
    assert done.returncode == 0, done.stderr
    assert (read_receipt(RECEIPT).status, read_receipt(RECEIPT).written) == ("ok", 6)
    with pytest.raises(InputError, match="6 of 12 blocks are missing"):
        finished_store(STORE)
    assert open_store(STORE).attributes["classes"]
