"""``segmentation.instances:``, how objects are found in a segmented volume."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt

from genenet.core.models import Closed


class InstanceSettings(Closed):
    """Thresholds of the probabilities that objects are found by; they hold for all classes of objects."""

    seed: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="an object begins as connected voxels whose core probability (object without border) is at least "
        "this; null: the threshold that was best on the validation images",
    )
    extent: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="objects consist of voxels whose object probability (core and border) is at least this; null: the "
        "threshold that was best on the validation images",
    )
    overlap: float | None = Field(
        None,
        ge=0,
        le=1,
        description="seeds in neighbouring slices belong to one object if they share at least this part of the smaller "
        "one's voxels; 0: if they touch; null: what was best on the validation images",
    )
    min_size_voxels: NonNegativeInt = Field(
        20,
        description="smaller seeds don't begin an object, and smaller objects without a seed are left out",
    )
