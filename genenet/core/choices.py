"""Tables of what can be chosen by name: each entry has a name, a line of text, its options, and its function.

A table is defined in the lowest package that must know the names. The functions are defined in the package that
computes, and are only imported when they are needed: reading a config imports no torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from genenet.core.models import Closed


class NoOptions(Closed):
    """The options of an entry that has none."""


@dataclass(frozen=True)
class Choice:
    """An entry of a table.

    Attributes:
        name: what a user writes.
        text: one line for help, schema and docs; it continues ``name:``.
        path: the function that does it, ``package.module:function``.
        options: what else a user may write beside the name.
    """

    name: str
    text: str
    path: str
    options: type[Closed] = NoOptions

    def function(self) -> Any:
        """Import and return the function; raises ImportError or AttributeError if there is none."""
        return resolve_name(self.path)


Entry = TypeVar("Entry", bound=Choice)


class Table(Mapping[str, Entry], Generic[Entry]):
    """Entries by name, in the order that help, schema and docs list them.

    Args:
        what: one entry is called, such as ``loss``; error messages name it.
        entries: of the table.

    Raises:
        ValueError: If two entries have the same name.
    """

    def __init__(self, what: str, entries: Iterable[Entry]) -> None:
        self.what = what
        self._entries: dict[str, Entry] = {}
        for entry in entries:
            if entry.name in self._entries:
                raise ValueError(f"two entries of the table of {what} are named {entry.name}")
            self._entries[entry.name] = entry

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Any:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def check(self, name: str) -> str:
        """Return the name; raises ValueError with the known names if it isn't one of them."""
        if name in self._entries:
            return name
        close = difflib.get_close_matches(name, self._entries, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(self._entries)}"
        raise ValueError(f"'{name}' is no {self.what}; {hint}")

    @property
    def text(self) -> str:
        """All entries as one line: ``name: text; name: text``."""
        return "; ".join(f"{entry.name}: {entry.text}" for entry in self._entries.values())


class OneOf:
    """Mark a ``str`` of a model as the name of an entry: ``Annotated[str, OneOf(TABLE)]``."""

    def __init__(self, table: Table[Any]) -> None:
        self.table = table

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return a schema that refuses names without an entry."""
        return core_schema.no_info_after_validator_function(self.table.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return a JSON schema that lists the names."""
        return {**handler(schema), "enum": list(self.table)}


def listed(names: Sequence[str]) -> str:
    """Join names for a sentence: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def many(number: int, thing: str) -> str:
    """Count things in a sentence: ``1 part``, ``2 parts``."""
    return f"{number} {thing}{'s' * (number != 1)}"
