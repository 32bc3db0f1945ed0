"""Which boxes the networks of an ensemble read and write to fill a block: pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from genenet.geometry import Box, tiles

if TYPE_CHECKING:
    from genenet.plan import Plan


@dataclass(frozen=True)
class Tile:
    """What the networks write at a time, and the box that each of them reads for it."""

    core: Box
    reads: tuple[Box, ...]


def block_tiles(plans: Sequence[Plan], block: Box, size: int) -> Iterator[Tile]:
    """Cut a block into tiles of about ``size`` voxels along y and x, one slice high.

    Tiles begin at multiples of the coarsest pooling grid of all ``plans``, counted from the volume's
    corner, so a voxel's result doesn't depend on where tiles and blocks were cut. They may reach a
    little beyond the block.
    """
    multiple = max(plan.multiple for plan in plans)
    size = max(multiple, size // multiple * multiple)
    aligned = Box(_align(block.start, multiple), block.stop)
    for core in tiles(aligned, (1, size, size)):
        yield Tile(core, tuple(_read_box(plan, core) for plan in plans))


def union(boxes: Sequence[Box]) -> Box:
    """Return the smallest box that holds all ``boxes``."""
    return reduce(_join, boxes)


def _read_box(plan: Plan, core: Box) -> Box:
    z, y, x = core.start
    depth, height, width = core.shape
    shape = (depth, plan.read_size(height), plan.read_size(width))
    return Box.of_shape(shape, (z, y - plan.halo, x - plan.halo))


def _align(start: tuple[int, int, int], multiple: int) -> tuple[int, int, int]:
    z, y, x = start
    return z, y // multiple * multiple, x // multiple * multiple


def _join(a: Box, b: Box) -> Box:
    start = tuple(map(min, a.start, b.start))
    stop = tuple(map(max, a.stop, b.stop))
    return Box(start, stop)  # type: ignore[arg-type]
