"""The options of commands that read a volume: a part of it, a mask, mirrored axes, the size of a voxel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genenet.config import texts

if TYPE_CHECKING:
    from collections.abc import Sequence

WHOLE = ":,:,:"

Region = Annotated[
    str,
    typer.Option(
        "--region", help="half-open part of the volume along z, y, x, such as 0:100,:,200:900; default: all"
    ),
]
Mask = Annotated[
    list[Path] | None,
    typer.Option(
        "--mask",
        help="an integer image of the same shape that is 0 where the volume doesn't count; may be repeated",
    ),
]
Flip = Annotated[
    str | None,
    typer.Option(
        "--flip",
        help="axes along which MRC files are mirrored to fit the mask: y if IMOD or Fiji saved it, or none",
    ),
]
VoxelSize = Annotated[
    str | None,
    typer.Option(
        "--voxel-size", help="nm along z, y, x, such as 50x10x10; default: the size that the file contains"
    ),
]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cuda or cpu")]


def volume_values(
    image: Sequence[Path] | None,
    region: str,
    mask: Sequence[Path] | None,
    flip: str | None,
    voxel_size: str | None,
) -> dict[str, Any]:
    """Return the values of ``ImageFiles`` that options give; raises InputError if one can't be read."""
    return {
        "image": image,
        "labels": None,
        "region": texts.read_option("region", region, texts.read_image_region),
        "mask": mask,
        "flip": texts.read_option("flip", flip, texts.read_flip),
        "voxel_size_nm": texts.read_option("voxel_size", voxel_size, texts.read_voxel_size),
    }
