"""OME-TIFF stacks that are written slab by slab."""

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import tifffile
from numpy.typing import NDArray

from genenet.core.geometry import Triple
from genenet.phantoms.platelets import VOXEL_SIZE_NM


class TiffStack:
    """An OME-TIFF of the phantom's voxel size, to be used in a ``with`` statement.

    Args:
        path: The file to write.
        shape: Of the whole volume, (Z, Y, X).
        dtype: Of its voxels.
        compressed: Whether slices are zlib-compressed. Otherwise the file is contiguous and can be memory-mapped.
    """

    def __init__(self, path: Path, shape: Triple, dtype: str, *, compressed: bool) -> None:
        n_bytes = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
        self._writer = tifffile.TiffWriter(path, bigtiff=n_bytes > 2**31, ome=False)
        self._description: str | None = _ome_xml(shape, dtype)
        self._compressed = compressed

    def write(self, slab: NDArray[np.generic]) -> None:
        """Append the slices of a slab (z, Y, X)."""
        for plane in slab:
            first = self._description is not None
            self._writer.write(
                plane,
                contiguous=not (first or self._compressed),
                compression="zlib" if self._compressed else None,
                description=self._description,
                metadata=None,
            )
            self._description = None  # only the first slice has it

    def __enter__(self) -> Self:
        """Return the stack."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._writer.close()


def _ome_xml(shape: Triple, dtype: str) -> str:
    # Made here, since tifffile makes it only for a file that is written from a single iterator.
    z, y, x = shape
    sizes = dict(zip(("PhysicalSizeZ", "PhysicalSizeY", "PhysicalSizeX"), VOXEL_SIZE_NM, strict=True))
    units = dict.fromkeys((f"{name}Unit" for name in sizes), "nm")
    ome = tifffile.OmeXml()
    ome.addimage(dtype, shape, (z, 1, 1, y, x, 1), axes="ZYX", **sizes, **units)
    return ome.tostring(declaration=True)
