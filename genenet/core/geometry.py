"""Boxes and tiles: pure arithmetic on (z, y, x) voxel coordinates, no data, no torch."""

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeVar

Triple = tuple[int, int, int]
Result = TypeVar("Result")


def each(function: Callable[..., Result], *triples: Iterable[Any]) -> tuple[Result, Result, Result]:
    """Apply a function to the values of each axis: ``each(add, (1, 2, 3), (4, 5, 6))`` is (5, 7, 9)."""
    z, y, x = map(function, *triples)
    return z, y, x


def origin_of(region: Iterable[Sequence[int] | None] | None) -> Triple:
    """Return the first voxel of a region of an image: half-open ends along z, y, x, None for a whole axis."""
    return each(lambda ends: ends[0] if ends else 0, region or (None,) * 3)


def regions_meet(
    a: Iterable[tuple[int, int] | None] | None, b: Iterable[tuple[int, int] | None] | None
) -> bool:
    """Return whether two regions of an image have voxels in common.

    Args:
        a: half-open ends along z, y, x, None for a whole axis; None for the whole image.
        b: likewise.
    """
    pairs = zip(a or (None,) * 3, b or (None,) * 3, strict=True)
    return all(not p or not q or max(p[0], q[0]) < min(p[1], q[1]) for p, q in pairs)


@dataclass(frozen=True)
class Box:
    """A half-open box of voxels, ``start`` inclusive, ``stop`` exclusive, axes (z, y, x).

    It may reach outside of an image: readers fill the outside by reflection.
    """

    start: Triple
    stop: Triple

    @classmethod
    def of_shape(cls, shape: Triple, start: Triple = (0, 0, 0)) -> "Box":
        """Return the box of this shape that begins at ``start``."""
        return cls(start, each(operator.add, start, shape))

    @property
    def shape(self) -> Triple:
        """Size along z, y, x in voxels."""
        return each(operator.sub, self.stop, self.start)

    @property
    def n_voxels(self) -> int:
        """Number of voxels inside."""
        z, y, x = self.shape
        return z * y * x

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """As an index into an array."""
        return each(slice, self.start, self.stop)

    def shift(self, by: Triple) -> "Box":
        """Return the box moved by ``by`` voxels."""
        return Box(each(operator.add, self.start, by), each(operator.add, self.stop, by))

    def grow(self, by: Triple) -> "Box":
        """Return the box with ``by`` more voxels at both ends of each axis."""
        return Box(each(operator.sub, self.start, by), each(operator.add, self.stop, by))

    def relative_to(self, origin: Triple) -> "Box":
        """Return the same box in coordinates whose zero is ``origin``."""
        return self.shift(each(operator.neg, origin))

    def intersect(self, other: "Box") -> "Box":
        """Return what both boxes cover; a shape with a zero or less if they don't meet."""
        return Box(each(max, self.start, other.start), each(min, self.stop, other.stop))


def tiles(box: Box, shape: Triple) -> Iterator[Box]:
    """Cut ``box`` into tiles of ``shape``, in C order; those at the far ends are smaller.

    They cover every voxel of ``box`` exactly once. An empty box has none.
    """
    zs, ys, xs = (range(a, b, s) for a, b, s in zip(box.start, box.stop, shape, strict=True))
    for z, y, x in product(zs, ys, xs):
        yield Box.of_shape(shape, (z, y, x)).intersect(box)


def blocks_of(shape: Triple, block: Triple) -> list[Box]:
    """Return all blocks of a volume, in C order."""
    return list(tiles(Box.of_shape(shape), block))


def work_shape(shape: Triple, block: Triple, n_voxels: int) -> Triple:
    """Return a box of whole blocks, near to a cube, of at most ``n_voxels`` unless a single block has more."""
    work = list(block)
    while short := [axis for axis in range(3) if work[axis] < shape[axis]]:
        axis = min(short, key=lambda axis: work[axis])
        work[axis] *= 2
        if math.prod(map(min, work, shape)) > n_voxels:
            work[axis] //= 2
            break
    return work[0], work[1], work[2]


def by(shape: Iterable[int]) -> str:
    """Write a shape for people: ``12 x 320 x 320``."""
    return " x ".join(map(str, shape))
