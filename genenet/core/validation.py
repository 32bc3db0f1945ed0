"""Converts the errors that pydantic finds to one clear line for each mistake."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from genenet.core.errors import InputError

Model = TypeVar("Model", bound=BaseModel)


def validate(
    model: type[Model],
    values: Any,
    source: str,
    explain: Callable[[Mapping[str, Any]], str | None] = lambda _: None,
) -> Model:
    """Validate with pydantic; its errors become one line for each mistake (InputError).

    Args:
        model: what the values must be.
        values: as a file or a caller gave them.
        source: is named in errors, such as the file.
        explain: returns a better message for an error of pydantic, or None.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        typos_first = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        raise InputError("\n".join(_line(model, source, e, explain) for e in typos_first)) from None


def _line(
    model: type[BaseModel], source: str, error: Any, explain: Callable[[Mapping[str, Any]], str | None]
) -> str:
    location = [str(part) for part in error["loc"]]
    key = ".".join(location)
    where = f"{source}: {key}: " if key else f"{source}: "
    if error["type"] == "extra_forbidden":
        known = _keys_beside(model, location)
        close = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
        return f"{where}unknown key; {hint}"
    if error["type"] == "missing":
        return f"{where}is missing"
    if explained := explain(error):
        return f"{where}{explained}"
    message = str(error["msg"]).removeprefix("Value error, ")
    shown = repr(error["input"])
    value = f", not {shown}" if error["type"] != "value_error" and len(shown) < 60 else ""
    return f"{where}{message[:1].lower()}{message[1:]}{value}"


def _keys_beside(model: type[BaseModel], location: list[str]) -> list[str]:
    """Names of the fields of the model in which the last part of ``location`` was looked for."""
    schema = model.model_json_schema()
    node: Any = schema
    for part in location[:-1]:
        node = _resolve(schema, node)
        node = (
            node.get("items")
            if part.isdigit()
            else node.get("properties", {}).get(part, node.get("additionalProperties"))
        )
        if not isinstance(node, dict):
            return []
    return list(_resolve(schema, node).get("properties", {}))


def _resolve(schema: Any, node: Any) -> Any:
    for option in node.get("anyOf", ()):
        if option.get("type") != "null":
            node = option
            break
    return _resolve(schema, schema["$defs"][node["$ref"].rsplit("/", 1)[1]]) if "$ref" in node else node
