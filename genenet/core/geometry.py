"""Boxes and tiles: pure arithmetic on (z, y, x) voxel coordinates, no data, no torch."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product

Triple = tuple[int, int, int]


def each(function: Callable[..., int], *triples: Triple) -> Triple:
    """Apply a function to the numbers of each axis."""
    z, y, x = map(function, *triples)
    return z, y, x


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
        return cls(start, (start[0] + shape[0], start[1] + shape[1], start[2] + shape[2]))

    @property
    def shape(self) -> Triple:
        """Size along z, y, x in voxels."""
        z, y, x = (stop - start for start, stop in zip(self.start, self.stop, strict=True))
        return z, y, x

    @property
    def n_voxels(self) -> int:
        """Number of voxels inside."""
        z, y, x = self.shape
        return z * y * x

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """As an index into an array."""
        z, y, x = (slice(start, stop) for start, stop in zip(self.start, self.stop, strict=True))
        return z, y, x

    def shift(self, by: Triple) -> "Box":
        """Return the box moved by ``by`` voxels."""
        start, stop = (tuple(p + d for p, d in zip(end, by, strict=True)) for end in (self.start, self.stop))
        return Box(start, stop)  # type: ignore[arg-type]

    def relative_to(self, origin: Triple) -> "Box":
        """Return the same box in coordinates whose zero is ``origin``."""
        z, y, x = origin
        return self.shift((-z, -y, -x))

    def intersect(self, other: "Box") -> "Box":
        """Return what both boxes cover; a shape with a zero or less if they don't meet."""
        start = tuple(max(a, b) for a, b in zip(self.start, other.start, strict=True))
        stop = tuple(min(a, b) for a, b in zip(self.stop, other.stop, strict=True))
        return Box(start, stop)  # type: ignore[arg-type]


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


def by(shape: Iterable[int]) -> str:
    """Write a shape for people: ``12 x 320 x 320``."""
    return " x ".join(map(str, shape))
