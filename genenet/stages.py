"""The settings of each stage: what its files depend on, and nothing else.

The workflow writes each as ``settings/{stage}.json`` and hands it to the stage's command. A setting that
isn't in a stage's file can't make that stage run again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from genenet.config import Closed, ImageRegion, validate
from genenet.files import read_json

if TYPE_CHECKING:
    from pydantic import BaseModel

Model = TypeVar("Model", bound="BaseModel")


class ImageFiles(Closed):
    """An image as files: phantoms are files by now."""

    image: list[Path]
    labels: list[Path] | None
    region: ImageRegion | None


class PrepareSettings(Closed):
    """What a prepared set of labelled images depends on."""

    images: list[ImageFiles]
    classes: list[str]
    ignore_label: int | None
    voxel_size_nm: tuple[float, float, float]
    smallest_input_voxels: int | None = None


def read_settings(path: Path, model: type[Model]) -> Model:
    """Read a stage's settings; raises InputError if they aren't such settings."""
    return validate(model, read_json(path), str(path))
