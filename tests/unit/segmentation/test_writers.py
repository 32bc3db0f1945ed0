"""Several runs and one store; and a disk that is full."""

import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import tifffile

from genenet.core.errors import InputError
from genenet.core.lock_holder import identity
from genenet.segmentation.writers import check_no_other_writer, writing
from tests.support import runs
from tests.support.ensembles import arrays, job, write_ensemble, write_image


def segment(folder, *options):
    """The command; an option that comes later counts."""
    return runs.genenet(
        "segment",
        *("--ensemble", folder / "ensemble", folder / "image.tif", "--out", folder / "a.ome.zarr"),
        *("--block", "1x32x32", "--threads", "1", "--device", "cpu"),
        *options,
    )


@pytest.fixture
def running(tmp_path):
    """A folder, and a run in it that has written some blocks of a.ome.zarr and goes on."""
    write_ensemble(tmp_path / "ensemble")
    write_image(tmp_path, (60, 64, 64))
    process = subprocess.Popen(segment(tmp_path), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("a.ome.zarr/0/c/*/*/*/*"))) < 10:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)  # alive, but it does nothing
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    yield tmp_path, process
    process.kill()
    process.communicate()


@pytest.mark.process
def test_a_run_with_other_settings_says_who_is_writing(running):
    folder, process = running
    before = sorted(folder.glob("a.ome.zarr/**/*"))
    other = runs.run(segment(folder, "--precision", "float16"))
    assert other.returncode == 1
    assert other.stderr.splitlines()[-1].startswith(
        f"genenet: error: {folder}/a.ome.zarr: another run is writing it, with another ensemble, image or "
        f"settings (process {process.pid} on "
    )
    assert sorted(folder.glob("a.ome.zarr/**/*")) == before
    process.kill()
    process.wait()
    done = runs.run(segment(folder, "--precision", "float16"))
    assert done.returncode == 0, done.stderr
    assert arrays(folder / "a.ome.zarr")[0].dtype == np.float16


@pytest.mark.process
def test_the_same_run_twice_waits_and_finds_all_done(running):
    folder, process = running
    twice = subprocess.Popen(
        segment(folder, "--receipt", folder / "receipt.json"), stderr=subprocess.PIPE, text=True
    )
    while "waiting for it" not in (line := twice.stderr.readline()):
        assert line
    assert f"process {process.pid} on " in line
    process.send_signal(signal.SIGCONT)
    assert process.wait() == 0
    assert twice.wait() == 0
    twice.stderr.close()
    receipt = json.loads((folder / "receipt.json").read_text())
    assert (receipt["written"], receipt["kept"]) == (0, 240)
    assert not list(folder.glob("*.lock"))


@pytest.mark.process
def test_other_parts_of_the_same_run_do_not_wait(running):
    folder, _ = running
    part = runs.run(segment(folder, "--part", "2/2", "--receipt", folder / "receipt.json"))
    assert part.returncode == 0, part.stderr
    assert json.loads((folder / "receipt.json").read_text())["blocks"] == 120


@pytest.mark.process
def test_dead_writers_do_not_count(tmp_path):
    store = tmp_path / "[a].ome.zarr"
    with writing(store, "abcdefgh-1", 1, 2):
        check_no_other_writer(store, "abcdefgh-1")
        with pytest.raises(InputError, match="another run is writing it"):
            check_no_other_writer(store, "other-fingerprint")
    check_no_other_writer(store, "other-fingerprint")
    lock = tmp_path / "[a].ome.zarr.abcdefgh.1-of-2.lock"
    with subprocess.Popen(["true"]) as gone:
        pass
    lock.write_text(json.dumps({**identity("theirs"), "pid": gone.pid}))
    check_no_other_writer(store, "other-fingerprint")


@pytest.mark.process
@pytest.mark.skipif(not shutil.which("unshare"), reason="unshare is needed to mount a small file system")
def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    """It is full in the midst of segmenting and again of exporting; each goes on when there is space."""
    write_ensemble(tmp_path / "ensemble")
    write_image(tmp_path, (3, 260, 300))
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["--precision", "float32", "--probabilities", "--block", "1x64x64"]
    command = segment(
        tmp_path, *options, "--receipt", tmp_path / "receipt.json", "--out", disk / "a.ome.zarr"
    )
    export = runs.genenet("export", disk / "a.ome.zarr", "--tiff", disk / "a.tif")
    script = f"""
        attempt() {{ "$@" 2>> {tmp_path}/said.txt; echo $? >> {tmp_path}/status.txt; }}
        files() {{ (cd {disk}; find . -type f | sort) > {tmp_path}/$1.txt; }}
        mount -t tmpfs -o size=600k none {disk} || exit 99
        attempt {" ".join(map(str, command))}; files first
        mount -o remount,size=64m {disk} || exit 99
        attempt {" ".join(map(str, command))}; files segmented
        mount -o remount,size=$(($(du -sk {disk} | cut -f1) + 24))k {disk} || exit 99
        attempt {" ".join(export)}; files exported
        mount -o remount,size=64m {disk} || exit 99
        attempt {" ".join(export)}
        cp -r {disk}/* {tmp_path}
    """
    done = runs.run([*(["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]), "sh", "-c", script])
    if done.returncode == 99:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    said = (tmp_path / "said.txt").read_text()
    assert (tmp_path / "status.txt").read_text().split() == ["74", "0", "1", "0"], said
    assert said.count("genenet: error: no space left on the device") == 2
    assert "Traceback" not in said
    first, segmented, exported = (
        (tmp_path / f"{name}.txt").read_text().split() for name in ("first", "segmented", "exported")
    )
    assert exported == segmented
    assert set(first) < set(segmented)
    assert not [f for f in segmented if "/." in f[1:] or "partial" in f or f.endswith(".lock")], segmented
    kept = len([f for f in first if "labels" in f and "/c/" in f])
    receipt = json.loads((tmp_path / "receipt.json").read_text())
    assert (receipt["kept"], receipt["written"]) == (kept, 75 - kept)
    assert kept > 0
    job(tmp_path, "b.ome.zarr", block=(1, 64, 64), tile=None).run()
    for a, b in zip(arrays(tmp_path / "a.ome.zarr"), arrays(tmp_path / "b.ome.zarr"), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (tmp_path / "a.ome.zarr" / "1").exists()
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), arrays(tmp_path / "a.ome.zarr")[1])
