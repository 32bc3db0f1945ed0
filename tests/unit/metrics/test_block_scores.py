"""The counts of blocks: written as texts, read as tables, and refused if they are damaged."""

import numpy as np
import pytest
from pydantic import ValidationError

from genenet.core.geometry import Box
from genenet.core.ignore import IGNORE
from genenet.metrics.block_scores import BlockCounts, BlockScores
from genenet.metrics.contingency import Contingency, class_scores
from genenet.metrics.intervals import BlockTables, ImagePart

BLOCK = (16, 32, 32)
WHOLE = [ImagePart(0, Box.of_shape((1, 64, 80)))]


@pytest.fixture
def counted():
    """Three classes in 2 x 3 blocks, one of which has no labels."""
    rng = np.random.default_rng(0)
    truth, found = rng.integers(0, 3, (2, 1, 64, 80)).astype(np.uint8)
    truth[:, :32, :32] = IGNORE
    blocks = BlockTables(3, BLOCK, WHOLE)
    blocks.add(0, 0, truth, found)
    return blocks, truth, found


def test_what_is_written_is_read(counted):
    blocks, truth, found = counted
    scores = BlockScores.of(blocks)
    assert BlockScores.model_validate(scores.model_dump(mode="json")) == scores
    assert len(scores.blocks.counts) == 5
    assert np.array_equal(scores.blocks.tables, blocks.stacked())
    whole = Contingency.empty(3)
    whole.add(truth, found)
    assert scores.without_blocks() == class_scores(whole)


def test_blocks_of_other_labels_are_told_apart(counted):
    blocks, truth, found = counted
    counts, others = BlockCounts.of(blocks), BlockTables(3, BLOCK, WHOLE)
    others.add(0, 0, truth, np.zeros_like(found))
    assert counts.is_of_the_same_labels(BlockCounts.of(others))  # another prediction
    moved = BlockTables(3, BLOCK, WHOLE)
    moved.add(0, 0, np.roll(truth, 1), found)
    assert not counts.is_of_the_same_labels(BlockCounts.of(moved))
    larger = BlockTables(3, (16, 64, 64), WHOLE)
    larger.add(0, 0, truth, found)
    assert not counts.is_of_the_same_labels(BlockCounts.of(larger))


@pytest.mark.parametrize(
    ("counts", "problem"),
    [
        (["1 2 3"], "square"),
        (["1 2 3 4", "1"], "different sizes"),
        (["1 2 -3 4"], "whole numbers"),
        (["1 2 3.5 4"], "whole numbers"),
        ([""], "square"),
    ],
)
def test_damaged_counts_are_refused(counts, problem):
    with pytest.raises(ValidationError, match=problem):
        BlockCounts(block=BLOCK, counts=counts)


def test_no_block_at_all_has_no_tables():
    none = BlockCounts(block=BLOCK, counts=[])
    assert none.tables.shape[0] == 0
    assert none.is_of_the_same_labels(none)
