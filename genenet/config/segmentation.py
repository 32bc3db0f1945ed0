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

    jobs: Positive = Field(1, description="jobs a volume is shared among")
    block: Shape | None = Field(
        None,
        description="voxels written in one piece, z, y, x; a job that is killed loses one; null: 16 × 1280 × 1280, "
        "or 64 × 640 × 640 for networks with depth",
    )
    memory_mb: Positive = Field(
        1000, description="what the networks may take, on each CPU core or on the GPU: bounds the tiles"
    )
    tile: Shape | None = Field(
        None, description="voxels that the networks write at a time, z, y, x, at most; null: the fastest"
    )
    compute: Precision = Field(
        "float32",
        description="type that the networks compute in; auto: bfloat16 where the device computes faster with it",
    )
    turns: bool = Field(
        False,
        description="test-time augmentation: the mean over flips and right-angle turns, 8 times the time",
    )
    blend: bool = Field(
        False,
        description="same-padded networks: overlapping tiles, averaged with Gaussian weights, instead of halos",
    )
    probabilities: bool = Field(False, description="also write every class's probability")
    disagreement: bool = Field(False, description="also write how far the members are apart (ambiguity)")
    rescale: bool = Field(
        False, description="resample volumes of another voxel size to that of data while they are read"
    )
    precision: Literal["uint8", "float16", "float32"] = Field(
        "uint8", description="of uncertainty and probabilities; uint8 stands for 0 … 1 in 255 steps"
    )


class SegmentationAndAfter(Segmentation):
    """How volumes are segmented, and what is done to the result."""

    postprocessing: Postprocessing = Postprocessing()
