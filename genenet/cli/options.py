"""Command-line options made from the fields of a settings model, so a new field becomes an option automatically."""

from __future__ import annotations

import inspect
from itertools import chain
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer
from annotated_types import Gt

from genenet.config import texts
from genenet.config.types import FlippedAxes, Shape, VoxelSize

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

Command = TypeVar("Command", bound="Callable[..., Any]")
READERS: dict[Any, tuple[Callable[[str], Any], str]] = {
    Shape: (texts.read_shape, "ZxYxX"),
    VoxelSize: (texts.read_voxel_size, "ZxYxX"),
    FlippedAxes: (texts.read_flip, "AXES"),
    list[str]: (texts.read_names, "NAMES"),
}
"""Types whose options are one text: the function that reads it, and how help shows it."""

READERS_OF_ITEMS: dict[Any, tuple[Callable[[str], Any], str]] = {
    list[VoxelSize | None]: (texts.read_voxel_size_or_none, "ZxYxX"),
}
"""Types whose options may be repeated, each time with a text of an item; as above."""


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


def given(model: type[BaseModel], options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that have a value, as the model validates them: ``16x640x640`` becomes three numbers.

    Raises:
        InputError: If the text of an option can't be read.
    """
    return {name: _value(model, name, value) for name, value in options.items() if value is not None}


def _value(model: type[BaseModel], name: str, value: Any) -> Any:
    kind = _type_of(model.model_fields[name])
    if kind in READERS_OF_ITEMS:
        read_item, _ = READERS_OF_ITEMS[kind]
        return [texts.read_option(name, item, read_item) for item in value]
    read, _ = READERS.get(kind, (None, None))
    return texts.read_option(name, value, read) if read else value


def _type_of(field: FieldInfo) -> Any:
    """Return the type of a field's value, without None and without the limits of a number."""
    some = [kind for kind in get_args(field.annotation) if kind is not NoneType]
    kind = some[0] if NoneType in get_args(field.annotation) and len(some) == 1 else field.annotation
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    kind, more = _type_of(field), dict[str, Any]()
    if kind in READERS:
        kind, more = str, {"metavar": READERS[kind][1]}
    elif kind in READERS_OF_ITEMS:
        kind, more = list[str], {"metavar": READERS_OF_ITEMS[kind][1]}
    elif get_origin(kind) is not Literal and kind not in (bool, int, float, str, Path, list[Path]):
        raise TypeError(f"{name}: no option is known for a field of type {kind}")
    if kind is int and Gt(0) in _limits(field):
        more["min"] = 1
    annotation: Any = Annotated[kind, typer.Option(help=field.description, **more)]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=annotation
    )


def _limits(field: FieldInfo) -> list[Any]:
    """Return the limits of a field's number, also of one that may be None."""
    of_kinds = (getattr(kind, "__metadata__", ()) for kind in get_args(field.annotation))
    return [*field.metadata, *chain.from_iterable(of_kinds)]
