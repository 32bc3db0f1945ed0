"""Arrays in memory pages of their own, which return to the system as soon as the array is deleted."""

from __future__ import annotations

import math
import mmap
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray


def zeros(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return zeros, for the large arrays of blocks: on the heap, between those of tiles, they would leave gaps."""
    n_voxels, kind = math.prod(shape), np.dtype(dtype)
    pages = mmap.mmap(-1, max(1, n_voxels * kind.itemsize), mmap.MAP_PRIVATE)
    return np.frombuffer(pages, kind, n_voxels).reshape(shape)


def copied(array: NDArray[Any]) -> NDArray[Any]:
    """Return a copy."""
    copy = zeros(array.shape, array.dtype)
    copy[...] = array
    return copy
