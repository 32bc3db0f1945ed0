import gc
import os

import numpy as np
import pytest

import runs
from genenet.errors import InputError
from genenet.images import available_memory, border_maps, read_images
from genenet.inference import NormalisationRule
from genenet.prepare import open_prepared

RULE = NormalisationRule("volume", 0, 1)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    runs.write_split(folder, "train", (5, 300, 270), 1)
    return open_prepared(folder / "train.zarr.zip")


def open_files():
    return len(os.listdir("/proc/self/fd"))


def test_what_does_not_fit_in_memory_is_mapped_from_files_without_names(
    prepared, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (inside,), (outside,) = (read_images(prepared, RULE, n) for n in (1e9, 1000))
    assert not isinstance(inside.image, np.memmap)
    assert isinstance(outside.image, np.memmap)
    assert isinstance(outside.labels, np.memmap)
    assert np.array_equal(inside.image, outside.image)
    assert np.array_equal(inside.labels, outside.labels)
    assert list(tmp_path.iterdir()) == []
    maps = [border_maps([image], 10, 5)[0] for image in (inside, outside)]
    assert isinstance(maps[1], np.memmap)
    assert np.array_equal(*maps)


def test_mapped_files_are_closed_with_the_images(prepared):
    gc.collect()
    before = open_files()
    images = read_images(prepared, RULE, 1000)
    del images
    gc.collect()
    assert open_files() == before


def test_what_fits_nowhere_is_one_line(prepared, monkeypatch):
    monkeypatch.setattr("genenet.images.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(InputError, match="let TMPDIR name a larger local disk"):
        read_images(prepared, RULE, 1000)


def test_memory_is_bounded_by_the_job(monkeypatch):
    free = available_memory()
    assert 1e8 < free < 1e14
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "100")
    assert available_memory() == 100 * 2**20
