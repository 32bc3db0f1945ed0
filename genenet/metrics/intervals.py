"""How far the difference between two segmentations could be chance: a bootstrap over blocks of the images.

Neighbouring voxels are alike, so voxels can't be drawn one by one. Whole blocks are drawn, with replacement, and each
draw gives a contingency table for either segmentation (Künsch 1989, The jackknife and the bootstrap for general
stationary observations; Efron and Tibshirani 1993, An introduction to the bootstrap, chapter 13: percentiles).

Chance also chose the seeds of a training. Of several trainings, each draw takes one. Of the mean of several networks,
only the leave-one-out means are at hand; each draw adds the deviation of one of them from their average, times
√(n − 1), so that the variance over draws is that of the jackknife (the same book, chapter 11).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genenet.core.geometry import Box, each, tiles
from genenet.metrics.contingency import Contingency
from genenet.metrics.table import score_of_counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from genenet.core.geometry import Triple

    Tables = NDArray[np.int64]  # (B, C, C): a contingency table of each block

DEPTH = 16  # slices of a block, at most
SIDES = (256, 192, 128, 96, 64, 48, 32)  # of a block along y and x, in voxels
ENOUGH = 40  # blocks; with fewer, smaller ones are taken
FEW = 20  # blocks; with fewer, intervals are too narrow (docs/method.md has the figures)
DRAWS = 1000
LEVEL = 0.95  # share of the draws that lie inside an interval


@dataclass(frozen=True)
class ConfidenceInterval:
    """The differences between which LEVEL of the draws lie, and the number of blocks that were drawn from."""

    low: float
    high: float
    n_blocks: int

    @property
    def may_be_chance(self) -> bool:
        """Whether the interval holds 0, so that no difference is shown."""
        return self.low <= 0 <= self.high


@dataclass(frozen=True)
class ImagePart:
    """An image as a part of one that has been cut, such as into the slabs of folds, or all of it.

    Attributes:
        whole: number of the uncut image.
        box: of this part in it.
    """

    whole: int
    box: Box


def block_shape(parts: Sequence[ImagePart]) -> Triple:
    """Return the largest block (Z, Y, X) of which images have enough, or the smallest one."""
    for side in SIDES:
        block = (DEPTH, side, side)
        if len({(part.whole, corner) for part in parts for corner, _ in _blocks(part.box, block)}) >= ENOUGH:
            return block
    return DEPTH, SIDES[-1], SIDES[-1]


def _blocks(box: Box, block: Triple) -> Iterator[tuple[Triple, Box]]:
    """Yield the corner of each block that a box of an uncut image has voxels of, and these voxels."""
    first = each(lambda start, size: start - start % size, box.start, block)
    for tile in tiles(Box(first, box.stop), block):
        yield tile.start, tile.intersect(box)


class BlockTables:
    """The contingency table of each block of some images, counted slice by slice.

    Neighbouring slabs of an image are alike, so blocks are those of the uncut image, however thin its parts are.

    Args:
        n_classes: C.
        block: shape of the blocks.
        parts: what the images are parts of.
    """

    def __init__(self, n_classes: int, block: Triple, parts: Sequence[ImagePart]) -> None:
        self.n_classes, self.block, self.parts = n_classes, block, parts
        self.tables: dict[tuple[int, Triple], Contingency] = {}

    def add(self, image: int, z: int, labels: NDArray[np.uint8], classes: NDArray[np.integer]) -> None:
        """Count a slice of an image: true and predicted classes, (1, Y, X)."""
        part = self.parts[image]
        seen = Box.of_shape(labels.shape, (z, 0, 0)).shift(part.box.start)
        for corner, box in _blocks(seen, self.block):
            counts = self.tables.setdefault((part.whole, corner), Contingency.empty(self.n_classes))
            inside = box.relative_to(seen.start).slices
            counts.add(labels[inside], classes[inside])

    def stacked(self) -> NDArray[np.int64]:
        """Return the tables (B, C, C) of the blocks that have labelled voxels."""
        found = [counts.table for _, counts in sorted(self.tables.items()) if counts.n_voxels]
        return np.array(found, np.int64).reshape(-1, self.n_classes, self.n_classes)

    def total(self) -> Contingency:
        """Return the table of all blocks together."""
        return Contingency(self.stacked().sum(axis=0))


def interval(
    ours: Tables, theirs: Sequence[Tables], metric: str, rng: Generator, without: Sequence[Tables] = ()
) -> ConfidenceInterval | None:
    """Return the interval of the score of one segmentation minus that of another.

    Args:
        ours: (B, C, C) tables of the blocks.
        theirs: the same for each seed of the other one; each draw takes one of the seeds.
        metric: of SELECTION_METRICS.
        rng: random numbers.
        without: if the other one is a mean of several networks, the tables of the mean without each of them.

    Returns:
        The interval; None if there are fewer than two blocks, or if no draw gives a score.
    """
    n_blocks = len(ours)
    if n_blocks < 2:
        return None
    blocks, seeds = _draws(n_blocks, len(theirs), rng)
    left_out = rng.integers(len(without), size=DRAWS) if without else None
    found = _scores(blocks, ours, metric)
    for seed, tables in enumerate(theirs):
        found[seeds == seed] -= _scores(blocks[seeds == seed], tables, metric)
    if left_out is not None:
        of_means = np.stack([_scores(blocks, tables, metric) for tables in without])
        found -= math.sqrt(len(without) - 1) * (of_means[left_out, np.arange(DRAWS)] - of_means.mean(axis=0))
    known = found[~np.isnan(found)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return ConfidenceInterval(float(low), float(high), n_blocks)


def _draws(n_blocks: int, n_seeds: int, rng: Generator) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Draw how often each block is taken, (DRAWS, n_blocks), and one of the seeds, (DRAWS,)."""
    blocks, seeds = np.empty((DRAWS, n_blocks)), np.empty(DRAWS, np.intp)
    for draw in range(DRAWS):
        blocks[draw] = np.bincount(rng.integers(n_blocks, size=n_blocks), minlength=n_blocks)
        seeds[draw] = rng.integers(n_seeds)
    return blocks, seeds


def _scores(blocks: NDArray[np.float64], tables: Tables, metric: str) -> NDArray[np.float64]:
    """Return the score of each draw, (DRAWS,); float64 holds counts below 2^53 exactly."""
    sums = np.rint(np.tensordot(blocks, tables.astype(np.float64), 1)).astype(np.int64)
    return np.array([score_of_counts(Contingency(table), metric) for table in sums])
