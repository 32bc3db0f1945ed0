"""Feasible regions as config.yaml writes them: a number, ``[low, high]``, a choice or a list of choices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genenet.core.errors import InputError, naming
from genenet.genes.domains import Integers, Interval, Region
from genenet.genes.hyperparameters import (
    HYPERPARAMETERS,
    LEVELS,
    Hyperparameter,
    Level,
    hyperparameter,
    settable,
)

Regions = Mapping[str, Mapping[str, Region]]  # by level and hyperparameter


def read_region(level: Level | str, name: str, value: Any) -> Region:
    """Read a feasible region: a number, ``[low, high]``, or for choices a name or a list of names.

    At level ``net`` it holds values, within the domain; at the others deltas.

    Raises:
        InputError: If the name is unknown, not settable at this level, or the region isn't feasible.
    """
    with naming(f"regions.{level}.{name}"):
        h = hyperparameter(name)
        if not settable(h, level):  # type: ignore[arg-type]
            raise InputError(f"is read at {h.level} genes; a region below them would have no effect")
        return _region(h, value, is_value=level == "net")


def _region(h: Hyperparameter, value: Any, is_value: bool) -> Region:
    numbers = [h.number(v) for v in (value if isinstance(value, list) else [value])]
    if not numbers or (len(numbers) > 2 and not h.choices):
        raise InputError(f"{value!r} is not a region; give a number or [low, high]")
    if numbers != sorted(numbers):
        raise InputError(f"{value!r} is not a region: the first must be the lowest")
    outside = [n for n in numbers if n not in h.domain] if is_value else []
    if outside:
        raise InputError(f"{outside[0]:g} is outside of what can be built: {h.allowed}")
    if h.is_float:
        return Interval(float(numbers[0]), float(numbers[-1]))
    if h.choices and is_value:
        return Integers(tuple(int(n) for n in numbers))
    if (numbers[-1] - numbers[0]) % h.step or (not is_value and numbers[0] % h.step):
        raise InputError(f"{value!r} must go in steps of {h.step}")
    return Integers(range(int(numbers[0]), int(numbers[-1]) + 1, h.step))


def regions_schema() -> dict[str, Any]:
    """Return the JSON schema of ``search.regions``: for each level the hyperparameters that it may have."""
    return {
        "additionalProperties": False,
        "properties": {
            level: {
                "type": "object",
                "description": "values of the net" if level == "net" else f"deltas of each {level}",
                "additionalProperties": False,
                "properties": {
                    name: _region_schema(h, is_value=level == "net")
                    for name, h in HYPERPARAMETERS.items()
                    if settable(h, level)
                },
            }
            for level in LEVELS
        },
    }


def _region_schema(h: Hyperparameter, is_value: bool) -> dict[str, Any]:
    number: dict[str, Any] = {"type": "number" if h.is_float else "integer"}
    one: dict[str, Any] = {"enum": [*h.choices, *range(len(h.choices))]} if h.choices and is_value else number
    several = {"type": "array", "items": one, "minItems": 1}
    if not h.choices:
        several["maxItems"] = 2
    text = f"{h.text}: {', '.join(map(h.word, range(len(h.choices))))}" if h.choices else h.text
    default = {"default": h.choices[0] if h.choices else h.default} if is_value else {}
    return {"description": text, "anyOf": [one, several], **default}
