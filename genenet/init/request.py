"""The arguments of ``genenet init`` from the command line, and how their texts are parsed."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genenet.core.errors import InputError

if TYPE_CHECKING:
    from genenet.config.types import FlippedAxes, VoxelSize
    from genenet.init.machine import Kind

NONE = "none"  # an image without a mask; no flipped axes
_SETS = (  # options that belong together, file by file
    ("image", "labels", "mask"),
    ("validation_image", "validation_labels", "validation_mask"),
    ("segment", "segment_mask"),
)
_VALUES = {  # the options that change the config, and what separates several values
    "flip": ",",
    "classes": ",",
    "ignore_label": "",
    "voxel_size": "x",
    "genomes": "",
    "iterations": "",
    "device": "",
}


@dataclass(frozen=True)
class Request:
    """The options, under their own names; what is None or empty is asked for or chosen."""

    image: list[Path]
    labels: list[Path]
    mask: list[Path]
    validation_image: list[Path]
    validation_labels: list[Path]
    validation_mask: list[Path]
    segment: list[Path]
    segment_mask: list[Path]
    flip: FlippedAxes | None
    classes: list[str] | None
    ignore_label: int | None
    voxel_size: VoxelSize | None
    out: Path | None
    genomes: int | None
    iterations: int | None
    device: Kind | None
    trial: bool
    force: bool

    def command(self) -> str:
        """Return the command line that says all this, answers to prompts included."""
        words = ["genenet", "init"]
        for names in _SETS:
            used = [name for name in names if getattr(self, name)]
            for files in zip(*(getattr(self, name) for name in used), strict=True):
                words += [
                    word
                    for name, file in zip(used, files, strict=True)
                    for word in (_option(name), str(file))
                ]
        for name, separator in _VALUES.items():
            value = getattr(self, name)
            if value is not None:
                texts = (
                    (f"{v:g}" if isinstance(v, float) else str(v) for v in value)
                    if separator
                    else [str(value)]
                )
                words += [_option(name), separator.join(texts) or NONE]
        return shlex.join(words)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def check_new(name: str) -> None:
    """Raise InputError if a config can't be written under this name."""
    if Path(name).suffix not in (".yaml", ".yml"):
        raise InputError(f"{name}: give a name that ends with .yaml")
    if Path(name).exists():
        raise InputError(
            f"{name}: is there already; --out mine.yaml writes another file, --force replaces this one"
        )


def read_number(text: str) -> int:
    """Read a number above 0; raises InputError."""
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"{text}: give a number above 0")
    return int(text)


def read_voxel_size(text: str) -> VoxelSize:
    """Read nm along z, y, x, such as 40x10x10, or one number for all axes; raises InputError."""
    try:
        sizes = [float(part) for part in re.split(r"[x×,\s]+", text.strip())]
    except ValueError:
        sizes = []
    if len(sizes) == 1:
        sizes *= 3
    if len(sizes) != 3 or not all(0 < n < float("inf") for n in sizes):
        raise InputError(f"--voxel-size {text}: give nm along z, y, x, such as 40x10x10")
    return sizes[0], sizes[1], sizes[2]


def read_flip(text: str) -> FlippedAxes:
    """Read axes with commas between them, such as y, or none; raises InputError."""
    axes = [] if text == NONE else [part.strip() for part in text.split(",")]
    if set(axes) - {"z", "y", "x"}:
        raise InputError(f"--flip {text}: give y, other axes, or {NONE}")
    return tuple(axis for axis in ("z", "y", "x") if axis in axes)


def read_names(text: str) -> list[str]:
    """Read names with commas between them."""
    return [name.strip() for name in text.split(",")]
