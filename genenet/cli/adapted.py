"""What adapting an ensemble has brought, in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genenet.core.choices import many
from genenet.ensembles.description import read_description

if TYPE_CHECKING:
    from genenet.ensembles.adapted import Adaptation


def print_adaptation(done: Adaptation, out: Path, seconds: float) -> None:
    """Print the scores before and after, the IoU of each class, and what the new ensemble is."""
    description = read_description(out / "ensemble.json")
    voxels = [sum(of_class) for of_class in zip(*(crop.voxels for crop in done.crops), strict=True)]
    print(f"on {len(done.crops)} boxes, each of which was left out of the training once:")
    for title, name in (("ARI", "ari"), ("mean IoU", "mean_iou")):
        before, after = done.before.metrics.get(name), done.after.metrics.get(name)
        print(f"  {title:<28} {_number(before)} before, {_number(after)} after")
    for name, n, before, after in zip(
        description.classes, voxels, done.before.iou, done.after.iou, strict=True
    ):
        print(f"  IoU of {name[:20]:<21} {_number(before)} before, {_number(after)} after; {n:,} voxels")
    if not done.is_better:
        print(f"{out}: the old ensemble, since the new one isn't better ({seconds:.0f} s)")
        return
    temperature = description.calibration.temperature if description.calibration else 1.0
    pairs = zip(description.classes, description.class_priors, strict=False)
    priors = ", ".join(f"{name} {prior:g}" for name, prior in pairs) or "none"
    print(
        f"{out}: {many(len(description.members), 'network')} with a new {done.layers.replace('-', ' ')}, temperature "
        f"{temperature:g}, priors of the classes: {priors} ({seconds:.0f} s)"
    )


def _number(value: float | None) -> str:
    return "    -" if value is None else f"{value:.3f}"
