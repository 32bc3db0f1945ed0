"""Segments the blocks of a volume: one is read while another is computed, tile by tile, and a third is written."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from genenet.core import mapped_arrays
from genenet.core.errors import InputError, one_line
from genenet.core.resources import give_back_freed_memory
from genenet.networks.device import is_out_of_memory
from genenet.networks.tiling import waste
from genenet.networks.transfers import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from genenet.core.geometry import Box
    from genenet.networks.predictor import Predictor
    from genenet.networks.read_box import ReadBox
    from genenet.segmentation.channels import Channels
    from genenet.volumes.base import Volume
    from genenet.volumes.masks import Mask
    from genenet.volumes.normalisation import Normalisation

    # of a box, its labels (Z, Y, X) and its channels (C, Z, Y, X)
    WriteBlock = Callable[[Box, NDArray[np.uint8], NDArray[Any]], None]

Result = TypeVar("Result")
IN_FLIGHT = 2  # blocks computed or written at a time, so that no core waits for the last tile of a block
SAMPLED = 64  # blocks from which the share of halo is estimated
TILE_TOO_LARGE = "a tile doesn't fit in memory ({}); lower segmentation.memory_mb (--memory-mb)"
BLOCK_TOO_LARGE = "a block doesn't fit in memory ({}); lower segmentation.block (--block)"


@dataclass(frozen=True)
class Block:
    """A block whose tiles are being computed.

    Attributes:
        box: in the volume.
        results: labels (Z, Y, X) and channels (C, Z, Y, X).
        tiles: are done when all tiles are in the device's queue, and then the copy of the results to the host.
    """

    box: Box
    results: Results
    tiles: list[Future[None]]


@dataclass(frozen=True)
class Pipeline:
    """Reads blocks of a volume, predicts their tiles in parallel, and writes them.

    Attributes:
        predictor: the networks.
        volume: the image.
        normalisation: of the image's voxels.
        channels: what is written beside the labels.
        write: is called with each finished block's box, labels (Z, Y, X) and channels (C, Z, Y, X).
        mask: labels and channels are 0 outside of the mask; blocks wholly outside aren't computed.
    """

    predictor: Predictor
    volume: Volume
    normalisation: Normalisation
    channels: Channels
    write: WriteBlock
    mask: Mask | None = None

    def run(self, blocks: Sequence[Box]) -> Iterator[Box]:
        """Segment all blocks in order; yield each block when it is written.

        At most three blocks are in memory::

            read     0 1 2 3 …
            compute    0 1 2 3 …
            write        0 1 2 3 …

        Raises:
            InputError: If the volume can't be read, or holds voxels that aren't finite, or if memory is short.
        """
        waiting: deque[Future[Box]] = deque()
        with (
            self.predictor.times.rest("write"),
            ThreadPoolExecutor(1, "read") as reader,
            ThreadPoolExecutor(1, "write") as writer,
        ):
            try:
                ahead = [reader.submit(self._read, block) for block in blocks[:1]]
                for index, box in enumerate(blocks):
                    with fitting(BLOCK_TOO_LARGE):
                        read_box = ahead.pop().result()
                        ahead = [reader.submit(self._read, b) for b in blocks[index + 1 : index + 2]]
                        block = self._begin(box, read_box)
                    waiting.append(writer.submit(self._finish, block))
                    if len(waiting) >= IN_FLIGHT:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                self.predictor.workers.shutdown(wait=True, cancel_futures=True)

    def waste(self, blocks: Sequence[Box]) -> float:
        """Return the number of voxels computed for each voxel written, estimated from some of the blocks."""
        some = blocks[:: 1 + len(blocks) // SAMPLED]
        cores = [core for block in some for core in self.predictor.cut(block)]
        return waste(self.predictor.plans, cores, self.predictor.blended)

    def _read(self, box: Box) -> ReadBox | None:
        """Read a block and its halo; nothing if the block lies outside of the mask."""
        if self.mask and not self.mask.has(box):
            return None
        with self.predictor.times.of("read"):
            return self.predictor.read(self.volume, self.normalisation, box, partial(self._checked, box))

    def _checked(self, box: Box, voxels: NDArray[Any]) -> NDArray[Any]:
        """Return the voxels that were read for a block, in mapped memory if they aren't copied to a device."""
        # With a mask the volume is a MaskedVolume, which checks what is inside; outside it is NaN.
        if self.mask is None and voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
            raise InputError(
                f"{self.volume.name}: holds NaN or infinity near {box.start}; only finite voxels can be segmented"
            )
        return voxels if self.predictor.transfers.is_copied else mapped_arrays.copied(voxels)

    def _begin(self, box: Box, read_box: ReadBox | None) -> Block:
        """Submit the tiles of a block to the workers."""
        shapes, dtypes = (
            [box.shape, (len(self.channels.names), *box.shape)],
            [np.dtype(np.uint8), self.channels.dtype],
        )
        if read_box is None:
            return Block(box, Results.on_host(list(map(mapped_arrays.zeros, shapes, dtypes))), [])
        results = self.predictor.transfers.results(shapes, dtypes)
        submit = self.predictor.workers.submit
        batches = list(self.predictor.batches(box, self.volume.shape))
        tiles = [submit(self._fill, read_box, cores, box, results) for cores in batches]
        if self.predictor.transfers.is_copied:
            tiles.append(submit(self._download, tuple(tiles), results))
        return Block(box, results, tiles)

    @torch.inference_mode()
    def _fill(self, read_box: ReadBox, cores: Sequence[Box], box: Box, results: Results) -> None:
        """Compute a batch of tiles of a block, and write their part of the results."""
        labels, channels = results.tensors
        with self.predictor.times.of("combine"):
            for found in self.predictor.pieces(read_box, cores):
                place = found.box.relative_to(box.start).slices
                self.channels.write_labels(found, labels[place])
                self.channels.write(found, channels[:, *place])

    def _download(self, tiles: Sequence[Future[None]], results: Results) -> None:
        """Begin to copy a block's results to the host; a GPU's only worker has put all tiles into the queue before."""
        wait(tiles)
        self.predictor.transfers.download(results)

    def _finish(self, block: Block) -> Box:
        """Wait for a block's tiles and write it."""
        for tile in block.tiles:
            finished(tile)
        labels, channels = block.results.arrays()
        if self.mask:
            self.mask.clear(block.box, labels, channels)
        self.write(block.box, labels, channels)
        self.predictor.transfers.release(block.results)
        give_back_freed_memory()  # else the heap is fragmented a little more by every block
        return block.box


def finished(tile: Future[Result]) -> Result:
    """Wait for a tile, and return its result.

    Raises:
        InputError: If the tile doesn't fit in memory.
    """
    with fitting(TILE_TOO_LARGE):
        return tile.result()


@contextmanager
def fitting(message: str) -> Iterator[None]:
    """Give an error one line, with the reason in place of ``{}``, if what is done meanwhile doesn't fit in memory.

    Raises:
        InputError: If what is done meanwhile runs out of memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise InputError(message.format(one_line(error))) from error
        raise
