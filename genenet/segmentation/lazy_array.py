"""An array whose voxels are read when a viewer asks for a slice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from genenet.core.geometry import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genenet.core.geometry import Triple
    from genenet.volumes.base import Volume


@dataclass(frozen=True)
class LazyArray:
    """What napari needs of an array; voxels are read when it asks for a slice.

    Attributes:
        shape: along z, y, x.
        dtype: of the voxels.
        source: a Zarr array of channels, (C, Z, Y, X), or a volume.
        channel: of the array.
    """

    shape: Triple
    dtype: np.dtype[Any]
    source: zarr.Array[Any] | Volume
    channel: int = 0

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Read voxels. Integers and slices without a step limit what is read."""
        parts = index if isinstance(index, tuple) else (index,)
        parts = parts + (slice(None),) * (self.ndim - len(parts))
        limits = [_limits(part, n) for part, n in zip(parts, self.shape, strict=True)]
        box = Box((limits[0][0], limits[1][0], limits[2][0]), (limits[0][1], limits[1][1], limits[2][1]))
        if isinstance(self.source, zarr.Array):
            voxels = np.asarray(self.source[(self.channel, *box.slices)])
        else:
            voxels = self.source.read(box)
        inner = tuple(slice(None, None, part.step) if isinstance(part, slice) else 0 for part in parts)
        found: NDArray[Any] = voxels[inner]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read all voxels."""
        return np.asarray(self[:, :, :], dtype)


def _limits(part: Any, n: int) -> tuple[int, int]:
    if isinstance(part, slice):
        start, stop, _ = slice(part.start, part.stop).indices(n)
        return start, max(start, stop)
    place = int(part) + (n if part < 0 else 0)
    if not 0 <= place < n:
        raise IndexError(f"{part} isn't inside of {n} voxels")
    return place, place + 1
