"""A section of the config whose ``kind`` is an entry of a table, and whose other keys depend on that entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import (
    GetJsonSchemaHandler,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from genenet.core.choices import Choice, NoOptions, Table, listed
from genenet.core.models import Closed


class Chosen(Closed):
    """A kind with its options.

    In a file the options of the kind are flat: they stand beside ``kind`` and the fields that all kinds share. In
    Python they are one object, ``options``, of the model that the kind's entry names. An option of another kind is
    an error that says which kinds have it.

    A subclass sets ``table`` and gives ``kind`` a default.
    """

    table: ClassVar[Table[Any]]

    kind: str
    options: SerializeAsAny[Closed] = NoOptions()

    @property
    def entry(self) -> Choice:
        """The kind's entry in the table."""
        entry: Choice = self.table[self.kind]
        return entry

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, kind: str) -> str:
        return cls.table.check(kind)

    @model_validator(mode="before")
    @classmethod
    def _options_apart(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or isinstance(values.get("options"), Closed):
            return values
        if "options" in values:
            raise ValueError("options: unknown key; write the options beside kind")
        kind = values.get("kind", cls.model_fields["kind"].default)
        if not isinstance(kind, str) or kind not in cls.table:
            return {name: value for name, value in values.items() if not cls._kinds_with(name)}
        own = cls.table[kind].options
        for name in values:
            if (others := cls._kinds_with(name)) and name not in own.model_fields:
                verb = "has" if len(others) == 1 else "have"
                raise ValueError(f"{name}: kind {kind} has no such option; {listed(others)} {verb} it")
        options = own.model_validate({k: v for k, v in values.items() if k in own.model_fields})
        return {**{k: v for k, v in values.items() if k not in own.model_fields}, "options": options}

    @classmethod
    def _kinds_with(cls, option: str) -> list[str]:
        """Return the kinds that have an option of this name."""
        return [name for name, entry in cls.table.items() if option in entry.options.model_fields]

    @model_serializer(mode="wrap")
    def _flat(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        options = values.pop("options", {})
        return {"kind": values.pop("kind"), **options, **values}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return a schema as the file is: flat, with the options of all kinds."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        properties = schema["properties"]
        properties.pop("options")
        kind = {**properties.pop("kind"), "enum": list(cls.table), "description": cls.table.text}
        options: dict[str, Any] = {}
        for entry in cls.table.values():
            for name, option in entry.options.model_json_schema().get("properties", {}).items():
                options[name] = {
                    **option,
                    "description": cls._with_kinds(name, option.get("description", "")),
                }
        schema["properties"] = {"kind": kind, **options, **properties}
        return schema

    @classmethod
    def _with_kinds(cls, option: str, text: str) -> str:
        kinds = cls._kinds_with(option)
        return text if len(kinds) == len(cls.table) else f"{text} (only for {', '.join(kinds)})"
