"""Reads a YAML file, and reports mistakes that YAML itself accepts: a key that is given twice or isn't text."""

from __future__ import annotations

import datetime
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from genenet.core.errors import InputError


def read_yaml(path: Path) -> Any:
    """Read a YAML file; JSON is YAML, too.

    Raises:
        InputError: If the file is missing or a folder, isn't YAML, has a key twice, or has a key that YAML doesn't
            read as text.
    """
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: a folder; give the YAML file of the search, such as config.yaml") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a YAML file: {error}") from None


def parse_yaml(text: str, source: str) -> Any:
    """Read YAML; ``source`` is named in errors.

    Raises:
        InputError: As ``read_yaml``.
    """
    try:
        return yaml.load(text, _Loader)
    except _KeyProblem as problem:
        raise InputError(f"{source}: {problem}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{source}: not a YAML file: {' '.join(str(error).split())}") from None


def yaml_type(value: object) -> str:
    """Return what YAML takes a value for, such as ``the boolean true``."""
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if value is None:
        return "the empty value null"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, datetime.date):
        return "a date"
    return f"a {type(value).__name__}"


def explain_yaml(error: Mapping[str, Any]) -> str | None:
    """Return a message for a value that should be text but that YAML doesn't read as text; None for other errors."""
    if error["type"] in ("string_type", "path_type") and not isinstance(error["input"], dict | list):
        return f"YAML reads this as {yaml_type(error['input'])}: put it in quotes"
    return None


class _KeyProblem(Exception):
    """A key that is given twice, or that isn't text."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, but with each key once and only text as keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping; raises _KeyProblem."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge":
                self._check(key, lines)
        return super().construct_mapping(node, deep)

    def _check(self, key: yaml.Node, lines: dict[str, int]) -> None:
        """Raise _KeyProblem if a key isn't text or is already in ``lines``; otherwise add it to ``lines``."""
        line, value = key.start_mark.line + 1, self.construct_object(key, deep=True)
        if not isinstance(value, str):
            text = key.value if isinstance(key, yaml.ScalarNode) else "…"
            raise _KeyProblem(
                f'line {line}: YAML reads the key {text} as {yaml_type(value)}: put it in quotes, "{text}"'
            )
        if value in lines:
            raise _KeyProblem(
                f"line {line}: the key {value} is given twice, first in line {lines[value]}; remove one of them"
            )
        lines[value] = line
