"""Command-line options made from the fields of a settings model, so a new field becomes an option automatically."""

from __future__ import annotations

import inspect
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer

from genenet.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

Command = TypeVar("Command", bound="Callable[..., Any]")


def options_of(model: type[BaseModel], leave_out: Collection[str] = ()) -> Callable[[Command], Command]:
    """Give a command an option for each field of a model, with the field's description and default.

    The command receives them as keyword arguments; `given` makes values of them that the model can validate.

    Args:
        model: whose fields become options, ``memory_mb`` as ``--memory-mb``.
        leave_out: names of fields that aren't options.

    Raises:
        TypeError: If a field is of a type that no option is known for.
    """
    options = [_parameter(name, field) for name, field in model.model_fields.items() if name not in leave_out]

    def decorate(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True)
        kept = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        command.__signature__ = own.replace(parameters=[*kept, *options])  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in (*kept, *options)}
        return command

    return decorate


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that have a value, as the model validates them: ``16x640x640`` becomes three numbers.

    Raises:
        InputError: If such a size can't be read.
    """
    return {name: _read(name, value) for name, value in options.items() if value is not None}


def _read(name: str, value: Any) -> Any:
    if not isinstance(value, _Sizes):
        return value
    sizes = value.text.split("x")
    if len(sizes) != 3 or not all(size.strip().isdecimal() for size in sizes):
        option = "--" + name.replace("_", "-")
        raise InputError(f"{option} {value.text}: give voxels along z, y and x, such as 16x640x640")
    return sizes


class _Sizes:
    """The text of an option that consists of three numbers."""

    def __init__(self, text: str) -> None:
        self.text = text


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    kind, more = _option_type(name, field.annotation)
    annotation: Any = Annotated[kind, typer.Option(help=field.description, **more)]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=annotation
    )


def _option_type(name: str, annotation: Any) -> tuple[Any, dict[str, Any]]:
    """Return the type of an option for a field's annotation, and the other arguments of typer's option."""
    some = [kind for kind in get_args(annotation) if kind is not NoneType]
    if NoneType in get_args(annotation) and len(some) == 1:
        annotation = some[0]
    if get_origin(annotation) is Literal:
        return annotation, {}
    if get_origin(annotation) is tuple and len(get_args(annotation)) == 3:
        return _Sizes, {"parser": _Sizes, "metavar": "ZxYxX"}
    if annotation in (bool, int, float):
        return annotation, {}
    raise TypeError(f"{name}: no option is known for a field of type {annotation}")
