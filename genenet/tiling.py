"""Which boxes the networks of an ensemble read and write to fill a block: pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import sub
from typing import TYPE_CHECKING

from genenet.geometry import Box, Triple, each, tiles

if TYPE_CHECKING:
    from genenet.plan import Plan


@dataclass(frozen=True)
class Tile:
    """What the networks write at a time, and the box that each of them reads for it."""

    core: Box
    reads: tuple[Box, ...]


def block_tiles(plans: Sequence[Plan], block: Box, shape: Triple) -> Iterator[Tile]:
    """Cut a block into tiles of about ``shape`` voxels.

    Tiles begin at multiples of the coarsest pooling grid of all ``plans``, counted from the volume's
    corner, so a voxel's result doesn't depend on where tiles and blocks were cut. They may reach a
    little beyond the block.
    """
    multiple = grid(plans)
    shape = each(lambda size, m: max(m, size // m * m), shape, multiple)
    aligned = Box(each(lambda start, m: start // m * m, block.start, multiple), block.stop)
    for core in tiles(aligned, shape):
        yield Tile(core, tuple(_read_box(plan, core) for plan in plans))


def grid(plans: Sequence[Plan]) -> Triple:
    """Return the coarsest pooling grid of networks, in voxels along z, y, x."""
    return each(max, *(plan.multiple for plan in plans), (1, 1, 1))


def union(boxes: Sequence[Box]) -> Box:
    """Return the smallest box that holds all ``boxes``."""
    return reduce(_join, boxes)


def _read_box(plan: Plan, core: Box) -> Box:
    return Box.of_shape(plan.read_shape(core.shape), each(sub, core.start, plan.halo))


def _join(a: Box, b: Box) -> Box:
    return Box(each(min, a.start, b.start), each(max, a.stop, b.stop))
