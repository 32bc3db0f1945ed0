"""Feasible regions that a config can name instead of writing them out: ``search.preset``."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Literal

import yaml

Preset = Literal["published"]
Regions = dict[str, dict[str, Any]]


def preset_regions(name: Preset) -> Regions:
    """Return a preset's regions by level and hyperparameter, as config.yaml writes them."""
    regions: Regions = yaml.safe_load(files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
    return regions


def merged(preset: Regions, own: Regions) -> Regions:
    """Return a preset's regions with those put in their place that a config gives itself."""
    return {
        level: {**preset.get(level, {}), **own.get(level, {})} for level in dict.fromkeys([*preset, *own])
    }
