"""The counts of a segmentation in each block of some images, as files hold them: what intervals are computed from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import model_validator

from genenet.core.models import Closed
from genenet.metrics.contingency import scores
from genenet.metrics.scores import ClassScores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genenet.metrics.intervals import BlockTables


class BlockCounts(Closed):
    """The contingency tables of the blocks of some images, without the blocks that have no label.

    Attributes:
        block: shape (Z, Y, X) of the blocks.
        counts: one text for each block: the C × C numbers of voxels, a true class after the other.
    """

    block: tuple[int, int, int]
    counts: list[str]

    @classmethod
    def of(cls, blocks: BlockTables) -> BlockCounts:
        """Return the counts of blocks that were counted slice by slice."""
        counts = [" ".join(map(str, table.ravel().tolist())) for table in blocks.stacked()]
        return cls(block=blocks.block, counts=counts)

    @model_validator(mode="after")
    def _are_square_tables(self) -> Self:
        words = [text.split() for text in self.counts]
        sizes = {len(of_block) for of_block in words}
        if len(sizes) > 1 or any(not size or math.isqrt(size) ** 2 != size for size in sizes):
            raise ValueError("the blocks have tables of different sizes, or tables that aren't square")
        if not all(word.isascii() and word.isdigit() for of_block in words for word in of_block):
            raise ValueError("the counts of voxels must be whole numbers")
        return self

    @property
    def tables(self) -> NDArray[np.int64]:
        """The tables, (B, C, C)."""
        if not self.counts:
            return np.zeros((0, 1, 1), np.int64)
        found = np.array([text.split() for text in self.counts], np.int64)
        n_classes = math.isqrt(found.shape[1])
        return found.reshape(-1, n_classes, n_classes)

    def is_of_the_same_labels(self, other: BlockCounts) -> bool:
        """Whether the other counts are of the same blocks, with the same numbers of voxels of each true class."""
        if (self.block, len(self.counts)) != (other.block, len(other.counts)):
            return False
        return np.array_equal(self.tables.sum(axis=2), other.tables.sum(axis=2))


class BlockScores(ClassScores):
    """Scores with the counts of the blocks that they are of; older versions didn't store the counts."""

    blocks: BlockCounts | None = None

    @classmethod
    def of(cls, blocks: BlockTables) -> BlockScores:
        """Return the scores of blocks that were counted slice by slice."""
        return cls.model_validate({**scores(blocks.total()), "blocks": BlockCounts.of(blocks)})

    def without_blocks(self) -> ClassScores:
        """Return the scores alone."""
        return ClassScores.model_validate(self.model_dump(exclude={"blocks"}))
