"""``controls:``: what may be written, which trainings follow from it, and their settings."""

import pytest
import yaml

from genenet.config import planned_runs, stages
from genenet.config.model import check_config
from genenet.config.planned_controls import control_settings, controls, long_iterations, needs_ranking
from genenet.core.errors import InputError
from genenet.core.paths import control_run, of_control
from genenet.genes.baselines import Baseline
from tests.support.search import CONFIGS

TINY = yaml.safe_load((CONFIGS / "tiny.yaml").read_text())


def config(controls=None, **sections):
    return check_config({**TINY, **({"controls": controls} if controls is not None else {}), **sections})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"seeds": 1}, "config: controls.seeds: input should be greater than or equal to 2, not 1"),
        ({"seds": 3}, "config: controls.seds: unknown key; did you mean seeds?"),
        (
            {"baselines": ["unet"]},
            "config: controls.baselines.0: 'unet' is no baseline; did you mean unet2015?",
        ),
        (
            {"long": ["unet2015"] * 2},
            "config: controls.long: unet2015 is given twice; name each baseline once",
        ),
        (
            {"baselines": ["ciresan2012"]},
            "config: controls.baselines: ciresan2012 is not switched on; add it under baselines: (ciresan2012: {}), "
            "or leave it out here",
        ),
        ({"long": ["ciresan2012"]}, "config: controls.long: ciresan2012 is not switched on"),
    ],
)
def test_what_is_wrong_is_one_line(value, said):
    with pytest.raises(InputError) as caught:
        config(value)
    assert str(caught.value).startswith(said)
    assert len(str(caught.value).splitlines()) == 1


def test_null_and_nothing_are_the_same():
    for each in (config(), check_config({**TINY, "controls": None})):
        assert controls(each) == []
        assert planned_runs.all_runs(each) == planned_runs.runs(each)
        assert "controls" not in stages.settings_json(each, "report")


def test_the_trainings_of_all_controls():
    """The search's own training of the best network, and of a baseline, counts as the first of the seeds."""
    each = config({"seeds": 3})
    assert {control.name: control.runs for control in controls(each)} == {
        "best": ("controls/best_2", "controls/best_3"),
        "unet2015": ("baselines/unet2015", "controls/unet2015_2", "controls/unet2015_3"),
        "unet2015_long": ("controls/unet2015_long",),
    }
    own = ["controls/best_2", "controls/best_3", "controls/unet2015_2", "controls/unet2015_3"]
    assert planned_runs.all_runs(each) == [*planned_runs.runs(each), *own, "controls/unet2015_long"]
    assert [run for run in planned_runs.all_runs(each) if needs_ranking(run)] == own[:2]
    report = stages.stage_settings(each, "report").model_dump()
    assert report["controls"] == ["best", "unet2015", "unet2015_long"]


def test_seeds_of_a_baseline_that_the_search_trains_anyway_are_used():
    each = config({"seeds": 3}, baselines={"unet2015": {"n_seeds": 2}})
    assert controls(each)[1].runs == ("baselines/unet2015", "baselines/unet2015_2", "controls/unet2015_3")
    more = config({"seeds": 2}, baselines={"unet2015": {"n_seeds": 3}})
    assert controls(more)[1].runs == ("baselines/unet2015", "baselines/unet2015_2")


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ({"baselines": []}, ["best"]),
        ({"baselines": ["ciresan2012"]}, ["best", "ciresan2012", "ciresan2012_long"]),
        ({"long": []}, ["best", "unet2015", "ciresan2012"]),
        ({"baselines": [], "long": ["unet2015"]}, ["best", "unet2015_long"]),
    ],
)
def test_only_what_is_asked_for(value, names):
    each = config(value, baselines={"unet2015": {}, "ciresan2012": {}})
    assert [control.name for control in controls(each)] == names


@pytest.mark.parametrize(
    ("search", "iterations"),
    [
        ({"n_genomes": 3}, 3 * 40),
        # rungs after 10, 20, 40 iterations with 8, 4, 2 genomes
        (
            {"strategy": "halving", "n_genomes": 8, "halving": {"eta": 2, "rungs": 3}},
            8 * 10 + 4 * 10 + 2 * 20,
        ),
        ({"strategy": "evolution", "n_genomes": [4, 2]}, 6 * 40),
        # children have 0.3 * 40 iterations, rounded to a multiple of 10
        (
            {
                "strategy": "evolution",
                "n_genomes": [4, 5],
                "evolution": {"inherit_weights": {"iterations": 0.3}},
            },
            4 * 40 + 5 * 10,
        ),
        # in each of two rounds, 4 genomes up to 20, 2 of them up to 40
        (
            {"strategy": "evolution_and_halving", "n_genomes": [4, 4], "halving": {"eta": 2, "rungs": 2}},
            2 * (4 * 20 + 2 * 20),
        ),
    ],
)
def test_the_long_training_has_the_iterations_of_the_search(search, iterations):
    training = {**TINY["training"], "iterations": 40, "validation_interval": 10}
    each = config({}, search={**TINY["search"], **search}, training=training)
    assert long_iterations(each) == iterations
    long = stages.stage_settings(each, planned_runs.train_stage("controls/unet2015_long"))
    whole = stages.stage_settings(each, "train")
    assert long.training.iterations == iterations
    assert long.model_copy(update={"training": whole.training}) == whole  # all else is that of the others


def test_settings_of_the_trainings_and_of_the_scores():
    each = config({"seeds": 2})
    assert (
        planned_runs.train_stage("controls/best_2")
        == planned_runs.train_stage("baselines/unet2015_2")
        == "train_2"
    )
    assert stages.stage_settings(each, "train_2").repeat == 2
    assert planned_runs.baseline_stage("controls/unet2015_long") == "baseline_unet2015"
    found = control_settings(each, "unet2015")
    assert (found.baseline, found.is_long, found.has_test) == ("unet2015", False, True)
    assert found.runs == ["baselines/unet2015", "controls/unet2015_2"]
    assert control_settings(each, "best").baseline is None


@pytest.mark.parametrize(
    ("name", "repeat"), [("best", 2), ("unet2015", 12), ("unet2015", None), ("a_b", None)]
)
def test_names_of_trainings_are_read_as_they_are_written(name, repeat):
    assert of_control(control_run(name, repeat)) == (name, repeat)


@pytest.mark.parametrize("name", ["best", "unet_long"])
def test_no_baseline_has_the_name_of_a_control(name):
    with pytest.raises(ValueError, match=f"a baseline can't be named {name}"):
        Baseline(name, "text", "genenet.genes.baselines:unet2015")
