"""``segmentation:``, how volumes are segmented."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic import PositiveInt as Positive

from genenet.config.instances import InstanceSettings
from genenet.config.postprocessing import Postprocessing
from genenet.config.types import Precision, Shape
from genenet.core.models import Closed


class Segmentation(Closed):
    """How volumes are segmented."""

    jobs: Positive = Field(1, description="number of jobs that share the blocks of a volume")
    block: Shape | None = Field(
        None,
        description="voxels along z, y, x that are written in one piece; a job that is killed loses one block. "
        "Smaller blocks need less memory, but more computation for the halo. null: 16 × 1280 × 1280, "
        "or 64 × 640 × 640 for networks with depth, which also have a halo along z",
    )
    memory_mb: Positive = Field(
        1000,
        description="memory of the networks in MB, for each CPU core or on the GPU. It limits the size of the "
        "tiles; with larger tiles, the halo costs less computation",
    )
    tile: Shape | None = Field(
        None,
        description="largest tile, in voxels along z, y, x; null: the fastest size that fits into memory_mb, on a GPU "
        "the one that computes least of the halo",
    )
    compute: Precision = Field(
        "float32",
        description="floating-point type in which the networks compute; probabilities in bfloat16 differ by "
        "about 0.01. auto: bfloat16 if the device of the job that creates the store computes faster with it, otherwise "
        "float32; all jobs follow",
    )
    turns: bool = Field(
        False,
        description="test-time augmentation: the mean over all flips and right-angle turns. It takes 8 times the time, "
        "16 times for networks with depth, and has brought up to 0.01 ARI on other volumes",
    )
    blend: bool = Field(
        False,
        description="only for networks with padding: same. Tiles of the training size overlap by a quarter and are "
        "averaged with Gaussian weights; otherwise each tile is read with its whole receptive field, which is exact "
        "but slow for deep networks",
    )
    probabilities: bool = Field(False, description="also write a channel with the probability of each class")
    disagreement: bool = Field(
        False,
        description="also write a channel with the ambiguity of Krogh and Vedelsby (1995), 0 to 1: the weighted mean "
        "of the members' squared distances from the ensemble",
    )
    rescale: bool = Field(
        False,
        description="resample volumes that have another voxel size to the voxel size of the training "
        "data, while they are read",
    )
    precision: Literal["uint8", "float16", "float32"] = Field(
        "uint8", description="type of the channels; uint8 stores values from 0 to 1 in 255 steps"
    )


class SegmentationAndAfter(Segmentation):
    """How volumes are segmented, by how many threads, and what is done to the result."""

    threads: Positive | None = Field(
        None,
        description="largest number of CPU cores of a job; null: all cores of the job, as far as memory_mb for each "
        "fits. Results don't depend on it",
    )
    postprocessing: Postprocessing = Postprocessing()
    instances: InstanceSettings = InstanceSettings()
