"""Cross-validation in ``genenet init``: when it is offered, what it writes, and what it costs."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from genenet.cli.main import app
from genenet.config.model import read_config
from genenet.config.planned_runs import trainings
from genenet.config.stages import stage_settings
from genenet.init import printing, prompts
from genenet.init.classes import Classes
from genenet.init.files import FileSet
from genenet.init.folds import in_folds
from genenet.init.machine import Machine
from genenet.init.search_cost import SearchCost
from genenet.init.sizes import choose_sizes
from genenet.init.survey import look_labelled
from genenet.init.trial import Speed
from genenet.search.cost import TrainingsCost
from genenet.volumes.folds import folded
from genenet.volumes.image_checks import check_images
from tests.support import runs
from tests.support.first_config import init, pair, said, write, wrong
from tests.support.search import Search

CPU = Machine("cpu", "two cores", 8e9, True)
GPU = Machine("gpu", "a GPU", None, False)
CLASSES = Classes(["a", "b", "c"], None)
IN_THE_MIDDLE = slice(200, 400)  # of 600: outside of the 180 voxels at either end, and in three of five slabs


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def with_a_class_at(where):
    image, ids = runs.blobs((1, 100, 600), 1)
    ids[:, :20, where] = 2
    write("em.tif", image)
    write("labels.tif", ids)


def written():
    return read_config(Path("config.yaml"))


def flat(text):
    """A file's text without the breaks of its comments."""
    return " ".join(text.replace("#", "").split())


def test_folds_are_offered_where_a_class_cant_be_scored():
    with_a_class_at(IN_THE_MIDDLE)
    text = said(pair())
    assert "class 2: not in the part for validation, and therefore can't be scored" in text
    cost = (
        "Each network is then trained 5 times, for fewer iterations each, so that the search takes no longer"
    )
    offered = f"class 2: cross-validation would learn and score it (5 folds). {cost}"
    assert f"{offered}: give --folds 5" in text
    assert f"{offered}: genenet init --folds 5." in flat(Path("config.yaml").read_text())
    assert written().data.folds is None
    assert written().data.validation
    text = said(pair("--iterations", 100, "--force"))
    assert "Each network is then trained 5 times, so that the search takes 5 times as long" in text


def test_folds_arent_offered_where_the_only_fold_with_a_class_doesnt_learn_it():
    """Class 2 lies at one end of the image: the networks that learn it are never scored on it."""
    with_a_class_at(slice(0, 12))
    text = said(pair())
    assert "class 2: not in the part for validation" in text
    assert "cross-validation" not in text + Path("config.yaml").read_text().lower()
    text = said(pair("--folds", 3, "--force"))
    assert (
        "class 2: in one of the 3 folds only, so the networks that are scored there haven't learnt it" in text
    )


def test_folds_are_written_as_asked_for():
    with_a_class_at(IN_THE_MIDDLE)
    text = said(pair("--folds", 5))
    config = written()
    assert (config.data.fold_plan.n, config.data.fold_plan.by, config.data.validation) == (5, "region", [])
    assert config.data.train[0].region is None
    assert config.search.regions["net"]["input_size"][1] <= 100
    assert "2 class 2 4,000 6.7 % 3 of 5" in text
    assert "5 folds em.tif: 1 x 100 x 600 voxels" in text
    assert "not in the part for" not in text
    assert check_images(config)[0] == "data.train.0: 1 x 100 x 600 voxels (z, y, x) of uint8, 5 folds along x"
    command = Path("config.yaml").read_text().split("Written by")[1].split("This file defines")[0]
    words = shlex.split(" ".join(command.replace("#", "").replace("\\", "").split()))[2:]
    assert words[-4:] == ["--folds", "5", "--device", "cpu"]
    said(init(*words, "--force"))
    assert written() == config


def test_slabs_are_those_that_the_workflow_cuts():
    with_a_class_at(IN_THE_MIDDLE)
    said(pair("--folds", 4))
    seen = look_labelled(FileSet(Path("em.tif"), Path("labels.tif")), None)
    parts = in_folds([seen], 4, CLASSES)
    cut = [image.region for image in folded(stage_settings(written(), "prepare_validation"))]
    assert [part.shape for part in parts.pieces] == [tuple(b - a for a, b in region) for region in cut]
    counts = parts.counts_of_folds(CLASSES)
    ids = np.asarray(runs.blobs((1, 100, 600), 1)[1])
    ids[:, :20, IN_THE_MIDDLE] = 2
    for found, (z, y, x) in zip(counts, cut, strict=True):
        of_slab = ids[slice(*z), slice(*y), slice(*x)]
        assert found.tolist() == [int((of_slab == i).sum()) for i in range(3)]


