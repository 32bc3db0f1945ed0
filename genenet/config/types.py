"""Types that several sections of the config share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

Interval = tuple[NonNegativeInt, NonNegativeInt]
ImageRegion = tuple[Interval | None, Interval | None, Interval | None]
Split = Literal["train", "validation", "test", "refit"]  # what labelled images are for; refit: the first two
Device = Literal["auto", "cuda", "cpu"]
Precision = Literal["auto", "float32", "bfloat16"]
FlippedAxes = tuple[Literal["z", "y", "x"], ...]
Shape = tuple[PositiveInt, PositiveInt, PositiveInt]
VoxelSize = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]
