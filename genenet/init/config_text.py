"""The config.yaml that ``genenet init`` writes: a template filled with what was chosen."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from genenet.genes.baselines import title_of
from genenet.init.first_baselines import RESENC
from genenet.init.folds import offer_text
from genenet.init.sizes import DEFAULT_BATCH, PRESET
from genenet.status.time_left import short
from genenet.volumes.grid import AXES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from genenet.config.types import VoxelSize
    from genenet.init.classes import Classes
    from genenet.init.parts import Split
    from genenet.init.search_cost import SearchCost
    from genenet.init.survey import Look
    from genenet.init.voxel_size import FoundSize

WIDTH = 110
REASONS = {  # for what genenet init chooses, by hyperparameter or key
    "n_convkernels": "Kernels at full resolution: as many as this device trains in the time of a first search.",
    "n_convlayers": "Layers of a stack: a GPU has time for more.",
    "n_stacks": "Poolings: as many as let a voxel see about a whole patch.",
    "input_size": "Patches: about as large as the deepest networks see, and no larger than the training images.",
    "log_learning_rate": "Longer trainings need no higher rates.",
    "iterations": "Optimiser steps: enough for a first search. Scores rise for thousands of them.",
}


@dataclass(frozen=True)
class Choices:
    """All that goes into the file.

    Attributes:
        results: the folder.
        classes: of the labels.
        voxel_size: size of a voxel, and where it is from.
        parts: training and validation.
        volumes: to segment.
        threads: of a training.
        n_jobs: that share a volume to segment.
        command: that wrote the file.
    """

    results: str
    classes: Classes
    voxel_size: FoundSize
    parts: Split
    volumes: Sequence[Look]
    threads: int
    n_jobs: int
    command: str


def config_text(choices: Choices, cost: SearchCost) -> str:
    """Return the file of a first search, whose networks have a cost."""
    return rendered(
        "config.yaml.j2",
        choices,
        {
            "cost": cost,
            "sizes": cost.sizes,
            "depth": choices.parts.train[0].shape[0],
            "is_cubic": choices.voxel_size.is_nearly_cubic,
            "preset": PRESET,
            "reasons": REASONS,
            "on_batch": batch_text(cost),
            "on_resenc": resenc_text(cost),
            "reason_to_refit": choices.parts.reason_to_refit(choices.classes),
        },
    )


def rendered(template: str, choices: Choices, more: Mapping[str, Any]) -> str:
    """Return a file made from a template, with what was chosen and ``more``."""
    environment = Environment(
        loader=PackageLoader("genenet.init"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"flow": flow, "count": count, "size": _plain_size, "comment": _comment}
    first, names = choices.parts.train[0], volume_names([seen.path for seen in choices.volumes])
    values = vars(choices) | {
        "command": _continued(choices.command),
        "volumes": {
            name: _files(seen, choices.voxel_size) for name, seen in zip(names, choices.volumes, strict=True)
        },
        "rescale": any(_is_rescaled(seen, choices.voxel_size) for seen in choices.volumes),
        "cut_axis": next((axis for axis, ends in zip(AXES, first.region or (), strict=False) if ends), None),
        "on_offer": offer_text(choices.parts.offer) if choices.parts.offer else None,
    }
    return environment.get_template(template).render(values | dict(more))


def batch_text(cost: SearchCost) -> str:
    """Return why a step has so many patches, and how many voxels it teaches."""
    why = "larger batches would teach few voxels more per second"
    if cost.sizes.batch_size > DEFAULT_BATCH:
        why = "small patches leave time for more of them, since a step has a fixed cost"
    elif cost.sizes.batch_size < DEFAULT_BATCH:
        why = "more don't fit into the memory"
    taught = f"teach the median network {count(cost.median.n_taught)} voxels"
    if cost.tried:
        taught += f", {count(round(cost.taught_per_second(cost.median)))} per second when it was tried"
    return f"Patches of a step: {why}. They {taught}."


def resenc_text(cost: SearchCost) -> str | None:
    """Return what the baseline resenc costs, or why it isn't there; None if it would not fit into the images."""
    sizes, name = cost.sizes, title_of(RESENC)
    if sizes.no_resenc:
        return f"{name} (resenc), a strong default of today, isn't trained: {sizes.no_resenc.reason}"
    if RESENC not in sizes.baselines:
        return None
    measured = f", which is {short(cost.seconds(cost.baselines[RESENC]))} here" if cost.tried else ""
    return (
        f"{name} (resenc), a strong default of today, takes {cost.resenc_share:.0%} of the search{measured}. So that "
        f"the search doesn't take longer, trainings have {sizes.iterations:,} instead of {sizes.without_resenc:,} "
        "iterations"
    )


def flow(value: Any) -> str:
    """Write a value on one line of YAML, quoted where it must be."""
    text: str = yaml.safe_dump(
        [value], default_flow_style=True, width=10**6, sort_keys=False, allow_unicode=True
    )
    return text.strip()[1:-1]


def _is_rescaled(seen: Look, size: FoundSize) -> bool:
    """Return whether a volume is a labelled image of another voxel size; with a mask it can't be resampled."""
    return seen.path in size.of_images and not seen.mask


def _files(seen: Look, size: FoundSize) -> dict[str, Any]:
    """Return the config's entry of a volume to segment."""
    files: dict[str, Any] = {"path": str(seen.path)}
    if _is_rescaled(seen, size):
        files["voxel_size_nm"] = _plain_size(size.of_images[seen.path])
    if seen.mask:
        files["mask"] = str(seen.mask)
    if seen.flip_mask is not None:
        files["flip"] = list(seen.flip_mask)
    return files


def volume_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each volume, such as config.yaml allows."""
    names: list[str] = []
    for path in paths:
        stem = path.name.split(".")[0]
        name = plain(stem).strip("_-") or "volume"
        n = sum(each == name or each.startswith(f"{name}_") for each in names)
        names.append(f"{name}_{n + 1}" if name in names else name)
    return names


def plain(text: str) -> str:
    """Return a text with an underscore instead of letters that names can't have."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)


def _plain_size(sizes_nm: VoxelSize) -> list[float]:
    """Return a voxel size with whole numbers where it has such."""
    return [int(n) if n == int(n) else n for n in sizes_nm]


def _comment(text: str, indent: int) -> str:
    """Break a text into comment lines; the first one's ``#`` is there already."""
    lines = textwrap.wrap(text, WIDTH - indent, break_long_words=False, break_on_hyphens=False)
    return f"\n{' ' * indent}# ".join(lines)


def _continued(command: str) -> str:
    """Break a long command into comment lines that a shell would continue."""
    lines = textwrap.wrap(command, WIDTH - 6, break_long_words=False, break_on_hyphens=False)
    return " \\\n#         ".join(lines)


def count(n: int) -> str:
    """Write a number of voxels for people."""
    return f"{n / 1e6:.1f} million" if n >= 1e5 else f"{n:,}"