def test_a_search_with_folds_takes_no_longer():
    """The trainings and the refits of both configs cost about as many operations."""
    with_a_class_at(IN_THE_MIDDLE)
    found, n_trainings = [], []
    for options in ((), ("--folds", 3)):
        text = said(pair("--force", *options))
        found.append(TrainingsCost.of(written()))
        n_trainings.append(len(trainings(written())))
        iterations = written().training.refit_iterations
        assert f"up to 2 more trainings without validations, each of {iterations:,} iterations" in text
    split, folds = found
    assert n_trainings == [6 + 2, 3 * (6 + 2)]
    assert (split.n_refits, folds.n_refits) == (2, 2)
    assert folds.n_folds == 3
    assert folds.iterations == pytest.approx(split.iterations, rel=0.1)  # of the refits; both are rounded
    assert 0.8 * split.operations < folds.operations < 1.05 * split.operations
    assert written().ensemble.refit
    refits = "one network for each member is trained on all labelled images. It replaces those of its folds."
    assert refits in flat(Path("config.yaml").read_text())
    assert "with all labelled images, one network for each (ensemble.refit)" in text


@pytest.mark.parametrize("machine", [CPU, GPU])
def test_the_folds_share_the_iterations_of_one_training(machine):
    once, folds = (choose_sizes(200, 3, machine, None, None, True, n) for n in (1, 5))
    assert folds.iterations == pytest.approx(once.iterations / 5, rel=0.1)  # both are rounded
    assert choose_sizes(200, 3, machine, None, 77, True, 5).iterations == 77
    of_once, of_folds = (SearchCost.of(each, machine, 3, 10**6) for each in (once, folds))
    assert len(of_folds.networks) == len(of_once.all_trainings)
    assert len(of_folds.all_trainings) == 5 * len(of_once.all_trainings)
    n_validations = {each.n_folds: -(-each.iterations // each.validation_interval) for each in (once, folds)}
    assert n_validations == {1: 10, 5: 3}


def test_refits_with_folds_are_as_long_as_without():
    once, folds = (choose_sizes(200, 3, CPU, None, None, True, n) for n in (1, 5))
    assert (folds.max_members, folds.refit_iterations) == (2, 2 * 6 * 5 * folds.iterations // 2)
    assert folds.refit_iterations == pytest.approx(once.refit_iterations, rel=0.1)
    cost = SearchCost.of(folds, CPU, 3, 10**6, folds.max_members)
    cost = replace(cost, tried=((cost.median, Speed(0.5, 0.0, is_busy=False)),))
    genomes = sum(cost.seconds(each) for each in cost.genomes[:6])
    assert cost.refit_seconds == pytest.approx(2 * 5 * genomes, rel=0.01)  # twice as long as all folds


def test_the_time_of_a_search_is_that_of_all_its_folds(capsys):
    sizes = choose_sizes(200, 3, CPU, 4, 100, True, 3)
    assert list(sizes.baselines) == ["unet2015"]
    cost = SearchCost.of(sizes, CPU, 3, 10**6)
    cost = replace(cost, tried=tuple((each, Speed(6.0, 0.0, is_busy=False)) for each in cost.genomes[:4]))
    cost = replace(cost, tried=(*cost.tried, (cost.baselines["unet2015"], Speed(6.0, 0.0, is_busy=False))))
    printing.cost(cost)
    text = " ".join(capsys.readouterr().out.split())
    trainings_of_all = "all 4 genomes and the U-Net, each in 3 folds, here, one after the other"
    assert f"{trainings_of_all}: about 2.5 h" in text  # 15 of 10 minutes
    assert "one job for each: 15 jobs of about 10 min" in text


def test_on_a_gpu_the_networks_of_the_folds_are_the_members():
    with_a_class_at(IN_THE_MIDDLE)
    text = said(pair("--folds", 5, "--device", "gpu"))
    config = written()
    assert not config.ensemble.refit
    assert config.training.refit_iterations is None
    assert config.ensemble.max_size == 2  # ten networks
    assert (
        "a member of the ensemble is the 5 networks of its folds, so that segmenting takes 5 times as" in text
    )


def test_whole_images_are_dealt_out_if_there_are_as_many():
    for name, seed in (("a", 1), ("b", 2), ("c", 3)):
        image, ids = runs.blobs((1, 64 + seed, 90), seed)
        if name != "b":
            ids[:, :10, :10] = 2
        write(f"{name}.tif", image)
        write(f"{name}_l.tif", ids)
    options = [word for name in "abc" for word in ("--image", f"{name}.tif", "--labels", f"{name}_l.tif")]
    text = said(init(*options, "--folds", 3))
    assert (written().data.fold_plan.by, len(written().data.train)) == ("image", 3)
    assert written().search.regions["net"]["input_size"][1] == 65
    assert "2 of 3" in text


def test_slabs_count_as_large_as_they_are_resampled():
    for name, width in (("a", 400), ("b", 200)):
        image, ids = runs.blobs((1, 100, width), 1)
        write(f"{name}.tif", image)
        write(f"{name}_l.tif", ids)
    options = ["--voxel-size", "40x10x10", "--image-voxel-size", "none", "--image-voxel-size", "40x20x20"]
    files = [word for name in "ab" for word in ("--image", f"{name}.tif", "--labels", f"{name}_l.tif")]
    said(init(*files, *options, "--folds", 3))
    sizes = written().search.regions["net"]["input_size"]
    assert sizes == [75, 100]  # although the slabs of b have 66 voxels in the file
    assert check_images(written())[1].endswith("3 folds along x, resampled to 1 x 200 x 400")
    shapes = [100 * 400, 200 * 400]
    assert (
        f"Each validation segments {sum(shapes) // 3:,} voxels, the part of a fold."
        in Path("config.yaml").read_text()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--folds", 30), "--folds 30: em.tif is too small for 30 slabs; 18 would fit"),
        (
            ("--folds", 2, "--validation-image", "em.tif", "--validation-labels", "labels.tif"),
            "--folds: all images are validated on; give images with --image, or leave --folds out",
        ),
    ],
)
def test_folds_that_arent_possible(options, message):
    with_a_class_at(IN_THE_MIDDLE)
    assert wrong(pair(*options)) == [message]


def test_a_fold_with_one_class_is_an_error():
    image, ids = runs.blobs((1, 100, 600), 1)
    ids[:, :, 300:] = 0
    write("em.tif", image)
    write("labels.tif", ids)
    for n, fold, use in ((4, 2, "give fewer folds, which are larger"), (2, 1, "leave --folds out")):
        (message,) = wrong(pair("--folds", n))
        assert message == (
            f"--folds {n}: the labels of fold {fold} show fewer than two classes, so that no ARI is defined there; "
            f"{use}"
        )


@pytest.mark.process
def test_snakemake_plans_each_training_in_each_fold(folder):
    with_a_class_at(IN_THE_MIDDLE)
    said(pair("--voxel-size", "40x10x10", "--genomes", 3, "--folds", 3))
    search = Search(folder)
    search.configs = [folder / "config.yaml"]
    jobs = search.planned()
    assert (jobs["train"], jobs["join"], jobs["refit"]) == (3 * (3 + 2), 3 + 2, 2)


@pytest.mark.slow
def test_a_trial_says_how_long_all_folds_take():
    with_a_class_at(IN_THE_MIDDLE)
    words = "init --image em.tif --labels labels.tif --device cpu --genomes 2 --folds 3"
    text = said(CliRunner().invoke(app, words.split()))
    assert re.search(r"all 2 genomes and .*, each in 3 folds, here.*: about \d", text)
    assert re.search(r"one job for each: (9|12) jobs of about \d", text)  # of a busy machine, without resenc
    assert re.search(
        r"up to 2 more trainings without validations, each of .* iterations, about \d.* here", text
    )


@pytest.mark.parametrize(("answers", "n"), [("\n", 5), ("1\n", None), ("30\n2\n", 2)])
def test_in_a_terminal_folds_are_asked_for(monkeypatch, answers, n):
    monkeypatch.setattr(prompts, "is_terminal", lambda: True)
    with_a_class_at(IN_THE_MIDDLE)
    options = ("--voxel-size", "40x10x10", "--classes", "a,b,c", "--genomes", 2, "--iterations", 20)
    done = pair(*options, fill=answers)
    assert done.exception is None, done.output
    assert "Folds of a cross-validation (1: none) [5]" in done.output
    assert ("too small for 30 slabs" in done.output) == answers.startswith("30")
    folds = written().data.folds
    assert (folds and folds.n) == n
    assert ("--folds" in Path("config.yaml").read_text().split("This file")[0]) == (n is not None)
