"""Computes which box a network must read in order to write another box: pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from operator import add, sub
from typing import TYPE_CHECKING

from genenet.core.geometry import Box, each

if TYPE_CHECKING:
    from genenet.genes.plan import Plan

OVERLAP = 4  # neighbouring blended tiles share a quarter of their size


@dataclass(frozen=True)
class Reading:
    """What a network reads in order to write a box.

    The network's output may be larger than what is written; the rest of the output is thrown away.

    Attributes:
        read: the box that the network reads, in the volume.
        inside: the box to be written, counted from the first voxel of the network's output.
        core: the box to be written, in the volume.
    """

    read: Box
    inside: Box
    core: Box


def readings(plan: Plan, core: Box, blended: bool) -> list[Reading]:
    """Return what a network reads for ``core``.

    That is one box with its halo or, if tiles are blended, all overlapping tiles that meet ``core``. Only a network
    whose output is as large as its input can be blended.
    """
    return _blended(plan, core) if blended and plan.is_same else [reading(plan, core)]


def reading(plan: Plan, core: Box) -> Reading:
    """Return the one box, halo included, that is read for ``core``.

    It begins on the network's pooling grid, counted from the volume's corner, so a voxel's result doesn't
    depend on where tiles and blocks were cut. Along one axis::

        core                     ████████████
        grid             g                                  g: the last grid point at or before core
        read      ├─halo─┤───────────────────├─halo─┤──┤    a little more, until the poolings divide evenly
        output    ┆margin├──────────────────────┤margin┆    here with margin = halo
        inside           ├─ i0 ─┤████████████               i0: where core begins in the output

    The read box begins at ``g - halo`` and the output at ``g - halo + margin``. Valid convolutions take off the halo,
    so that the margin is as wide. With same padding the margin is 0, and the output begins where the read box does.
    """
    grid_point = each(lambda start, multiple: start // multiple * multiple, core.start, plan.multiple)
    begin = each(sub, grid_point, plan.halo)
    output_begin = each(add, begin, plan.margin)
    shape = plan.read_shape(each(sub, core.stop, grid_point))
    return Reading(Box.of_shape(shape, begin), core.relative_to(output_begin), core)


def _blended(plan: Plan, core: Box) -> list[Reading]:
    """Return the tiles of the training size that meet ``core``, and the part of it that each writes.

    Tiles begin at multiples of ``step`` from the volume's corner, so a voxel's result doesn't depend on where the
    volume was cut. Along one axis, with tiles of the size ``n``::

        volume   0      step    2 step   3 step
        core                       ██████████
        tiles           ├────── n ──────┤
                                 ├────── n ──────┤
                                          ├────── n ──────┤
        written                    ██████           of the first tile; each writes what it shares with core
    """
    size = plan.input_shape
    starts = map(_tile_starts, core.start, core.stop, size, each(_step, size, plan.multiple))
    found = []
    for z, y, x in product(*starts):
        tile = Box.of_shape(size, (z, y, x))
        written = tile.intersect(core)
        found.append(Reading(tile, written.relative_to(tile.start), written))
    return found


def _step(size: int, multiple: int) -> int:
    """Return the distance of blended tiles along an axis: on the pooling grid; the size itself where that is 1."""
    if size == 1:
        return size
    return max(multiple, size * (OVERLAP - 1) // OVERLAP // multiple * multiple)


def _tile_starts(start: int, stop: int, size: int, step: int) -> range:
    """Return where the tiles begin, at multiples of ``step``, that meet the interval from ``start`` to ``stop``."""
    first = (start - size) // step + 1  # the first tile that ends behind start
    return range(first * step, stop, step)


def union(boxes: Sequence[Box]) -> Box:
    """Return the smallest box that holds all ``boxes``."""
    start = each(lambda *starts: min(starts), *(box.start for box in boxes))
    return Box(start, each(lambda *stops: max(stops), *(box.stop for box in boxes)))


def waste(plans: Sequence[Plan], cores: Sequence[Box], blended: bool = False) -> float:
    """Return the number of computed voxels per written voxel, averaged over the networks."""
    read = sum(r.read.n_voxels for core in cores for plan in plans for r in readings(plan, core, blended))
    return read / (len(plans) * sum(core.n_voxels for core in cores))
