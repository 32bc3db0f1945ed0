"""The TIFFs of a box: ImageJ's, which Fiji opens with voxel size, place and colours of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from genenet.core.ignore import IGNORE
from genenet.volumes.boxes import PREDICTIONS
from genenet.volumes.palette import class_colours

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from genenet.config.types import VoxelSize
    from genenet.core.geometry import Box
    from genenet.volumes.boxes import BoxRow
    from genenet.volumes.grid import Place

_IMAGEJ = ("uint8", "uint16", "float32")  # the types of ImageJ's TIFFs
_UNKNOWN = (128, 128, 128)


@dataclass(frozen=True)
class BoxFiles:
    """Writes the files of boxes of one volume.

    Attributes:
        folder: of all boxes.
        classes: names by class id.
        voxel_size_nm: along z, y, x.
        translation_nm: the centre of the first voxel of the whole image.
    """

    folder: Path
    classes: list[str]
    voxel_size_nm: VoxelSize
    translation_nm: Place

    def write(
        self, row: BoxRow, image: NDArray[Any], labels: NDArray[np.uint8], uncertainty: NDArray[Any]
    ) -> None:
        """Write the image, the labels twice, and the uncertainty of a box, each (Z, Y, X)."""
        (self.folder / PREDICTIONS).mkdir(exist_ok=True)
        self._write(row.image(self.folder), image, row.place)
        for path in (row.labels(self.folder), row.prediction(self.folder)):
            self._write(path, labels, row.place, photometric="palette", colormap=self._colours())
        as_written = uncertainty.astype(np.float32) if uncertainty.dtype == np.float16 else uncertainty
        self._write(row.uncertainty(self.folder), as_written, row.place)

    def _write(self, path: Path, data: NDArray[Any], box: Box, **options: Any) -> None:
        if data.dtype.name not in _IMAGEJ:
            tifffile.imwrite(path, data, photometric="minisblack", metadata=self._ome())
            return
        z, y, x = self.voxel_size_nm
        places = zip("zyx", box.start, self.translation_nm, self.voxel_size_nm, strict=True)
        # ImageJ keeps the voxel that has the coordinates 0
        origin = {f"{axis}origin": -(start + first / size) for axis, start, first, size in places}
        tifffile.imwrite(
            path,
            data,
            imagej=True,
            resolution=(1 / x, 1 / y),
            metadata={"axes": "ZYX", "spacing": z, "unit": "nm", **origin},
            **{"photometric": "minisblack", **options},
        )

    def _ome(self) -> dict[str, Any]:
        sizes = zip("ZYX", self.voxel_size_nm, strict=True)
        found: dict[str, Any] = {"axes": "ZYX"}
        for axis, size in sizes:
            found |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "nm"}
        return found

    def _colours(self) -> NDArray[np.uint16]:
        """Return a table of colours, (3, 256)."""
        table = np.zeros((256, 3), np.uint16)
        table[: len(self.classes)] = class_colours(len(self.classes))
        table[IGNORE] = _UNKNOWN
        return np.ascontiguousarray(table.T) * np.uint16(257)
