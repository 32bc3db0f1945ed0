"""Options of a command that are made from the fields of a settings model."""

from typing import Any, Literal, get_args

import pytest
import typer
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from genenet.cli.main import app
from genenet.cli.options import given, options_of
from genenet.config.segmentation import Segmentation
from genenet.core.errors import InputError

FIELDS = sorted(set(Segmentation.model_fields) - {"jobs"})


def parsed(*arguments: str) -> dict[str, Any]:
    """What a command with the options of `segmentation:` receives."""
    received: dict[str, Any] = {}
    small = typer.Typer()

    @small.command()
    @options_of(Segmentation, leave_out={"jobs"})
    def command(**segmentation: Any) -> None:
        received.update(given(Segmentation, segmentation))

    done = CliRunner().invoke(small, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return received


def other_value(name: str) -> tuple[list[str], Any]:
    """The command line that gives a field a value that isn't its default, and the value."""
    field, option = Segmentation.model_fields[name], "--" + name.replace("_", "-")
    choices = [choice for choice in get_args(field.annotation) if isinstance(choice, str)]
    if isinstance(field.default, bool):
        return [option], not field.default
    if choices:
        other = next(choice for choice in choices if choice != field.default)
        return [option, other], other
    if isinstance(field.default, int):
        return [option, str(field.default + 1)], field.default + 1
    return [option, "2x64x96"], (2, 64, 96)


def test_without_options_the_values_are_the_models():
    assert Segmentation(**parsed()) == Segmentation()


@pytest.mark.parametrize("name", FIELDS)
def test_each_key_of_segmentation_is_an_option(name):
    arguments, value = other_value(name)
    assert Segmentation(**parsed(*arguments)) == Segmentation(**{name: value})


@pytest.mark.parametrize("name", FIELDS)
def test_help_has_each_key_with_its_description(name):
    help_ = CliRunner().invoke(app, ["segment", "--help"], env={"COLUMNS": "400"}).output
    assert f"--{name.replace('_', '-')} " in help_
    description = Segmentation.model_fields[name].description
    assert description
    assert description in help_


@pytest.mark.parametrize(
    "command", [["init", "--genomes"], ["submit", "--minutes"], ["segment", "--memory-mb"]]
)
def test_limits_of_numbers_are_those_of_the_model(command):
    name, option = command
    done = CliRunner().invoke(app, [name, option, "0"], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert f"Invalid value for '{option}': Input should be greater than or equal to 1" in done.output


@pytest.mark.parametrize("size", ["16x640", "16x640x640x1", "axbxc", "16;640;640"])
def test_a_size_that_cant_be_read_is_one_line(size):
    with pytest.raises(InputError, match=f"--block {size}: give voxels along z, y and x, such as 16x640x640"):
        parsed("--block", size)


def test_a_field_of_an_unknown_type_is_an_error_at_once():
    class Odd(BaseModel):
        table: dict[str, int] = Field({}, description="of any kind")
        word: Literal["a", "b"] = "a"

    with pytest.raises(TypeError, match="table: no option is known for a field of type dict"):
        options_of(Odd)
    options_of(Odd, leave_out={"table"})


def test_a_size_may_have_commas():
    assert parsed("--block", "16,640,640") == parsed("--block", "16x640x640")
