"""What YAML passes over, or reads as something else than text, is one line."""

import datetime
import json

import pytest

from genenet.config.model import read_config
from genenet.config.yaml_file import parse_yaml
from genenet.core.errors import InputError
from tests.support.configs import DEFAULT

TEXT = json.dumps(DEFAULT)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml: line 3: the key a is given twice, first in line 1; remove one of them"),
        (
            "search:\n  n_genomes: 3\n  seed: 1\n\n  n_genomes: 50\n",
            "x.yaml: line 5: the key n_genomes is given twice, first in line 2; remove one of them",
        ),
        ("a: [{b: 1, b: 1}]", "x.yaml: line 1: the key b is given twice, first in line 1; remove one of them"),
        ('{"a": 1, "a": 2}', "x.yaml: line 1: the key a is given twice, first in line 1; remove one of them"),
        ("v:\n  on: 1", 'x.yaml: line 2: YAML reads the key on as the boolean true: put it in quotes, "on"'),
        ("007: 1", 'x.yaml: line 1: YAML reads the key 007 as the number 7: put it in quotes, "007"'),
        ("2024-11-05: 1", 'x.yaml: line 1: YAML reads the key 2024-11-05 as a date: put it in quotes, "2024-11-05"'),
        ("12:30: 1", 'x.yaml: line 1: YAML reads the key 12:30 as the number 750: put it in quotes, "12:30"'),
        ("null: 1", 'x.yaml: line 1: YAML reads the key null as the empty value null: put it in quotes, "null"'),
        ("a: [1", "x.yaml: not a YAML file: "),
    ],
)  # fmt: skip
def test_a_key_twice_or_a_key_that_is_not_text_is_one_line(text, message):
    with pytest.raises(InputError) as error:
        parse_yaml(text, "x.yaml")
    assert str(error.value).startswith(message)
    assert len(str(error.value).splitlines()) == 1


def test_the_same_key_in_two_places_is_fine_and_so_are_merged_keys():
    text = "base: &base {a: 1, b: 2}\nother:\n  <<: *base\n  a: 3\nlist: [{a: 1}, {a: 2}]\nday: 2024-11-05\n"
    assert parse_yaml(text, "x.yaml") == {
        "base": {"a": 1, "b": 2},
        "other": {"a": 3, "b": 2},
        "list": [{"a": 1}, {"a": 2}],
        "day": datetime.date(2024, 11, 5),
    }


@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("no", "the boolean false"),
        ("yes", "the boolean true"),
        ("on", "the boolean true"),
        ("null", "the empty value null"),
        ("~", "the empty value null"),
        ("007", "the number 7"),
        ("1.5", "the number 1.5"),
        ("2024-11-05", "a date"),
    ],
)
def test_a_class_that_yaml_does_not_read_as_text_is_one_line(tmp_path, word, read):
    path = tmp_path / "config.yaml"
    classes = json.dumps(DEFAULT["data"]["classes"])
    assert classes in TEXT
    quoted = classes.replace('"cell"', f'"{word}"')
    path.write_text(TEXT.replace(classes, quoted))
    assert read_config(path).data.classes[1] == word
    path.write_text(TEXT.replace(classes, quoted.replace(f'"{word}"', word)))
    with pytest.raises(InputError) as error:
        read_config(path)
    assert str(error.value) == f"{path}: data.classes.1: YAML reads this as {read}: put it in quotes"


def test_volumes_of_any_name_need_quotes_only(tmp_path):
    path = tmp_path / "config.yaml"
    image = '{"path": "a.tif"}'
    for name in ("on", "007", "2024-11-05"):
        volumes = json.dumps(DEFAULT["data"]["volumes"])
        path.write_text(TEXT.replace(volumes, f'{{"{name}": {image}}}'))
        assert list(read_config(path).data.volumes) == [name]
        path.write_text(TEXT.replace(volumes, f"{{{name}: {image}}}"))
        with pytest.raises(InputError, match=f'YAML reads the key {name} as .*: put it in quotes, "{name}"$'):
            read_config(path)
