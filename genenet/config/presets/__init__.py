"""Feasible regions that a config can name instead of writing them out: ``search.preset``."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Literal

import yaml

Preset = Literal["published"]
WrittenRegions = dict[str, dict[str, Any]]


def preset_regions(name: Preset) -> WrittenRegions:
    """Return a preset's regions by level and hyperparameter, as config.yaml writes them."""
    regions: WrittenRegions = yaml.safe_load(
        files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    )
    return regions


def merged(preset: WrittenRegions, own: WrittenRegions) -> WrittenRegions:
    """Return a preset's regions, replaced where the config gives its own."""
    return {
        level: {**preset.get(level, {}), **own.get(level, {})} for level in dict.fromkeys([*preset, *own])
    }
