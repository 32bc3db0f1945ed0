"""``data.folds``: what a config may say, and which trainings and settings follow from it."""

import json

import pytest

from genenet.config import planned_runs, stages
from genenet.config.folds import dealt
from genenet.config.model import check_config
from genenet.config.rounds import expanded
from genenet.core.errors import InputError
from genenet.core.paths import ResultPaths, fold_run, of_baseline, of_control, of_fold
from genenet.search.cost import TrainingsCost

A, B, C = ({"path": f"{name}.tif", "labels": f"{name}_labels.tif"} for name in "abc")
LEFT, RIGHT = ({**A, "region": [None, None, x]} for x in ([0, 50], [50, 90]))
OVER = {**A, "region": [None, None, [40, 60]]}


def values(train=(A,), folds=None, validation=(), search=None, **more):
    data = {"classes": ["a", "b"], "voxel_size_nm": [40, 10, 10], "train": list(train), **more}
    data |= {"folds": folds} if folds is not None else {}
    data |= {"validation": list(validation)} if validation else {}
    return {"data": data, "search": {"n_genomes": 2, **(search or {})}}


@pytest.mark.parametrize(
    ("train", "folds", "by"),
    [
        ([A], 2, "region"),
        ([A, B], 2, "image"),
        ([A, B], 3, "region"),
        ([LEFT, RIGHT], 2, "region"),  # two regions of one image are one image
        ([A, B, C], {"n": 2, "by": "region"}, "region"),
        ([A, B, C], {"n": 2}, "image"),
        ([LEFT, OVER, B], 2, "image"),  # regions that overlap stay together
    ],
)
def test_a_bare_number_is_by_image_if_there_are_enough(train, folds, by):
    plan = check_config(values(train, folds)).data.fold_plan
    assert (plan.by, plan.fold) == (by, None)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (values(), "config: data: validation: is missing: give at least one labelled image, or folds: 5 for"),
        (values(folds=2, validation=[B]), "data.validation must be empty; move its images to data.train"),
        (values(folds=1), "config: data.folds.n: input should be greater than or equal to 2"),
        (values(folds="five"), "config: data.folds.n: input should be a valid integer"),
        (values(folds={"n": 2, "by": "slice"}), "config: data.folds.by: input should be 'region' or 'image'"),
        (values(folds={"n": 2, "b": "image"}), "config: data.folds.b: unknown key; did you mean by?"),
        (
            values([A, B], {"n": 3, "by": "image"}),
            "3 folds by image need as many images, and data.train names 2",
        ),
        (values([LEFT, RIGHT], {"n": 2, "by": "image"}), "data.train names 1; lower n, or use by: region"),
        (values([LEFT, RIGHT, OVER], 2), "folds: train.0 and train.2 are regions of one image that overlap"),
        (values(folds=2, normalisation="training"), "folds: not with normalisation: training"),
        (
            values(folds=2, search={"strategy": "halving", "n_genomes": 9}),
            "data.folds: not with search.strategy: halving, whose rungs compare trainings that aren't over",
        ),
    ],
)
def test_a_mistake_is_one_line(config, message):
    with pytest.raises(InputError) as raised:
        check_config(config)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_evolution_may_have_folds():
    config = check_config(values(folds=2, search={"strategy": "evolution", "n_genomes": [2, 2]}))
    assert "r1/001/folds/1" in planned_runs.trainings(config)


def test_images_are_dealt_out_and_those_of_one_source_stay_together():
    assert dealt(["a", "b", "a", "c", "d", "b"], 2) == [0, 1, 0, 0, 1, 1]


def test_each_genome_and_baseline_has_a_training_for_each_fold():
    config = check_config({**values(folds=3), "baselines": {"unet2015": {"n_seeds": 2}}})
    assert planned_runs.runs(config) == [*expanded(["r0:2"]), "baselines/unet2015", "baselines/unet2015_2"]
    trainings = planned_runs.trainings(config)
    assert trainings[:3] == ["r0/000/folds/0", "r0/000/folds/1", "r0/000/folds/2"]
    assert len(trainings) == 12
    stages_ = [planned_runs.train_stage(run) for run in trainings]
    assert stages_ == ["train"] * 9 + ["train_2"] * 3
    without = check_config({**values(validation=[B]), "baselines": {"unet2015": {"n_seeds": 2}}})
    assert planned_runs.trainings(without) == planned_runs.runs(without)
    costs = [TrainingsCost.of(each) for each in (config, without)]
    assert costs[0].operations == pytest.approx(3 * costs[1].operations)
    assert [each.n_folds for each in costs] == [3, 1]


def test_names_of_folds_lead_to_their_genome_and_their_images():
    run = fold_run("baselines/unet2015_2", 4)
    assert run == "baselines/unet2015_2/folds/4"
    assert of_fold(run) == ("baselines/unet2015_2", 4)
    assert of_fold("r0/003") == ("r0/003", None)
    assert of_baseline(run) == ("unet2015", 2)
    assert of_control("controls/best_3/folds/0") == ("best", 3)
    paths = ResultPaths("results")
    assert paths.genome(run) == paths.genome("baselines/unet2015_2")
    assert paths.training_data(run, "train") == "results/data/folds/4/train.zarr.zip"
    assert paths.training_data("r0/003", "train") == paths.data("train")


def test_settings_say_which_part_of_the_images_is_meant():
    config = check_config(values([A, B], {"n": 2, "by": "region"}))
    fold, whole = (
        stages.stage_settings(config, stage) for stage in ("prepare_fold_1_train", "prepare_validation")
    )
    assert (fold.folds.n, fold.folds.by, fold.folds.fold, fold.split) == (2, "region", 1, "train")
    assert (whole.folds.n, whole.folds.fold, whole.split) == (2, None, "validation")
    assert [str(image.image[0]) for image in whole.images] == ["a.tif", "b.tif"]
    for stage in ("prepare_train", "prepare_refit"):
        settings = stages.stage_settings(config, stage)
        assert settings.folds is None
        assert len(settings.images) == 2
    assert planned_runs.fold_stage(1, "train") == "prepare_fold_1_train"


def test_folds_are_cut_for_the_networks_of_the_config():
    for mode, sees_depth in (("2d", False), ("2.5d", True)):
        given = values(folds=2, search={"regions": {"net": {"spatial_mode": mode}}})
        found = [
            stages.stage_settings(check_config(given), stage).sees_depth
            for stage in ("prepare_fold_1_train", "prepare_validation", "prepare_train")
        ]
        assert found == [sees_depth, sees_depth, False]  # the whole images aren't cut


def test_settings_without_folds_are_as_they_always_were():
    config = check_config(values(validation=[B]))
    for split in ("train", "validation", "refit"):
        settings = json.loads(stages.stage_settings(config, f"prepare_{split}").model_dump_json())
        assert "folds" not in settings
