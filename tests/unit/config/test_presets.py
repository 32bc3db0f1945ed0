"""``preset:``, a search space and a training recipe by name: what is written in the config wins, key by key."""

import json

import pytest
import yaml

import genenet
from genenet.config.model import Config, check_config
from genenet.config.presets import PRESETS, TEXTS, preset_text, preset_values
from genenet.config.schedules import SCHEDULES
from genenet.config.search import Draws
from genenet.config.stages import settings_json, stage_settings
from genenet.core.errors import InputError
from genenet.genes.generation import draw
from genenet.genes.plan import plan

DATA = {
    "classes": ["a", "b"],
    "voxel_size_nm": [10, 10, 10],
    "train": [{"phantom": {"shape": [2, 256, 256], "seed": 1}}],
    "validation": [{"phantom": {"shape": [2, 256, 256], "seed": 2}}],
}


def config(preset, **sections):
    return check_config({"preset": preset, "data": DATA, **sections})


def leaves(values, *path):
    """The keys of nested sections with their values; a list is a value."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, *path, key)
        else:
            yield (*path, key), value


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_brings_all_that_it_says(name):
    written = dict(leaves(preset_values(name)))
    found = dict(leaves(config(name).model_dump(mode="json")))
    assert {key: found[key] for key in written} == written
    assert len(written) > 10
    assert TEXTS.keys() == set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_each_line_of_a_preset_has_a_reason(name):
    """A comment stands above each value, or above the first of several that are explained together."""
    lines = preset_text(name).splitlines()
    assert yaml.safe_load("\n".join(lines)) == preset_values(name)
    kinds = [
        "comment" if line.lstrip().startswith("#") else "value"
        for line in lines
        if ": " in line or "#" in line
    ]
    assert kinds[0] == "comment"
    assert kinds.count("comment") >= kinds.count("value") / 2


@pytest.mark.parametrize("name", PRESETS)
def test_networks_of_a_preset_can_be_drawn_and_built(name):
    regions = config(name).search.feasible_regions()
    for index in range(5):
        genome = draw(regions, 1, index)
        assert plan(genome.net, 2).n_parameters > 0
        assert genome == genenet.random_genome(preset=name, seed=1, index=index)


def test_what_is_written_wins_key_by_key():
    preset = preset_values("modern")
    found = config(
        "modern",
        search={"seed": 5, "regions": {"net": {"n_stacks": [1, 3], "activation": ["relu", "gelu"]}}},
        training={"iterations": 700, "augmentation": {"noise": 0.5}, "optimiser": {"weight_decay": 0.1}},
    )
    assert found.preset == "modern"
    assert found.search.seed == 5
    regions = preset["search"]["regions"]
    assert found.search.regions["net"] == regions["net"] | {
        "n_stacks": [1, 3],
        "activation": ["relu", "gelu"],
    }
    assert found.search.regions["stack"] == regions["stack"]
    training = found.training
    assert training.iterations == 700
    assert training.augmentation.noise == 0.5
    assert training.augmentation.gamma == preset["training"]["augmentation"]["gamma"]
    assert (training.optimiser.kind, training.optimiser.weight_decay) == ("adamw", 0.1)
    assert training.optimiser.ema_decay == preset["training"]["optimiser"]["ema_decay"]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_replaced_even_by_the_defaults(preset):
    """A config that writes everything out is the same with and without a preset."""
    without = check_config({"data": DATA})
    found = config(preset, training=without.training.model_dump(mode="json"))
    assert found.training == without.training
    again = config(preset, **json.loads(found.model_dump_json(include={"search", "training"})))
    assert again == found


def test_with_another_kind_the_options_of_the_presets_kind_go():
    """Options of the preset's kind go; keys that all kinds share stay."""
    training = config(
        "modern",
        training={"loss": {"kind": "focal"}, "schedule": {"kind": "one_cycle"}, "optimiser": {"kind": "sgd"}},
    ).training
    assert training.loss.model_dump() == {
        "kind": "focal",
        "focal_gamma": 2.0,
        "class_weight_exponent": 0.5,
        "border_weight": 0.0,
        "border_sigma_voxels": 5.0,
    }
    assert training.schedule.model_dump() == {"kind": "one_cycle"}
    shared = preset_values("modern")["training"]["optimiser"]["gradient_clip"]
    assert (training.optimiser.options.momentum, training.optimiser.gradient_clip) == (0.9, shared)
    constant = config("modern", training={"schedule": {"kind": "constant"}}).training.schedule
    assert constant.options.warm_up_iterations == 0  # was chosen for the cosine
    same = config("modern", training={"schedule": {"kind": "cosine"}}).training.schedule
    warm_up = preset_values("modern")["training"]["schedule"]["warm_up_iterations"]
    assert same.options.warm_up_iterations == warm_up > 0


