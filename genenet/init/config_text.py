"""The config.yaml that ``genenet init`` writes: a template filled with what was chosen."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from genenet.init.sizes import PRESET
from genenet.volumes.grid import AXES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from genenet.init.classes import Classes
    from genenet.init.sizes import Sizes
    from genenet.init.split import Split
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
        sizes: of the networks.
        threads: of a training.
        n_jobs: that share a volume to segment.
        command: that wrote the file.
    """

    results: str
    classes: Classes
    voxel_size: FoundSize
    parts: Split
    volumes: Sequence[Look]
    sizes: Sizes
    threads: int
    n_jobs: int
    command: str


def config_text(choices: Choices) -> str:
    """Return the file."""
    environment = Environment(
        loader=PackageLoader("genenet.init"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"flow": flow, "count": count}
    first, names = choices.parts.train[0], volume_names([seen.path for seen in choices.volumes])
    values = vars(choices) | {
        "command": _continued(choices.command),
        "voxel_size_nm": [int(n) if n == int(n) else n for n in choices.voxel_size.whole],
        "volumes": dict(zip(names, map(_files, choices.volumes), strict=True)),
        "cut_axis": next((axis for axis, ends in zip(AXES, first.region or (), strict=False) if ends), None),
        "depth": first.shape[0],
        "is_cubic": choices.voxel_size.is_nearly_cubic,
        "preset": PRESET,
        "reasons": REASONS,
        "reason_to_refit": choices.parts.reason_to_refit(choices.classes),
    }
    return environment.get_template("config.yaml.j2").render(values)


def flow(value: Any) -> str:
    """Write a value on one line of YAML, quoted where it must be."""
    text: str = yaml.safe_dump(
        [value], default_flow_style=True, width=10**6, sort_keys=False, allow_unicode=True
    )
    return text.strip()[1:-1]


def _files(seen: Look) -> dict[str, Any]:
    """Return the config's entry of a volume to segment."""
    files: dict[str, Any] = {"path": str(seen.path)}
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


def _continued(command: str) -> str:
    """Break a long command into comment lines that a shell would continue."""
    lines = textwrap.wrap(command, WIDTH - 6, break_long_words=False, break_on_hyphens=False)
    return " \\\n#         ".join(lines)


def count(n: int) -> str:
    """Write a number of voxels for people."""
    return f"{n / 1e6:.1f} million" if n >= 1e5 else f"{n:,}"
