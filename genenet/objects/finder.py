"""Finds the objects of a volume in two passes over its blocks: number the seeds, then let them grow."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genenet.core.geometry import Box, Triple
from genenet.objects.block import LabelledBlock
from genenet.objects.graph import find_pieces
from genenet.objects.growth import flooded
from genenet.objects.stages import Thresholds, core, numbered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from genenet.objects.stages import Levels, ReadLevels

    Numbers = NDArray[np.uint32]


@dataclass(frozen=True)
class Finder:
    """Finds the objects of one class.

    Attributes:
        shape: of the volume, along z, y, x.
        boxes: its blocks in C order. Where several seeds share a shell, voxels near the faces of blocks may depend on
            them; nothing else does.
        read: returns the probabilities of a box.
        thresholds: of the probabilities.
        scratch: a folder for temporary files.
    """

    shape: Triple
    boxes: Sequence[Box]
    read: ReadLevels
    thresholds: Thresholds
    scratch: Path

    def stages(self, box: Box) -> Levels:
        """Return the stage of each voxel of a block."""
        return self.thresholds.stages(*self.read(box), box.start[0])

    def seeds(self, boxes: Iterator[Box]) -> tuple[int, Iterator[tuple[Box, Numbers]]]:
        """Return the number of objects, and each block with its numbers, UNDECIDED between seeds.

        ``boxes`` yields all blocks, and shows the progress.
        """
        graph = find_pieces(self.shape, boxes, self.stages, 6, self.scratch)
        numbers, n = numbered(graph, self.thresholds)
        return n, (
            (box, LabelledBlock(self.stages(box)).fill(graph.of_block(index, numbers)))
            for index, box in enumerate(self.boxes)
        )


def find_in_memory(of_object: Levels, border: Levels, thresholds: Thresholds) -> Numbers:
    """Return the numbered objects (Z, Y, X) of a volume that is in memory, as one block.

    Args:
        of_object: probability of an object, border included, (Z, Y, X), 255 is 1.
        border: probability of its border.
        thresholds: of both.
    """
    shape: Triple = (of_object.shape[0], of_object.shape[1], of_object.shape[2])
    whole = Box.of_shape(shape)
    scratch = Path(tempfile.gettempdir())
    finder = Finder(
        shape, [whole], lambda box: (of_object[box.slices], border[box.slices]), thresholds, scratch
    )
    _, ((_, numbers),) = finder.seeds(iter([whole]))
    return flooded(numbers, core(of_object, border))
