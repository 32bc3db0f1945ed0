"""Which boxes networks read to write others, and into which tiles a block is best cut: pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import sub
from typing import TYPE_CHECKING

from genenet.core.errors import InputError
from genenet.core.geometry import Box, Triple, each
from genenet.genes import sizes
from genenet.genes.memory import prediction_bytes

if TYPE_CHECKING:
    from genenet.genes.plan import Plan

BLOCK, BLOCK_WITH_DEPTH = (16, 1280, 1280), (64, 640, 640)  # voxels written in one piece
LARGEST, LARGEST_WITH_DEPTH = 1_500_000, 4_000_000  # voxels read for a tile
CACHED = 260_000  # of so many the caches hold most; a voxel of …
TWICE_AS_SLOW = 2_000_000  # … so many more takes twice the time (16 kernels, 2 cores with 2 MiB of L2 each) …
TWICE_AS_SLOW_WITH_DEPTH = 8_000_000  # … but where networks have depth, halos cost far more than that
MOST_WASTE = 1.15  # voxels computed for each that is written, where tiles can be chosen so
LEAST_TILES = 4  # of a block, so that several cores have work …
SMALL = 2**14  # … unless tiles would be smaller than this
OVERHEAD = 2000  # voxels that could be computed in the time that a tile takes beside


OVERLAP = 4  # a blended tile overlaps its neighbours by a quarter


@dataclass(frozen=True)
class Reading:
    """What a network reads to write a box, where that then lies in its output, and where in the volume."""

    read: Box
    inside: Box
    core: Box


def readings(plan: Plan, core: Box, blended: bool) -> list[Reading]:
    """Return what a network reads for ``core``: the whole at once, or overlapping tiles of its training size.

    Only a network whose output is as large as its input can be blended. Its tiles stand on a lattice that begins
    at the volume's corner, so a voxel's result doesn't depend on where the volume was cut either.
    """
    if not blended or not plan.is_same:
        return [reading(plan, core)]
    size, step = plan.input_shape, blend_step(plan)
    first = each(lambda a, n, s: (a - n) // s + 1, core.start, size, step)
    count = each(lambda b, f, s: -(-b // s) - f, core.stop, first, step)
    found = []
    for index in product(*map(range, count)):
        tile = Box.of_shape(size, each(lambda f, i, s: (f + i) * s, first, index, step))  # type: ignore[arg-type]
        part = tile.intersect(core)
        found.append(Reading(tile, part.relative_to(tile.start), part))
    return found


def blend_step(plan: Plan) -> Triple:
    """Return how far blended tiles are apart; as far as they are long, where there is nothing to overlap."""
    return each(
        lambda n, m: n if n == 1 else max(m, n * (OVERLAP - 1) // OVERLAP // m * m),
        plan.input_shape,
        plan.multiple,
    )


def reading(plan: Plan, core: Box) -> Reading:
    """Return what is read for ``core``, halo included.

    It begins on the network's pooling grid, counted from the volume's corner, so a voxel's result doesn't
    depend on where tiles and blocks were cut.
    """
    start = each(lambda a, m: a // m * m, core.start, plan.multiple)
    read = plan.read_shape(each(sub, core.stop, start))
    before = each(sub, plan.halo, plan.margin)
    origin = each(lambda c, a, b: c - a + b, core.start, start, before)
    return Reading(Box.of_shape(read, each(sub, start, plan.halo)), Box.of_shape(core.shape, origin), core)


def union(boxes: Sequence[Box]) -> Box:
    """Return the smallest box that holds all ``boxes``."""
    return reduce(_join, boxes)


def _join(a: Box, b: Box) -> Box:
    return Box(each(min, a.start, b.start), each(max, a.stop, b.stop))


def block_shape(plans: Sequence[Plan]) -> Triple:
    """Return the shape of blocks, unless another is asked for: networks with depth have halos along z, too."""
    return BLOCK_WITH_DEPTH if _have_depth(plans) else BLOCK


def tile_shape(plans: Sequence[Plan], block: Triple, memory_bytes: float, value_bytes: int = 4) -> Triple:
    """Return the shape of the tiles by which networks write a block in the least time.

    The larger a tile, the less of what is read is halo, but the more falls out of the processor's caches; and
    it must fit into ``memory_bytes`` (of values between layers, ``value_bytes`` each).

    Raises:
        InputError: If not even the smallest tile fits into the memory.
    """
    cut = [_Axis.of(plans, axis, block[axis]) for axis in range(3)]
    enough = max(SMALL, math.prod(block) / LEAST_TILES)
    largest = LARGEST_WITH_DEPTH if _have_depth(plans) else LARGEST
    candidates = [
        Candidate(tuple(a.edges[i] for a, i in zip(cut, at, strict=True)), tuple(  # type: ignore[arg-type]
            (cut[0].reads[at[0]][p], cut[1].reads[at[1]][p], cut[2].reads[at[2]][p]) for p in range(len(plans))
        ))
        for at in product(*(range(len(a.edges)) for a in cut))
    ]  # fmt: skip
    by_cost = sorted(candidates, key=lambda c: (c.waste(plans) > MOST_WASTE, c.seconds(plans), c.shape))
    smallest = min(candidates, key=lambda c: (max(map(math.prod, c.reads)), c.shape))
    fitting = (c for c in by_cost if c.n_read <= largest and math.prod(c.shape) <= enough)
    for candidate in [*fitting, smallest]:
        if candidate.n_bytes(plans, value_bytes) <= memory_bytes:
            return candidate.shape
    raise InputError(
        f"segmentation.memory_mb {memory_bytes / 1e6:.0f} is too little: the smallest tile of these networks takes "
        f"{smallest.n_bytes(plans, value_bytes) / 1e6:.0f} MB"
    )


@dataclass(frozen=True)
class _Axis:
    """Tile sizes along an axis that divide a block evenly, and what each network reads for them."""

    edges: list[int]
    reads: list[list[int]]

    @classmethod
    def of(cls, plans: Sequence[Plan], axis: int, n: int) -> _Axis:
        multiple = max(plan.multiple[axis] for plan in plans)
        most = max(8, -(-2 * n // 512))
        edges = {-(-n // k) for k in range(1, most + 1)} | {edge for edge in (16, 32, 64) if edge < n}
        if axis == 0:
            edges.add(1)  # slices of networks without depth don't need each other
        grid = sorted({-(-edge // multiple) * multiple for edge in edges})
        reads = [
            [sizes.smallest_input(p.stacks, axis, edge + 2 * p.halo[axis]) for p in plans] for edge in grid
        ]
        return cls(grid, reads)


@dataclass(frozen=True)
class Candidate:
    """A tile, and what each network reads for it."""

    shape: Triple
    reads: tuple[Triple, ...]

    @property
    def n_read(self) -> int:
        """Voxels that the greediest network reads."""
        return max(map(math.prod, self.reads))

    def waste(self, plans: Sequence[Plan]) -> float:
        """Return the operations for each that were needed if there were no halo."""
        work = [_work(plan) for plan in plans]
        done = sum(w * math.prod(read) for w, read in zip(work, self.reads, strict=True))
        return done / (sum(work) * math.prod(self.shape))

    def seconds(self, plans: Sequence[Plan]) -> float:
        """Return the time for each voxel that is written, in some unit."""
        total = 0.0
        for plan, n in zip(plans, map(math.prod, self.reads), strict=True):
            slow = TWICE_AS_SLOW_WITH_DEPTH if plan.halo[0] else TWICE_AS_SLOW
            total += _work(plan) * (OVERHEAD + n * (1 + max(0, n - CACHED) / slow))
        return total / math.prod(self.shape)

    def n_bytes(self, plans: Sequence[Plan], value_bytes: int) -> int:
        """Return the memory of the network that takes most; they run one after the other."""
        return max(
            prediction_bytes(plan, read, value_bytes) for plan, read in zip(plans, self.reads, strict=True)
        )


def _have_depth(plans: Sequence[Plan]) -> bool:
    """Whether a network looks at other slices than it writes."""
    return any(plan.halo[0] for plan in plans)


def _work(plan: Plan) -> float:
    """Return the operations for each voxel that is read."""
    return plan.flops_per_voxel * math.prod(plan.output_shape) / math.prod(plan.input_shape)


def waste(plans: Sequence[Plan], cores: Sequence[Box], blended: bool = False) -> float:
    """Return how many voxels are computed for each that is written, the mean over networks."""
    read = sum(r.read.n_voxels for core in cores for plan in plans for r in readings(plan, core, blended))
    return read / (len(plans) * sum(core.n_voxels for core in cores))
