"""Symmetries of the plane and of z, for arrays and for boxes: for training patches and for test-time augmentation."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from genenet.core.geometry import Box

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from genenet.core.geometry import Triple

Scalar = TypeVar("Scalar", bound=np.generic)


class Turn(NamedTuple):
    """Quarter turns from y to x, then flips: along x, and of the order of the slices."""

    quarters: int = 0
    flip_x: bool = False
    flip_z: bool = False

    @classmethod
    def draw(cls, rng: Generator, has_depth: bool) -> Turn:
        """Draw one of the 8, or of 16 where there is depth."""
        return cls(int(rng.integers(4)), bool(rng.integers(2)), has_depth and bool(rng.integers(2)))

    def __call__(self, a: NDArray[Scalar]) -> NDArray[Scalar]:
        """Turn the last three axes, (…, Z, Y, X); a view."""
        a = np.rot90(a, self.quarters, axes=(-2, -1))
        return a[..., :: -1 if self.flip_z else 1, :, :: -1 if self.flip_x else 1]

    def back(self, a: NDArray[Scalar]) -> NDArray[Scalar]:
        """Undo it; a view."""
        a = a[..., :: -1 if self.flip_z else 1, :, :: -1 if self.flip_x else 1]
        return np.rot90(a, -self.quarters, axes=(-2, -1))

    def shape(self, shape: Triple) -> Triple:
        """Return the shape of a turned array."""
        z, y, x = shape
        return (z, x, y) if self.quarters % 2 else shape

    def box(self, box: Box, shape: Triple) -> Box:
        """Return where a box of an array of ``shape`` lies in the turned array; it may reach outside."""
        return self._flipped(_rotated(box, shape, self.quarters), self.shape(shape))

    def box_back(self, box: Box, shape: Triple) -> Box:
        """Return where a box of the turned array lies in the array of ``shape``."""
        turned = self.shape(shape)
        return _rotated(self._flipped(box, turned), turned, -self.quarters % 4)

    def _flipped(self, box: Box, shape: Triple) -> Box:
        """Return where a box of a turned array of ``shape`` lies after the flips; flipping again undoes it."""
        (z0, y0, x0), (z1, y1, x1) = box.start, box.stop
        if self.flip_x:
            x0, x1 = shape[2] - x1, shape[2] - x0
        if self.flip_z:
            z0, z1 = shape[0] - z1, shape[0] - z0
        return Box((z0, y0, x0), (z1, y1, x1))


def _rotated(box: Box, shape: Triple, quarters: int) -> Box:
    """Return where a box of an array of ``shape`` lies after quarter turns from y to x.

    One quarter turn::

          ┌─────────────┐              ┌───────┐
        y0│      ┌──┐   │      n_x - x1│ ┌───┐ │
          │      │  │   │n_y   n_x - x0│ └───┘ │n_x
        y1│      └──┘   │              │       │
          └──────x0─x1──┘              └─y0─y1─┘
                n_x                       n_y
    """
    (z0, y0, x0), (z1, y1, x1) = box.start, box.stop
    _, n_y, n_x = shape
    for _ in range(quarters):
        y0, y1, x0, x1 = n_x - x1, n_x - x0, y0, y1
        n_y, n_x = n_x, n_y
    return Box((z0, y0, x0), (z1, y1, x1))


def symmetries(flip_z: bool) -> list[Turn]:
    """Return all 8 of the plane, the identity first; or all 16, with the slices' order reversed."""
    flips = (False, True) if flip_z else (False,)
    return [Turn(quarters, flip_x, z) for z, flip_x, quarters in product(flips, (False, True), range(4))]
