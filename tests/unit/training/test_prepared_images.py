import gc
import os
import sys
import textwrap

import numpy as np
import pytest
import tifffile

from genenet.config.normalisation import NormalisationSettings
from genenet.config.settings import ImageFiles, PrepareSettings
from genenet.core import resources
from genenet.core.errors import InputError
from genenet.core.resources import _of_control_group, available_memory
from genenet.training.prepare import prepare
from genenet.training.prepared import open_prepared
from genenet.training.prepared_images import border_maps, read_images
from genenet.volumes.normalisation import NormalisationRule
from tests.support import runs
from tests.support.search import ROOT

RULE = NormalisationRule(NormalisationSettings(over="volume"), 0, 1)


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
    ((inside,),), ((outside,),) = (read_images([prepared], RULE, n) for n in (1e9, 1000))
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
    images = read_images([prepared], RULE, 1000)
    del images
    gc.collect()
    assert open_files() == before


def test_what_fits_nowhere_is_one_line(prepared, monkeypatch):
    monkeypatch.setattr(
        "genenet.training.prepared_images.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})
    )
    with pytest.raises(InputError, match="let TMPDIR name a larger local disk"):
        read_images([prepared], RULE, 1000)


def test_memory_is_bounded_by_the_job(monkeypatch):
    free = available_memory()
    assert 1e8 < free < 1e14
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "100")
    assert available_memory() == 100 * 2**20


def test_the_jobs_control_group_and_those_above_it_bound_the_memory(tmp_path):
    groups = tmp_path / "cgroup"
    groups.write_text("0::/system.slice/job_5/step_0\n")
    limits = {
        "": "max",
        "system.slice": "max",
        "system.slice/job_5": "2000",
        "system.slice/job_5/step_0": "max",
    }
    for folder, limit in limits.items():
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "memory.max").write_text(f"{limit}\n")
    assert _of_control_group(groups, tmp_path) == [2000]
    groups.write_text("3:cpu,memory:/slurm/job_5\n1:name=systemd:/\n")
    (tmp_path / "memory/slurm/job_5").mkdir(parents=True)
    (tmp_path / "memory/slurm/job_5/memory.limit_in_bytes").write_text("3000\n")
    assert _of_control_group(groups, tmp_path) == [3000]
    assert _of_control_group(tmp_path / "none", tmp_path) == []


def test_where_nothing_limits_the_memory_it_is_the_machines(monkeypatch):
    """As in a container without control groups, and outside of Slurm."""
    monkeypatch.setattr(resources, "_of_control_group", list)
    monkeypatch.delenv("SLURM_MEM_PER_NODE", raising=False)
    assert 0 < resources.available_memory() <= resources.total_memory()


def test_all_splits_and_the_weights_to_come_share_the_memory(prepared):
    n_bytes = sum(i.image.nbytes + i.labels.nbytes for i in prepared.images)
    for splits, weight_bytes, memory, mapped in (
        (1, 0, n_bytes, False),
        (2, 0, 2 * n_bytes, False),
        (2, 0, 1.9 * n_bytes, True),
        (1, 4, 2 * n_bytes, True),
        (1, 4, 3 * n_bytes, False),
    ):
        for images in read_images([prepared] * splits, RULE, memory, weight_bytes):
            assert isinstance(images[0].image, np.memmap) == mapped


LARGE = """
    import resource
    import threading
    from pathlib import Path
    threading.stack_size(1 << 18)  # how many threads read chunks is chance, and a limit counts 8 MiB for each
    from genenet.training.prepared_images import read_images
    from genenet.config.normalisation import NormalisationSettings
    from genenet.volumes.normalisation import NormalisationRule
    from genenet.training.prepared import open_prepared
    from tests.support.trainers import train, trainer

    rule = NormalisationRule(NormalisationSettings(over="training"), 1, 1)
    small, large = (open_prepared(Path({folder!r}) / f"{{name}}.zarr.zip") for name in ("small", "large"))
    train(trainer(data=read_images([small], rule, 0)[0], iterations=1))  # what this takes is there from now on
    used = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if "VmData" in line)
    resource.setrlimit(resource.RLIMIT_DATA, (used + (64 << 20),) * 2)
    t = trainer(data=read_images([large], rule, {memory})[0], iterations=20, validation_interval=20)
    t.validation = t.validation[:0]
    train(t)
    print(sum(a.image.nbytes + a.labels.nbytes for a in t.sampler.images) >> 20)
"""


@pytest.mark.process
def test_images_larger_than_memory_train(tmp_path):
    """Of 256 MiB of image and labels, 64 MiB of memory hold what is needed at a time, and not the whole.

    The process may have kept some more of what the small training freed, but never 192 MiB.
    """
    for name, depth in (("small", 2), ("large", 128)):
        image = np.zeros((depth, 1024, 1024), np.uint8)
        image[:, ::2] = 1
        files = [tmp_path / f"{name}.tif", tmp_path / f"{name}_labels.tif"]
        for file in files:
            tifffile.imwrite(file, image, compression="zlib")
        images = [ImageFiles(image=[files[0]], labels=[files[1]], region=None)]
        settings = PrepareSettings(
            images=images, classes=runs.CLASSES, ignore_label=None, voxel_size_nm=(9, 9, 9)
        )
        prepare(settings, tmp_path / f"{name}.zarr.zip")

    def run_with(memory):
        code = LARGE.format(folder=str(tmp_path), memory=memory)
        # with an arena for each thread that reads chunks, what is kept of freed memory depends on chance
        return runs.run(["env", "MALLOC_ARENA_MAX=1", sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT)

    done = run_with(1000)
    assert done.stdout == "256\n", done.stderr
    assert "MemoryError" in run_with(1e12).stderr
