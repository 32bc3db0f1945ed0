"""What opening an image file gives, and voxels that lie in a file in one piece, mapped into memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

    from genenet.config.types import VoxelSize


@dataclass(frozen=True)
class FileImage:
    """An open image: a memory map, or a Zarr array that decodes a chunk, page or tile at a time.

    Attributes:
        array: its axes end in y, x.
        voxel_size_nm: along z, y, x, if the file says.
    """

    array: Any
    voxel_size_nm: VoxelSize | None


def map_voxels(path: Path, dtype: DTypeLike, offset: int, shape: Sequence[int]) -> NDArray[Any]:
    """Map voxels that begin at byte ``offset``, read-only.

    Raises:
        InputError: If they would reach beyond the end of the file, or there are none.
    """
    n_bytes = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    if n_bytes < 1 or min(shape) < 1:
        raise InputError(f"{path}: holds no voxels, its header says {tuple(shape)}")
    if offset + n_bytes > path.stat().st_size:
        raise InputError(
            f"{path}: is truncated, its voxels should reach beyond the end of the file; copy it anew"
        )
    return np.memmap(path, dtype, "r", offset, tuple(shape))
