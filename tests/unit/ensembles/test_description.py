"""``ensemble.json`` and ``ensemble_strategies.json`` are closed; those of version 0.1 are read."""

import json
from pathlib import Path

import pytest

from genenet.config.ensemble import STRATEGIES
from genenet.core.errors import InputError
from genenet.ensembles.description import StrategiesFile, read_description, read_strategies

VERSION_0_1 = Path(__file__).parents[2] / "data" / "version_0.1" / "search"
ENSEMBLE = VERSION_0_1 / "ensemble" / "ensemble.json"


def test_the_ensemble_of_version_0_1_is_read_and_keeps_all_that_it_says(tmp_path):
    values = json.loads(ENSEMBLE.read_text())
    description = read_description(ENSEMBLE)
    assert [member.run for member in description.members] == ["r0/001", "r0/000"]
    assert description.validation.ari == values["validation"]["ari"]
    description.write(tmp_path / "ensemble.json")
    assert json.loads((tmp_path / "ensemble.json").read_text()) == {
        **values,
        "class_voxels": None,
        "metric": "ari",
        "refit": None,
        "intervals": [],
        "calibration": None,
        "blocks": None,
        "reference": None,
        "pair_ambiguities": None,
    }
    assert read_description(tmp_path / "ensemble.json") == description


def test_the_members_of_folds_count_as_one_run():
    first, second = read_description(ENSEMBLE).members
    folds = [
        first.model_copy(update={"run": f"{first.run}/folds/{fold}", "weight": 0.25}) for fold in (0, 1, 2)
    ]
    description = read_description(ENSEMBLE).model_copy(update={"members": [*folds, second]})
    assert description.runs == [first.run, second.run]
    assert description.size_text == "4 networks (2 genomes, 3 folds)"
    merged, alone = description.by_run
    assert (merged.run, merged.weight, merged.validation_ari) == (first.run, 0.75, None)
    assert alone == second
    whole = read_description(ENSEMBLE)
    assert (whole.by_run, whole.n_folds, whole.size_text) == (whole.members, 0, "2 networks")


def test_networks_of_one_name_are_members_of_their_own():
    """In Python, the first genomes of two searches have the same name; folds of one genome have one, too."""
    first, second = read_description(ENSEMBLE).members
    alike = [first, second.model_copy(update={"run": first.run})]
    assert read_description(ENSEMBLE).model_copy(update={"members": alike}).by_run == alike


def test_the_strategies_of_version_0_1_are_read(tmp_path):
    path = VERSION_0_1 / "ensemble_strategies.json"
    entries = read_strategies(path)
    of_classes = {name for name, entry in STRATEGIES.items() if not entry.needs_objects}
    assert {entry.strategy for entry in entries} == of_classes
    StrategiesFile(strategies=entries).write(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads(path.read_text())
    assert read_strategies(tmp_path / "missing.json") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "genenet.ensemble/9"}, "not an ensemble (genenet.ensemble/1)"),
        ({"members": []}, "members: list should have at least 1 item"),
        ({"memebers": []}, "memebers: unknown key; did you mean members?"),
        ({"combination": "product"}, "combination: 'product' is no combination; known are mean, weighted, vote"),
        (
            {"members": [{"folder": "../other", "run": "r0/000", "genome": "0" * 12}]},
            "members.0.folder: '../other' leads out of the ensemble's folder",
        ),
        (
            {"members": [{"folder": "/etc", "run": "r0/000", "genome": "0" * 12}]},
            "members.0.folder: '/etc' leads out of the ensemble's folder",
        ),
    ],
)  # fmt: skip
def test_other_contents_are_refused_with_one_line(tmp_path, change, message):
    path = tmp_path / "ensemble.json"
    path.write_text(json.dumps({**json.loads(ENSEMBLE.read_text()), **change}))
    with pytest.raises(InputError) as error:
        read_description(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert len(str(error.value).splitlines()) == 1
