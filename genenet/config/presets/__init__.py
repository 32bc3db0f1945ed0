"""Settings that a config can name instead of writing them out: ``preset:``, a space of networks and a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, get_args

import yaml

from genenet.core.chosen import Chosen
from genenet.core.errors import InputError
from genenet.genes.hyperparameters import LEVELS

if TYPE_CHECKING:
    from pydantic import BaseModel

Preset = Literal["modern", "published"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
TEXTS = {
    "modern": "same-padded networks with batch normalisation, Dice, AdamW, rotations, scalings and random grey values",
    "published": "the search space of Guay (2017), with its 100 000 iterations",
}


def preset_values(name: str) -> dict[str, Any]:
    """Return the sections of a preset, as config.yaml would write them; raises InputError for an unknown name."""
    if name not in PRESETS:
        raise InputError(f"preset: '{name}' is no preset; known are {', '.join(PRESETS)}")
    return dict(yaml.safe_load(preset_text(name)))


def preset_text(name: str) -> str:
    """Return a preset's file, with a comment for each line."""
    return files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def with_preset(name: str, own: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Return a preset's values, replaced key by key by what a config writes.

    Args:
        name: of the preset.
        own: what the config writes, not yet checked.
        model: of the whole config; it says which sections have a ``kind``.

    Raises:
        InputError: If there is no such preset.
    """
    preset = preset_values(name)
    search = own.get("search")
    if isinstance(search, Mapping):
        preset["search"]["regions"] = _with_room(preset["search"]["regions"], search.get("regions"))
    return dict(_merged(preset, own, model))


def preset_regions(name: str, own: Any) -> Any:
    """Return a preset's feasible regions, replaced one by one by own ones; raises InputError for an unknown name."""
    return _merged(_with_room(preset_values(name)["search"]["regions"], own), own, None)


def _merged(preset: Any, own: Any, model: type[BaseModel] | None) -> Any:
    """Merge two mappings deeply; any other value, a list too, takes the preset's place as a whole."""
    if not (isinstance(preset, Mapping) and isinstance(own, Mapping)):
        return own
    kept = _of_same_kind(preset, own, model)
    inner = {
        key: _merged(kept[key], value, _section(model, key)) for key, value in own.items() if key in kept
    }
    return {**kept, **own, **inner}


def _section(model: type[BaseModel] | None, key: str) -> type[BaseModel] | None:
    """Return the model of a key's section; None if its value is no section."""
    field = model.model_fields.get(key) if model else None
    section = field.annotation if field else None
    return section if hasattr(section, "model_fields") else None


def _of_same_kind(
    preset: Mapping[str, Any], own: Mapping[str, Any], model: type[BaseModel] | None
) -> Mapping[str, Any]:
    """Leave out the options of the preset's kind where the config names another kind."""
    if model is None or not issubclass(model, Chosen):
        return preset
    kind = preset.get("kind", model.model_fields["kind"].default)
    if own.get("kind", kind) == kind:
        return preset
    options = model.table[kind].options.model_fields
    return {key: value for key, value in preset.items() if key not in options}


def _with_room(preset: dict[str, Any], own: Any) -> dict[str, Any]:
    """Leave out the preset's deltas of hyperparameters whose value the config fixes: they would have no room."""
    net = own.get("net") if isinstance(own, Mapping) else None
    fixed = {n for n, value in net.items() if not isinstance(value, list)} if isinstance(net, Mapping) else ()
    return {
        level: regions if level == LEVELS[0] else {n: r for n, r in regions.items() if n not in fixed}
        for level, regions in preset.items()
    }
