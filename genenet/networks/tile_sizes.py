"""Chooses the size of the tiles that a block is cut into: pure arithmetic.

On a CPU the caches and the number of cores decide, on a GPU the memory alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from genenet.core.errors import InputError
from genenet.core.geometry import Triple
from genenet.core.resources import TILE_BYTES
from genenet.genes import sizes
from genenet.genes.memory import prediction_bytes

if TYPE_CHECKING:
    from genenet.genes.plan import Plan

BLOCK, BLOCK_WITH_DEPTH = (16, 1280, 1280), (64, 640, 640)  # voxels written in one piece
LARGEST, LARGEST_WITH_DEPTH = 1_500_000, 4_000_000  # voxels read for a tile
# The time for a voxel grows with the tile: the caches hold CACHED voxels, and with so many more it has doubled
# (measured with 16 kernels on 2 cores with 2 MiB of L2 each). With depth a smaller tile costs more, by its halo.
CACHED = 260_000
TWICE_AS_SLOW = 2_000_000
TWICE_AS_SLOW_WITH_DEPTH = 8_000_000
MOST_WASTE = (
    1.15  # preferred limit on a tile's operations, relative to those that it would need without a halo
)
LEAST_TILES = 4  # of a block, so that several cores have work …
SMALL = 2**14  # … unless tiles would be smaller than this
OVERHEAD = 2000  # voxels that could be computed in the fixed time of a tile
MOST_CUTS = (
    8  # largest number of tiles along an axis of a block; on a long axis, tiles may be as short as SHORT
)
SHORT = 256
ROUND_SIZES = (16, 32, 64)
MOST_VALUES = 2**31 - 1  # of a tensor that all of CUDA's libraries can index
SHARE_OF_GPU = 1 / 8  # of its free memory, for the tiles of a validation
SLAB = 16  # slices that networks with depth, and GPUs, write at a time when slices are asked for one by one
SLAB_BYTES = 2**29  # most of their probabilities, on a GPU


def block_shape(plans: Sequence[Plan]) -> Triple:
    """Return the default shape of blocks; they are deeper for networks with depth, which have halos along z, too."""
    return BLOCK_WITH_DEPTH if _have_depth(plans) else BLOCK


def tile_shape(plans: Sequence[Plan], block: Triple, memory_bytes: float, value_bytes: int = 4) -> Triple:
    """Return the shape of the tiles by which networks write a block in the least time.

    The larger a tile, the smaller the share of its halo, but the less of it fits into the processor's caches. A tile
    must fit into ``memory_bytes``, of values between layers, ``value_bytes`` each.

    Raises:
        InputError: If not even the smallest tile fits into the memory.
    """
    candidates = list(_candidates(plans, block))
    return _first_that_fits(
        _fastest_first(candidates, plans, block), candidates, plans, memory_bytes, value_bytes
    )


def largest_tile(plans: Sequence[Plan], block: Triple, memory_bytes: float, value_bytes: int = 4) -> Triple:
    """Return the shape of the tiles by which networks write a block with the fewest operations, as on a GPU.

    Of shapes with equally many operations it is the largest, which takes the fewest launches of kernels. The arguments
    are those of ``tile_shape``.

    Raises:
        InputError: If not even the smallest tile fits into the memory.
    """
    candidates = list(_candidates(plans, block))
    in_order = sorted(candidates, key=lambda c: (round(c.waste(plans), 3), -math.prod(c.shape), c.shape))
    most = min(memory_bytes, MOST_VALUES * value_bytes)
    return _first_that_fits(in_order, candidates, plans, most, value_bytes)


def _first_that_fits(
    in_order: Iterable[Candidate],
    candidates: Sequence[Candidate],
    plans: Sequence[Plan],
    memory_bytes: float,
    value_bytes: int,
) -> Triple:
    """Return the first shape that fits into the memory, or else the smallest of all candidates."""
    smallest = min(candidates, key=lambda candidate: (candidate.n_read, candidate.shape))
    for candidate in [*in_order, smallest]:
        if candidate.n_bytes(plans, value_bytes) <= memory_bytes:
            return candidate.shape
    raise InputError(
        f"segmentation.memory_mb {memory_bytes / 1e6:.0f} is too little: the smallest tile of these networks takes "
        f"{math.ceil(smallest.n_bytes(plans, value_bytes) / 1e6)} MB"
    )


def _fastest_first(
    candidates: Sequence[Candidate], plans: Sequence[Plan], block: Triple
) -> Iterator[Candidate]:
    """Yield the candidates that are small enough to be shared among cores, those with little waste first."""
    largest = LARGEST_WITH_DEPTH if _have_depth(plans) else LARGEST
    most_written = max(SMALL, math.prod(block) / LEAST_TILES)
    for candidate in sorted(
        candidates, key=lambda c: (c.waste(plans) > MOST_WASTE, c.seconds(plans), c.shape)
    ):
        if candidate.n_read <= largest and math.prod(candidate.shape) <= most_written:
            yield candidate


@dataclass(frozen=True)
class Candidate:
    """A tile's shape, and the shape that each network reads for it."""

    shape: Triple
    reads: tuple[Triple, ...]

    @property
    def n_read(self) -> int:
        """Voxels read by the network that reads most."""
        return max(map(math.prod, self.reads))

    def waste(self, plans: Sequence[Plan]) -> float:
        """Return the number of operations, relative to those that would be needed without a halo."""
        work = [_work(plan) for plan in plans]
        done = sum(w * math.prod(read) for w, read in zip(work, self.reads, strict=True))
        return done / (sum(work) * math.prod(self.shape))

    def seconds(self, plans: Sequence[Plan]) -> float:
        """Return the time per written voxel, in an arbitrary unit."""
        total = 0.0
        for plan, n in zip(plans, map(math.prod, self.reads), strict=True):
            slow = TWICE_AS_SLOW_WITH_DEPTH if plan.halo[0] else TWICE_AS_SLOW
            total += _work(plan) * (OVERHEAD + n * (1 + max(0, n - CACHED) / slow))
        return total / math.prod(self.shape)

    def n_bytes(self, plans: Sequence[Plan], value_bytes: int) -> int:
        """Return the memory of the network that takes most; networks run one after the other."""
        return max(
            prediction_bytes(plan, read, value_bytes) for plan, read in zip(plans, self.reads, strict=True)
        )


