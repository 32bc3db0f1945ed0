"""What ``genenet init`` is asked for: each field is an option of the command line."""

from __future__ import annotations

import shlex
from pathlib import Path

from pydantic import Field, PositiveInt

from genenet.config.texts import NONE, option
from genenet.config.types import FlippedAxes, VoxelSize
from genenet.core.errors import InputError
from genenet.core.models import Closed
from genenet.init.machine import Kind
from genenet.volumes.formats import format_names

_SETS = (  # options that belong together, file by file
    ("image", "labels", "mask", "image_voxel_size"),
    ("validation_image", "validation_labels", "validation_mask", "validation_voxel_size"),
    ("segment", "segment_mask"),
)
_VALUES = {  # the options that change the config, and what separates several values
    "flip": ",",
    "classes": ",",
    "objects": "",
    "ignore_label": "",
    "voxel_size": "x",
    "genomes": "",
    "iterations": "",
    "folds": "",
    "device": "",
}


class Request(Closed):
    """The options, under their own names; ``init`` asks for what is None or empty, or chooses it."""

    start: Path | None = Field(
        None,
        description="the results folder of a finished search, or an ensemble's folder: the config trains its members "
        "further; classes, voxel size, normalisation and options are those of that search",
    )
    image: list[Path] = Field(
        [],
        description=f"a labelled image: {format_names()}, or a folder of slices; repeat the option for more images",
    )
    labels: list[Path] = Field(
        [], description="the class ids of an image, as integers of the same shape; one for each --image"
    )
    mask: list[Path] = Field(
        [],
        description="an integer image that is 0 where the image doesn't count; one for each --image, or the word none",
    )
    validation_image: list[Path] = Field(
        [],
        description="a labelled image that the networks are scored on; default: the last --image, or a region of the "
        "only one",
    )
    validation_labels: list[Path] = Field(
        [], description="the class ids of a validation image; one for each --validation-image"
    )
    validation_mask: list[Path] = Field(
        [], description="the mask of a validation image; one for each --validation-image, or the word none"
    )
    segment: list[Path] = Field(
        [],
        description="a volume that the ensemble segments; default: the last image; repeat the option for more",
    )
    segment_mask: list[Path] = Field(
        [], description="the mask of a volume to segment; one for each --segment, or the word none"
    )
    flip: FlippedAxes | None = Field(
        None,
        description="axes along which MRC files are mirrored to fit files of other formats: y if IMOD or Fiji saved "
        "those, or none",
    )
    classes: list[str] | None = Field(
        None, description="names by label id, from 0 on, such as background,cell,mitochondrion"
    )
    objects: str | None = Field(
        None,
        min_length=1,
        description="name of the objects that the labels number, such as mitochondrion, if they aren't class ids: "
        "voxels of one object have the same number, and 0 is no object",
    )
    ignore_label: int | None = Field(
        None,
        description="the label that means 'not labelled', such as 255, -1 or 0 (the first class then has label 1); "
        "default: 255 or -1 if it occurs beside two classes",
    )
    voxel_size: VoxelSize | None = Field(
        None, description="nm along z, y, x, such as 40x10x10; default: the size that the first files contain"
    )
    image_voxel_size: list[VoxelSize | None] = Field(
        [],
        description="the voxel size of a labelled image, if images differ: one for each --image, or the word none for "
        "what its file says; the image is resampled to the size of the data",
    )
    validation_voxel_size: list[VoxelSize | None] = Field(
        [], description="the same for each --validation-image"
    )
    out: Path | None = Field(None, description="the file to write; default: config.yaml")
    genomes: PositiveInt | None = Field(None, description="number of networks to draw and train")
    iterations: PositiveInt | None = Field(None, description="length of each training")
    folds: int | None = Field(
        None,
        ge=2,
        description="number of folds of a cross-validation on all labelled images (data.folds): each network is "
        "trained as many times, for fewer iterations each; default: none, but a terminal asks if more classes would be "
        "scored",
    )
    device: Kind | None = Field(
        None,
        description="what the trainings will run on; default: a GPU if there is one here or on the Slurm cluster",
    )
    trial: bool = Field(
        True, description="train some networks for a few seconds each, to estimate how long the search takes"
    )
    force: bool = False

    def command(self) -> str:
        """Return the command line that says all this, answers to prompts included."""
        words = ["genenet", "init", *(["--from", str(self.start)] if self.start else [])]
        for names in _SETS:
            used = [name for name in names if getattr(self, name)]
            for files in zip(*(getattr(self, name) for name in used), strict=True):
                for name, file in zip(used, files, strict=True):
                    words += [option(name), _word(file)]
        for name, separator in _VALUES.items():
            value = getattr(self, name)
            if value is not None:
                texts = [
                    f"{v:g}" if isinstance(v, float) else str(v) for v in (value if separator else [value])
                ]
                words += [option(name), separator.join(texts) or NONE]
        return shlex.join(words)


def _word(value: Path | VoxelSize | None) -> str:
    """Write a file, a voxel size or their absence as the value of an option."""
    if value is None:
        return NONE
    return "x".join(f"{size:g}" for size in value) if isinstance(value, tuple) else str(value)


def new_config(name: str) -> Path:
    """Return the path of a new config; raises InputError if none can be written under this name."""
    if Path(name).suffix not in (".yaml", ".yml"):
        raise InputError(f"{name}: give a name that ends with .yaml")
    if Path(name).exists():
        raise InputError(f"{name}: exists; --out mine.yaml writes another file, --force replaces this one")
    return Path(name)


def read_number(text: str) -> int:
    """Read a number above 0; raises InputError."""
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"{text}: give a number above 0")
    return int(text)
