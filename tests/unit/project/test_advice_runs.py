"""The advice of docs/troubleshooting.md about trainings, ensembles and segmentations: each message is met, then the
advice is followed.
"""

import contextlib
import json
import math
import re
import shutil
from pathlib import Path

import pytest
import torch

from genenet.cli.summary import print_summary
from genenet.config.ensemble import EnsembleSettings
from genenet.config.normalisation import NormalisationSettings
from genenet.config.settings import SelectSettings
from genenet.core.errors import InputError
from genenet.core.paths import ResultPaths
from genenet.ensembles.ensemble import load_ensemble
from genenet.ensembles.select import select
from genenet.genes.genome import Genome, read_genome
from genenet.genes.plan import plan
from genenet.networks.predictor import Predictor
from genenet.networks.read_box import ReadBox
from genenet.networks.tile_sizes import tile_shape
from genenet.segmentation.receipts import finished_store
from genenet.training.outcome_files import Publication
from genenet.training.prepared import open_prepared
from genenet.training.prepared_images import read_images
from genenet.volumes.normalisation import NormalisationRule
from tests.support import runs
from tests.support.ensembles import job, write_ensemble, write_image
from tests.support.trainers import run_of


@pytest.mark.slow
@pytest.mark.parametrize(
    ("genome", "optimiser", "status"),
    [
        ({}, {}, "diverged"),
        ({"log_learning_rate": -4}, {}, "ok"),
        ({}, {"gradient_clip": 1.0}, "ok"),
    ],
    ids=["as it was", "lower learning rate", "clipped gradient"],
)
def test_a_learning_rate_that_is_too_high(tmp_path, genome, optimiser, status):
    values = {"log_learning_rate": 0, "norm": 0, "dropout_rate": 0, "log_gamma2": 0, **genome}
    runs.make(tmp_path, values, optimiser={"kind": "sgd", **optimiser}, iterations=60)
    assert run_of(tmp_path, tmp_path / "run").run()
    scores = json.loads((tmp_path / "run/scores.json").read_text())
    assert scores["status"] == status
    assert bool(re.fullmatch(r"the loss was (nan|inf) at iteration \d+", scores["reason"] or "")) == (
        status == "diverged"
    )


def test_a_larger_disk_for_temporary_files(tmp_path, monkeypatch):
    runs.write_split(tmp_path, "train", (1, 48, 56), 1)
    train = open_prepared(tmp_path / "train.zarr.zip")
    (tmp_path / "small").mkdir()
    (tmp_path / "large").mkdir()
    usage = shutil.disk_usage

    def with_a_small_disk(folder):
        return usage(folder)._replace(free=1000) if Path(folder).name == "small" else usage(folder)

    monkeypatch.setattr("genenet.training.prepared_images.shutil.disk_usage", with_a_small_disk)

    def read(folder):
        monkeypatch.setenv("TMPDIR", str(tmp_path / folder))
        monkeypatch.setattr("tempfile.tempdir", None)  # it is looked up once in a process
        return read_images([train], NormalisationRule(NormalisationSettings(over="volume"), 0, 1), 1000)

    with pytest.raises(InputError, match="images don't fit into 0 MiB of memory, nor onto .*small"):
        read("small")
    ((image,),) = read("large")
    assert image.image.shape == (1, 48, 56)


@pytest.fixture
def searched(tmp_path):
    """A search of two genomes: one was trained, one has diverged."""
    runs.make(tmp_path)
    paths = ResultPaths(tmp_path / "results")
    assert run_of(tmp_path, paths.run("r0/000").folder).run()
    genome = read_genome(tmp_path / "genome.json")
    Publication(paths.run("r0/001"), genome, None, None).failure(
        "diverged", "the loss was nan at iteration 5"
    )
    for index in range(2):
        genome.write(Path(paths.genome(f"r0/{index:03d}")))
    for split in ("train", "validation"):
        Path(paths.data(split)).parent.mkdir(exist_ok=True)
        shutil.copy(tmp_path / f"{split}.zarr.zip", paths.data(split))
    return paths


def test_too_few_trainings_were_successful(searched, capsys):
    def choose(minimum):
        settings = SelectSettings(normalisation="volume", ensemble=EnsembleSettings(minimum=minimum))
        select(searched, ["r0/000", "r0/001"], settings)

    with pytest.raises(InputError, match="no ranking yet; run snakemake --profile profiles/local first"):
        print_summary(searched.results)
    message = (
        r"1 trainings were successful, ensemble.minimum is 2: r0/001 diverged \(the loss was nan at .*; log: "
    )
    with pytest.raises(InputError, match=message):
        choose(minimum=2)
    choose(minimum=1)
    print_summary(searched.results)
    assert "r0/000" in capsys.readouterr().out
    assert len(load_ensemble(Path(searched.ensemble)).networks) == 1


