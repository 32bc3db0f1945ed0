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
    content = seen.json() if seen else {}
    before = _outputs(content)
    other = other_classes(before, config.data.outputs) if before else ""
    return "; ".join(filter(None, [text, other, _rounds(content)]))


def _rounds(content: dict[str, Any]) -> str:
    """Return which round of labelling this is, and how good the ones before were; empty if that can't be read."""
    try:
        before = [(str(each["folder"]), each["validation"]["ari"]) for each in content["rounds"]]
    except (AttributeError, KeyError, TypeError):
        return ""
    known = [f"{folder} {ari:.3f}" for folder, ari in before if isinstance(ari, float)]
    scores = f" (ARI on validation: {', '.join(known)})" if known else ""
    return f"round {len(before) + 1} of labelling{scores}" if before else ""


def _outputs(content: dict[str, Any]) -> Outputs | None:
    """Return the outputs in the content of a start.json; None if they can't be read."""
    try:
        objects = [ObjectClass(name=each["name"], of=each["of"]) for each in content.get("objects", [])]
        return Outputs([str(name) for name in content["classes"]], objects)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