def test_a_fixed_value_leaves_no_deltas_of_the_preset():
    """Deltas of a value without room are an error where a user writes them; the preset's go with the region."""
    regions = config("modern", search={"regions": {"net": {"n_convlayers": 2}}}).search.regions
    assert regions["net"]["n_convlayers"] == 2
    assert regions["stack"] == {}
    own = {"net": {"n_convlayers": 2}, "stack": {"n_convlayers": [-1, 1]}}
    with pytest.raises(InputError, match=r"regions.stack.n_convlayers: has no room"):
        config("modern", search={"regions": own})


def test_settings_hold_what_is_written_out_and_no_name():
    """Written out or by name: the same settings."""
    named = config("published", training={"iterations": 50}, search={"n_genomes": 2})
    values = preset_values("published")
    training = values["training"] | {"iterations": 50}
    written = check_config(
        {"data": DATA, "training": training, "search": {**values["search"], "n_genomes": 2}}
    )
    for stage in ("generate", "breed", "train", "train_2", "prepare_train", "select", "test", "report"):
        assert settings_json(named, stage) == settings_json(written, stage)
        assert "preset" not in settings_json(named, stage)
        assert "published" not in settings_json(named, stage)
    assert stage_settings(named, "generate").model_dump() == {"seed": 0, **values["search"]}


def test_without_a_preset_all_is_as_before():
    found = check_config({"data": DATA})
    assert found.preset is None
    assert found.search.regions == {}
    assert found.training == Config(data=DATA).training
    assert (found.training.iterations, found.training.loss.kind) == (1000, "cross_entropy")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"preset": "modem"}, "config: preset: input should be 'modern' or 'published', not 'modem'"),
        ({"preset": ["modern"]}, "config: preset: input should be 'modern' or 'published'"),
        (
            {"search": {"preset": "published"}},
            "config: search: preset: this key has been moved; write preset: published at the top of the config, "
            "beside search:",
        ),
        (
            {"preset": "modern", "search": {"preset": "modern"}},
            "config: search: preset: this key has been moved",
        ),
        ({"preset": "modern", "training": 3}, "config: training: input should be a valid dictionary"),
        ({"preset": "modern", "search": {"regions": []}}, "config: search.regions: input should be a valid"),
        (
            {"preset": "modern", "search": {"regions": {"net": {"n_stack": 2}}}},
            "config: search: regions.net.n_stack: unknown hyperparameter; did you mean n_stacks?",
        ),
        ({"preset": "modern", "training": {"loss": {"kind": "dice"}}}, "config: training.loss.kind: 'dice' is no loss"),
        (
            {"preset": "modern", "training": {"loss": {"kind": "focal", "dice_share": 0.5}}},
            "config: training.loss: dice_share: kind focal has no such option; dice_cross_entropy has it",
        ),
    ],
)  # fmt: skip
def test_mistakes_beside_a_preset(values, said):
    with pytest.raises(InputError) as caught:
        check_config({"data": DATA, **values})
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_the_published_genomes_are_those_of_before():
    """The same seed gives the same genomes, whatever else a preset brings."""
    written = {
        "net": {
            "n_convkernels": [30, 110],
            "n_stacks": [1, 4],
            "n_convlayers": [1, 6],
            "input_size": [48, 254],
            "log_learning_rate": [-5.5, -2.5],
            **{f"log_{name}": [-12, -4] for name in ("gamma1", "gamma2", "lambda1", "lambda2")},
        },
        "stack": {"n_convlayers": [-5, 5]},
    }
    regions = Draws(regions=written).feasible_regions()
    assert config("published").search.feasible_regions() == regions
    assert [draw(regions, 1, index).id for index in range(3)] == [
        "e1d7685ae64b",
        "2da6f2b39c4d",
        "60b64e82a898",
    ]


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("name", ["decay_steps", "decay_rate"])
def test_a_schedule_draws_only_what_it_reads(name, kind):
    """The decay is read by the exponential schedule alone; a region of it beside another one is an error."""
    values = {
        "data": DATA,
        "search": {"regions": {"net": {name: 1}}},
        "training": {"schedule": {"kind": kind}},
    }
    if kind == "exponential":
        assert check_config(values).search.regions["net"] == {name: 1}
        return
    with pytest.raises(InputError) as caught:
        check_config(values)
    assert str(caught.value) == (
        f"config: search.regions.net.{name}: has no effect, since training.schedule.kind is {kind}; leave it out"
    )


def test_the_decay_has_its_default_in_genomes_of_other_schedules():
    net = draw(config("modern").search.feasible_regions(), 1, 0).net
    assert (net.value("decay_steps"), net.value("decay_rate")) == (10_000, 0.75)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_draws_only_what_its_schedule_reads(name):
    found = config(name)
    assert not found.training.schedule.without_effect & found.search.regions["net"].keys()
