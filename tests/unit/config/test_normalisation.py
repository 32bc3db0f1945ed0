"""What may be written as ``data.normalisation``, and what is written back."""

import json

import pytest
from jsonschema import Draft202012Validator

from genenet.config.normalisation import ESTIMATES, NormalisationSettings
from genenet.config.settings import SelectSettings
from genenet.core.errors import InputError
from genenet.core.models import Closed
from genenet.core.validation import validate
from genenet.ensembles.description import NormalisationEntry


class Section(Closed):
    normalisation: NormalisationSettings


def read(value):
    return validate(Section, {"normalisation": value}, "file").normalisation


@pytest.mark.parametrize("word", ["image", "volume", "slice", "training"])
def test_a_bare_word_is_over(word):
    found = read(word)
    assert found == NormalisationSettings(over=word) == read({"over": word, "by": "mean"})
    assert (found.over, found.by) == (word, "mean")
    assert str(found) == found.model_dump() == word
    assert found.model_dump_json() == f'"{word}"'  # as older versions wrote it


@pytest.mark.parametrize("by", ESTIMATES)
@pytest.mark.parametrize("over", ["image", "volume", "slice", "training"])
def test_a_mapping_is_written_and_read_again(over, by):
    found = read({"over": over, "by": by})
    assert read(json.loads(found.model_dump_json())) == found
    assert callable(ESTIMATES[by].function())


def test_percentiles_have_a_default():
    assert read({"by": "percentiles"}) == read({"over": "image", "by": "percentiles", "percentiles": [1, 99]})
    wide = read({"over": "slice", "by": "percentiles", "percentiles": [0.5, 95]})
    assert wide.percentiles == (0.5, 95)
    assert str(wide) == "{over: slice, by: percentiles, percentiles: [0.5, 95]}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("volumes", "normalisation: input should be 'image', 'volume', 'slice' or 'training', or {over: image"),
        (3, "normalisation: input should be 'image'"),
        ({"over": "all"}, "normalisation.over: input should be 'image', 'volume', 'slice' or 'training', not 'all'"),
        ({"by": "sigma"}, "normalisation.by: 'sigma' is no estimate of centre and scale; known are mean, percentiles"),
        ({"ower": "image"}, "normalisation.ower: unknown key; did you mean over?"),
        ({"percentiles": [1, 99]}, "percentiles: is for by: percentiles, not for by: mean; leave it out"),
        ({"by": "percentiles", "percentiles": [9, 9]}, "percentiles: [9, 9] isn't in order; give the lower one first"),
        ({"by": "percentiles", "percentiles": [0, 99]}, "normalisation.percentiles.0: input should be greater than 0"),
        ({"by": "percentiles", "percentiles": [1, 100]}, "normalisation.percentiles.1: input should be less than 100"),
    ],
)  # fmt: skip
def test_errors_say_what_would_be_right(value, message):
    with pytest.raises(InputError) as caught:
        read(value)
    assert message in str(caught.value)


def test_the_schema_for_editors_knows_words_and_mappings():
    validator = Draft202012Validator(Section.model_json_schema())
    for value in ("image", {"over": "volume", "by": "percentiles", "percentiles": [5, 95]}, {"by": "mean"}):
        assert validator.is_valid({"normalisation": value})
    for value in ("images", {"over": "images"}, {"percentile": [5, 95]}, 3):
        assert not validator.is_valid({"normalisation": value})


def test_settings_and_ensembles_of_older_versions_are_read():
    settings = validate(SelectSettings, {"normalisation": "slice", "ensemble": {}}, "select.json")
    assert settings.normalisation.over == "slice"
    old = {"mode": "training", "mean": 3.0, "deviation": 2.0}
    entry = validate(NormalisationEntry, old, "ensemble.json")
    assert NormalisationEntry.of(entry.rule).model_dump(mode="json") == old
