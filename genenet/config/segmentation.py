"""``segmentation:``, how volumes are segmented."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic import PositiveInt as Positive

from genenet.config.postprocessing import Postprocessing
from genenet.config.types import (
    Precision,
    Shape,
)
from genenet.core.models import Closed


class Segmentation(Closed):
    """How volumes are segmented."""

    jobs: Positive = Field(1, description="number of jobs that share a volume")
    block: Shape | None = Field(
        None,
        description="voxels written in one piece, z, y, x; a job that is killed loses one such block; by default "
        "16 × 1280 × 1280, or 64 × 640 × 640 for networks with depth",
    )
    memory_mb: Positive = Field(
        1000,
        description="memory that the networks may take on each CPU core or on the GPU; it limits tiles",
    )
    tile: Shape | None = Field(
        None,
        description="most voxels that the networks write at a time, z, y, x; by default what is fastest",
    )
    compute: Precision = Field(
        "float32",
        description="type that the networks compute in; auto: bfloat16 where the device computes faster with it",
    )
    turns: bool = Field(
        False,
        description="test-time augmentation: the mean over flips and right-angle turns; it takes 8 times as long",
    )
    blend: bool = Field(
        False,
        description="same-padded networks: overlapping tiles, averaged with Gaussian weights, instead of halos",
    )
    probabilities: bool = Field(False, description="also write every class's probability")
    disagreement: bool = Field(
        False, description="also write how much the members disagree (their ambiguity)"
    )
    rescale: bool = Field(
        False,
        description="resample a volume of another voxel size, while it is read, to that of the training data",
    )
    precision: Literal["uint8", "float16", "float32"] = Field(
        "uint8", description="type of uncertainty and probabilities; in uint8, 255 stands for 1"
    )


class SegmentationAndAfter(Segmentation):
    """How volumes are segmented, and what is done to the result."""

    postprocessing: Postprocessing = Postprocessing()
