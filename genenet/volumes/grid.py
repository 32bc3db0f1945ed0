"""Where the voxels of an image lie: their size along each axis, if it is known, and the position of the first voxel."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from genenet.core.geometry import each

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genenet.config.types import VoxelSize
    from genenet.core.geometry import Triple

AXES = ("z", "y", "x")
Sizes = tuple[float | None, float | None, float | None]
Place = tuple[float, float, float]
_TOLERANCE = 0.05  # of a voxel's size


@dataclass(frozen=True)
class Grid:
    """The grid of voxels of an image, or of a region of one, along z, y, x.

    ::

        nm       0          origin            translation
        file                |voxel 0|voxel 1|voxel 2|voxel 3|
        region                              |   0   |   1   |      start = 2

    Attributes:
        sizes_nm: of a voxel; None along an axis whose size isn't known.
        origin_nm: the centre of the file's first voxel.
        start: the file's voxel that a region begins with.
    """

    sizes_nm: Sizes = (None, None, None)
    origin_nm: Place = (0.0, 0.0, 0.0)
    start: Triple = (0, 0, 0)

    @property
    def voxel_size_nm(self) -> VoxelSize | None:
        """The size along all axes; None if one of them isn't known."""
        z, y, x = self.sizes_nm
        return None if z is None or y is None or x is None else (z, y, x)

    @property
    def missing(self) -> list[str]:
        """The axes along which the size isn't known."""
        return [axis for axis, size in zip(AXES, self.sizes_nm, strict=True) if size is None]

    @property
    def translation_nm(self) -> Place:
        """The centre of the first voxel; along an axis of unknown size the file's origin."""
        return each(
            lambda origin, start, size: origin + start * (size or 0.0),
            self.origin_nm,
            self.start,
            self.sizes_nm,
        )

    def shift(self, by: Triple) -> Grid:
        """Return the grid of a region that begins ``by`` voxels further on."""
        return replace(self, start=each(operator.add, self.start, by))

    def completed(self, otherwise: Sizes) -> Grid:
        """Return the grid with ``otherwise`` along the axes whose size isn't known."""
        sizes = each(lambda own, other: other if own is None else own, self.sizes_nm, otherwise)
        return replace(self, sizes_nm=sizes)

    def rescaled(self, voxel_size_nm: VoxelSize) -> Grid:
        """Return the grid of the same space cut into other voxels.

        Both begin at the same border, so the centre of the first voxel moves by half of the difference::

            |   5   |   5   |   5   |   5   |      centre at 2.5
            |      10       |      10       |      centre at 5.0, 2.5 further on
        """
        assert self.voxel_size_nm is not None
        half_difference = each(lambda old, new: (new - old) / 2, self.voxel_size_nm, voxel_size_nm)
        return Grid(voxel_size_nm, each(operator.add, self.translation_nm, half_difference))

    def differs_from(self, sizes_nm: Sizes) -> bool:
        """Return whether the sizes along an axis are both known, and differ by more than 5 %."""
        pairs = zip(self.sizes_nm, sizes_nm, strict=True)
        return any(a is not None and b is not None and not np.isclose(a, b, _TOLERANCE, 0) for a, b in pairs)


def size_text(sizes_nm: Iterable[float | None]) -> str:
    """Write sizes for people: ``40 x 10 x 10``, with ``?`` where one isn't known."""
    return " x ".join("?" if size is None else f"{size:g}" for size in sizes_nm)
