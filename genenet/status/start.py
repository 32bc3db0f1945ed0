"""What the trainings of a search start from, as ``start.json`` says it (``training.start``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genenet.core.outputs import ObjectClass, Outputs, other_classes
from genenet.core.tolerant_read import try_read

if TYPE_CHECKING:
    from genenet.config.model import Config
    from genenet.core.paths import ResultPaths


def start_text(config: Config, paths: ResultPaths) -> str:
    """Return what trainings start from, and whether their last layer begins anew; an empty text if from nothing."""
    if config.start is None:
        return ""
    text = f"trainings of genomes that {config.start} has networks of begin with their weights"
    seen = try_read(paths.start)
    before = _outputs(seen.json()) if seen else None
    other = other_classes(before, config.data.outputs) if before else ""
    return f"{text}; {other}" if other else text


def _outputs(content: dict[str, Any]) -> Outputs | None:
    """Return the outputs in the content of a start.json; None if they can't be read."""
    try:
        objects = [ObjectClass(name=each["name"], of=each["of"]) for each in content.get("objects", [])]
        return Outputs([str(name) for name in content["classes"]], objects)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