def test_the_folder_of_an_ensemble(tmp_path):
    write_ensemble(tmp_path / "ensemble")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/ensemble.json").write_text("{}")
    with pytest.raises(InputError, match="not an ensemble "):
        load_ensemble(tmp_path / "other")
    with pytest.raises(InputError, match=r"members/ensemble\.json: no such file"):
        load_ensemble(tmp_path / "ensemble/members")
    assert len(load_ensemble(tmp_path / "ensemble").networks) == 1


def test_members_of_two_searches(tmp_path):
    write_ensemble(tmp_path / "a", n_stacks=(1, 2))
    shutil.copytree(tmp_path / "a", tmp_path / "mixed")
    weights = "members/01/model.safetensors"
    shutil.copy(tmp_path / "a/members/00/model.safetensors", tmp_path / "mixed" / weights)
    with pytest.raises(
        InputError, match=rf"{weights}: these weights don't fit genome|these are weights of genome"
    ):
        load_ensemble(tmp_path / "mixed")
    shutil.copytree(tmp_path / "a", tmp_path / "copied")  # the folder as a whole
    assert len(load_ensemble(tmp_path / "copied").networks) == 2


@pytest.fixture
def place(tmp_path):
    write_ensemble(tmp_path / "ensemble")
    write_image(tmp_path)
    return tmp_path


def test_voxels_of_another_size(place, caplog):
    """``rescale`` is run by tests/unit/segmentation/test_suitability.py."""
    message = (
        "has voxels of (40.0, 8.0, 8.0) nm, the ensemble was trained on (40.0, 10.0, 10.0) nm (z, y, x); "
    )
    job(place, source={"voxel_size_nm": (40, 8, 8)}).run()
    assert message in caplog.text
    caplog.clear()
    job(place, "b.ome.zarr", source={"voxel_size_nm": (40, 10, 10)}).run()
    assert "has voxels of" not in caplog.text


def test_grey_values_of_another_range(place, caplog):
    for mode, warns in (("training", True), ("volume", False)):
        caplog.clear()
        write_ensemble(place / "ensemble", normalisation={"mode": mode, "mean": 30000.0, "deviation": 5000.0})
        job(place, f"{mode}.ome.zarr").run()
        message = "bring them to the same range, or train with normalisation: volume"
        assert (message in caplog.text) == warns


def test_memory_for_the_smallest_tile():
    wide = plan(Genome("x", {"net": {"n_convkernels": 200, "input_size": 64}}).net, 3)
    with pytest.raises(InputError, match=r"segmentation\.memory_mb 1 is too little: ") as error:
        tile_shape([wide], (16, 1280, 1280), 1e6)
    (needed,) = re.findall(r"the smallest tile of these networks takes (\d+) MB", str(error.value))
    assert tile_shape([wide], (16, 1280, 1280), int(needed) * 1e6)


def test_a_tile_that_does_not_fit_in_memory(place, monkeypatch):
    """On a GPU on which others have left memory for tiles of at most 2 000 voxels."""
    write_ensemble(place / "ensemble", net={"n_convkernels": 32})
    pieces = Predictor.pieces

    def with_little_memory(predictor, read_box, tiles):
        if sum(math.prod(tile.shape) for tile in tiles) > 2000:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return pieces(predictor, read_box, tiles)

    monkeypatch.setattr(Predictor, "pieces", with_little_memory)
    memory_mb = 8
    message = (
        r"a tile doesn't fit in memory \(CUDA out of memory\); lower segmentation\.memory_mb \(--memory-mb\)"
    )
    with pytest.raises(InputError, match=message):
        job(place, memory_mb=memory_mb, tile=None, block=(2, 128, 128)).run()
    while memory_mb > 1:
        memory_mb //= 2  # as the page advises
        with contextlib.suppress(InputError):
            job(place, memory_mb=memory_mb, tile=None, block=(2, 128, 128)).run()
            break
    finished_store(place / "a.ome.zarr")


def test_a_block_that_does_not_fit_in_memory(place, monkeypatch):
    """On a GPU on which others have left memory for the voxels of one slice."""
    of = ReadBox.of

    def with_little_memory(voxels, *others):
        if len(voxels) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return of(voxels, *others)

    monkeypatch.setattr(ReadBox, "of", with_little_memory)
    message = r"a block doesn't fit in memory \(CUDA out of memory\); lower segmentation\.block \(--block\)"
    depth = 2
    with pytest.raises(InputError, match=message):
        job(place, block=(depth, 128, 128)).run()
    job(place, block=(depth // 2, 128, 128)).run()  # as the page advises
    finished_store(place / "a.ome.zarr")
