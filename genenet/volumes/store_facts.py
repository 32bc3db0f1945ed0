"""The attributes of a segmentation's store, checked when the store is opened: another person may have made it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from genenet.config.settings import ImageFiles
from genenet.core.geometry import by
from genenet.volumes.base import MAX_CHUNK_BYTES

if TYPE_CHECKING:
    import zarr

FORMAT = "genenet.segmentation/1"
MOST_BLOCKS = 2**24

ClassName = Annotated[str, Field(max_length=200)]
Size = Annotated[FiniteFloat, Field(gt=0)]
Interval = tuple[int, int] | None
FilePath = Annotated[str, Field(min_length=1, max_length=4096)]


class StoreFacts(BaseModel):
    """The attributes of a store under the key ``genenet``.

    Attributes:
        format: the version.
        classes: names by label id.
        channels: names of the channels of the root array.
        voxel_size_nm: along z, y, x.
        translation_nm: where the centre of the first voxel lies along z, y, x.
        region: the region of the image that was segmented, half-open, in voxels; None is a whole axis.
        fingerprint: of all that the blocks depend on.
        mask: absolute paths of the files of the mask; None if there was none, and in stores of older versions.
        norm_statistics: mean and variance of each channel, by name, for each member of the ensemble whose networks need
            statistics of the volume; none if no member needs any, and in stores of older versions.
        compute: the floating-point type of the networks, which the job that created the store has chosen for all jobs;
            None in stores of older versions.
        warnings: how the volume differs from what the ensemble has seen, a line each; none in stores of older versions.
        flip: axes along which the mask is mirrored if it is MRC; None without a mask.
        source: absolute paths of the files of the image and its mask, and how they are read; None in stores of older
            versions.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    format: Literal["genenet.segmentation/1"]
    classes: list[ClassName] = Field(max_length=255)
    channels: list[ClassName] = Field(min_length=1, max_length=1000)
    voxel_size_nm: tuple[Size, Size, Size]
    translation_nm: tuple[FiniteFloat, FiniteFloat, FiniteFloat] = (0.0, 0.0, 0.0)
    region: tuple[Interval, Interval, Interval] | None = None
    fingerprint: str = ""
    mask: list[FilePath] | None = Field(None, min_length=1, max_length=100_000)
    norm_statistics: list[dict[str, list[FiniteFloat]]] = Field(default_factory=list, max_length=1000)
    compute: Literal["float32", "bfloat16"] | None = None
    warnings: list[Annotated[str, Field(max_length=10_000)]] = Field(default_factory=list, max_length=100)
    flip: tuple[Literal["z", "y", "x"], ...] | None = Field(None, max_length=3)
    source: ImageFiles | None = None


def check_arrays(facts: StoreFacts, root: zarr.Array[Any], labels: zarr.Array[Any]) -> None:
    """Check the arrays of a store before anything is read, written or allocated.

    Args:
        facts: the store's.
        root: channels, (C, Z, Y, X).
        labels: class ids, (Z, Y, X).

    Raises:
        ValueError: If the two don't fit each other, or are of absurd sizes.
    """
    if labels.ndim != 3 or labels.dtype != "uint8":
        raise ValueError(f"its labels are {labels.ndim}D and {labels.dtype}, not 3D and uint8")
    if root.shape != (len(facts.channels), *labels.shape):
        raise ValueError(
            f"its channels are {by(root.shape)} and its labels {by(labels.shape)}, with {len(facts.channels)} channels"
        )
    if not labels.shards or root.shards != (len(facts.channels), *labels.shards):
        raise ValueError("its labels and channels aren't stored in the same blocks")
    if 0 in labels.shape:
        raise ValueError(f"it holds no voxels, its shape is {by(labels.shape)}")
    n_blocks = math.prod(-(-size // block) for size, block in zip(labels.shape, labels.shards, strict=True))
    if n_blocks > MOST_BLOCKS:
        raise ValueError(f"it has {n_blocks} blocks, and {MOST_BLOCKS} is the most")
    for array in (root, labels):
        n_bytes = math.prod(array.chunks) * array.dtype.itemsize
        if n_bytes > MAX_CHUNK_BYTES:
            raise ValueError(f"a chunk of it has {n_bytes} bytes, and {MAX_CHUNK_BYTES} is the most")