@dataclass(frozen=True)
class TileSizes:
    """How volumes are cut for networks on one device.

    Attributes:
        plans: of the networks.
        memory_bytes: that a tile, or the tiles of a batch, may take: on each core, or on the GPU.
        value_bytes: of a value between layers: 4 in float32, 2 in bfloat16.
        on_gpu: whether the device is a GPU.
    """

    plans: Sequence[Plan]
    memory_bytes: float
    value_bytes: int = 4
    on_gpu: bool = False

    def tile(self, block: Triple) -> Triple:
        """Return the shape of the tiles that a block is cut into."""
        choose = largest_tile if self.on_gpu else tile_shape
        return choose(self.plans, block, self.memory_bytes, self.value_bytes)

    def n_at_once(self, shapes: Collection[Triple]) -> int:
        """Return how many tiles, of which networks read ``shapes``, are computed as a batch: on a CPU one."""
        if not self.on_gpu:
            return 1
        most = max(prediction_bytes(plan, shape, self.value_bytes) for plan in self.plans for shape in shapes)
        return max(1, int(min(self.memory_bytes, MOST_VALUES * self.value_bytes) / most))

    def slab(self, volume: Triple) -> int:
        """Return how many slices of a volume are computed together when they are asked for one by one.

        A GPU takes many as one batch, but their probabilities must fit into SLAB_BYTES: they lie on the GPU, in a
        buffer of the host, and in a copy of it.
        """
        if any(plan.has_depth for plan in self.plans):
            return SLAB
        return max(1, min(SLAB, SLAB_BYTES // self._result_bytes((1, *volume[1:])))) if self.on_gpu else 1

    def bytes_of_slices(self, volume: Triple, threads: int) -> int:
        """Return about how many bytes it takes to predict a volume slice by slice, with a tile in each thread."""
        slab = (min(self.slab(volume), volume[0]), volume[1], volume[2])
        tile = self.tile(slab)
        of_tile = max(prediction_bytes(plan, plan.read_shape(tile), self.value_bytes) for plan in self.plans)
        return self._result_bytes(slab) + of_tile * (1 if self.on_gpu else threads)

    def _result_bytes(self, shape: Triple) -> int:
        return 4 * self.plans[0].n_classes * math.prod(shape)


def share_for_tiles(free_bytes: float) -> float:
    """Return how much of a GPU's free memory the tiles of a validation may take."""
    return max(TILE_BYTES, SHARE_OF_GPU * free_bytes)


def _candidates(plans: Sequence[Plan], block: Triple) -> Iterator[Candidate]:
    """Yield all combinations of sizes along the three axes."""
    for z, y, x in product(*(_sizes(plans, axis, n).items() for axis, n in enumerate(block))):
        yield Candidate((z[0], y[0], x[0]), tuple(zip(z[1], y[1], x[1], strict=True)))


def _sizes(plans: Sequence[Plan], axis: int, n: int) -> dict[int, list[int]]:
    """Return sizes of a tile along an axis, and what each network reads for them.

    They divide the ``n`` voxels of a block evenly or are round, and lie on the coarsest pooling grid.
    """
    most_cuts = max(MOST_CUTS, -(-n // SHORT))
    wanted = {-(-n // k) for k in range(1, most_cuts + 1)} | {size for size in ROUND_SIZES if size < n}
    if axis == 0:
        wanted.add(1)  # without depth, slices don't need each other
    multiple = max(plan.multiple[axis] for plan in plans)
    on_grid = sorted({-(-size // multiple) * multiple for size in wanted})
    return {
        size: [sizes.smallest_input(plan.stacks, axis, size + 2 * plan.halo[axis]) for plan in plans]
        for size in on_grid
    }


def _have_depth(plans: Sequence[Plan]) -> bool:
    """Whether a network reads other slices than it writes."""
    return any(plan.halo[0] for plan in plans)


def _work(plan: Plan) -> float:
    """Return the number of operations per voxel of the input."""
    return plan.flops_per_voxel * math.prod(plan.output_shape) / math.prod(plan.input_shape)
