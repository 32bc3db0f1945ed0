"""What can be chosen by name in ``training:``: each entry of each table works, and only its own options are taken."""

import math

import pytest

from genenet.config.losses import LOSSES
from genenet.config.model import Config
from genenet.config.optimisers import OPTIMISERS
from genenet.config.schedules import SCHEDULES
from genenet.config.training import Training
from genenet.core.errors import InputError
from genenet.core.validation import validate
from tests.support.configs import ROOT
from tests.support.trainers import trainer

TABLES = {"loss": LOSSES, "optimiser": OPTIMISERS, "schedule": SCHEDULES}
ENTRIES = [pytest.param(section, name, id=name) for section, table in TABLES.items() for name in table]


@pytest.mark.parametrize(("section", "name"), ENTRIES)
def test_each_entry_trains(section, name):
    """Its function exists, its options have defaults, and an iteration changes the weights."""
    entry = TABLES[section][name]
    assert callable(entry.function())
    assert entry.options() == getattr(Training.model_validate({section: {"kind": name}}), section).options
    t = trainer(**{section: {"kind": name}})
    before = [p.detach().clone() for p in t.network.parameters()]
    t.step()
    t.check_losses()
    assert math.isfinite(t.losses)
    assert any((a != b).any() for a, b in zip(before, t.network.parameters(), strict=True))


@pytest.mark.parametrize(("section", "name"), ENTRIES)
def test_schema_and_docs_name_each_entry_and_its_options(section, name):
    entry = TABLES[section][name]
    schema = Config.model_json_schema()["$defs"][section.capitalize()]["properties"]
    assert name in schema["kind"]["enum"]
    assert f"{name}: {entry.text}" in schema["kind"]["description"]
    page = (ROOT / "docs/training.md").read_text()
    assert f"`{name}`" in page
    for option in entry.options.model_fields:
        assert schema[option]["description"]
        assert f"`{section}.{option}`" in page


@pytest.mark.parametrize(("section", "name"), ENTRIES)
def test_options_survive_a_file(section, name):
    options = {
        option: (field.default or 1) / 2 if isinstance(field.default, float) else 3
        for option, field in TABLES[section][name].options.model_fields.items()
    }
    training = Training.model_validate({section: {"kind": name, **options}})
    values = training.model_dump(mode="json")
    assert options.items() <= values[section].items()
    assert "options" not in values[section]
    assert Training.model_validate_json(training.model_dump_json()) == training


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loss": {"kind": "tversky"}}, "loss.kind: 'tversky' is no loss; known are cross_entropy, "),
        ({"loss": {"kind": "foca"}}, "loss.kind: 'foca' is no loss; did you mean focal?"),
        ({"loss": {"kind": None}}, "loss.kind: input should be a valid string, not None"),
        ({"loss": {"kind": ["focal"]}}, "loss.kind: input should be a valid string, not ['focal']"),
        ({"loss": {"dice_share": 1}}, "loss: dice_share: kind cross_entropy has no such option; "),
        ({"loss": {"kind": "focal", "focal_gama": 1}}, "loss.focal_gama: unknown key; did you mean focal_gamma?"),
        ({"loss": {"kind": "focal", "focal_gamma": -1}}, "loss.focal_gamma: input should be greater than or "),
        ({"loss": {"options": {}}}, "loss: options: unknown key; write the options beside kind"),
        ({"optimiser": {"momentum": 0.5}}, "optimiser: momentum: kind adam has no such option; sgd has it"),
        (
            {"schedule": {"kind": "one_cycle", "warm_up_iterations": 5}},
            "schedule: warm_up_iterations: kind one_cycle has no such option; exponential, cosine and constant have it",
        ),
    ],
)  # fmt: skip
def test_what_a_kind_does_not_have_is_one_line(values, message):
    with pytest.raises(InputError) as error:
        validate(Training, values, "config")
    assert str(error.value).startswith(f"config: {message}")
    assert len(str(error.value).splitlines()) == 1
