"""Computes which box a network must read in order to write another box: pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from operator import add, mul, sub
from typing import TYPE_CHECKING

from genenet.core.geometry import Box, Triple, each

if TYPE_CHECKING:
    from genenet.genes.plan import Plan

OVERLAP = 4  # neighbouring blended tiles share a quarter of their size


@dataclass(frozen=True)
class Reading:
    """What a network reads in order to write a box.

    Attributes:
        read: the box that it reads, in the volume.
        inside: where the box to be written lies in the network's output.
        core: the box to be written, in the volume.
    """

    read: Box
    inside: Box
    core: Box


def readings(plan: Plan, core: Box, blended: bool) -> list[Reading]:
    """Return what a network reads for ``core``: one box with its halo, or overlapping tiles of its training size.

    Only a network whose output is as large as its input can be blended. Its tiles begin at multiples of ``step`` from
    the volume's corner, so a voxel's result doesn't depend on where the volume was cut. Along one axis, with
    tiles of the size ``n``::

        volume   0      step    2 step   3 step
        core                       ██████████
        tiles           ├────── n ──────┤
                                 ├────── n ──────┤
                                          ├────── n ──────┤
        written                    ██████           of the first tile; each writes what it shares with core
    """
    if not blended or not plan.is_same:
        return [reading(plan, core)]
    size, step = plan.input_shape, blend_step(plan)
    first = each(_first_tile, core.start, size, step)
    end = each(_ceil_div, core.stop, step)
    return [_blended(size, each(mul, index, step), core) for index in _indices(first, end)]


def _first_tile(start: int, size: int, step: int) -> int:
    """Return the number of the first tile that ends behind ``start``: the least i with i * step + size > start."""
    return (start - size) // step + 1


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def _indices(first: Triple, end: Triple) -> list[Triple]:
    """Return all numbers of tiles from ``first`` to before ``end``, in C order."""
    (z0, y0, x0), (z1, y1, x1) = first, end
    return list(product(range(z0, z1), range(y0, y1), range(x0, x1)))


def _blended(size: Triple, start: Triple, core: Box) -> Reading:
    tile = Box.of_shape(size, start)
    part = tile.intersect(core)
    return Reading(tile, part.relative_to(tile.start), part)


def blend_step(plan: Plan) -> Triple:
    """Return the distance of blended tiles: multiples of the pooling grid; the size itself where it is 1."""
    return each(_blend_step, plan.input_shape, plan.multiple)


def _blend_step(size: int, multiple: int) -> int:
    if size == 1:
        return size
    return max(multiple, size * (OVERLAP - 1) // OVERLAP // multiple * multiple)


def reading(plan: Plan, core: Box) -> Reading:
    """Return what is read for ``core``, halo included.

    It begins on the network's pooling grid, counted from the volume's corner, so a voxel's result doesn't
    depend on where tiles and blocks were cut. Along one axis::

        core                            ████████████
        grid           a                                        the last grid point at or before core
        read    ├─halo─┤────────────────────────────┤─halo─┤    and a little more, until the poolings divide evenly
        output    ├──────────────────────────────────────┤      read without ``margin`` voxels at each end
        inside    ├───── origin ────────┤████████████

    The output begins at ``a - halo + margin``, so ``origin = core - (a - halo + margin)``. For valid
    convolutions margin and halo are equal; with same padding the margin is 0.
    """
    grid_point = each(lambda start, multiple: start // multiple * multiple, core.start, plan.multiple)
    begin = each(sub, grid_point, plan.halo)
    output_begin = each(add, begin, plan.margin)
    shape = plan.read_shape(each(sub, core.stop, grid_point))
    return Reading(Box.of_shape(shape, begin), core.relative_to(output_begin), core)


def union(boxes: Sequence[Box]) -> Box:
    """Return the smallest box that holds all ``boxes``."""
    start = each(lambda *starts: min(starts), *(box.start for box in boxes))
    return Box(start, each(lambda *stops: max(stops), *(box.stop for box in boxes)))


def waste(plans: Sequence[Plan], cores: Sequence[Box], blended: bool = False) -> float:
    """Return how many voxels are computed for each that is written, the mean over networks."""
    read = sum(r.read.n_voxels for core in cores for plan in plans for r in readings(plan, core, blended))
    return read / (len(plans) * sum(core.n_voxels for core in cores))
