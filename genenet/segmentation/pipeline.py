"""Segments the blocks of a volume: one is read while another is computed, tile by tile, and a third is written."""

from __future__ import annotations

import math
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from genenet.core import mapped_arrays
from genenet.core.errors import InputError, one_line
from genenet.core.resources import give_back_freed_memory
from genenet.metrics.calibration import FLOOR
from genenet.networks.device import is_out_of_memory
from genenet.networks.tiling import waste

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from genenet.config.segmentation import Segmentation
    from genenet.core.geometry import Box
    from genenet.networks.predictor import Predictor, ReadBox, TilePrediction
    from genenet.volumes.base import Volume
    from genenet.volumes.masks import Mask
    from genenet.volumes.normalisation import Normalisation

    # of a box, its labels (Z, Y, X) and its channels (C, Z, Y, X)
    WriteBlock = Callable[[Box, NDArray[np.uint8], NDArray[Any]], None]

Result = TypeVar("Result")
IN_FLIGHT = 2  # blocks computed or written at a time, so that no core waits for the last tile of a block
SAMPLED = 64  # blocks from which the share of halo is estimated


@dataclass(frozen=True)
class Channels:
    """The channels that are stored beside the labels, (C, Z, Y, X) of one type. Uncertainty is always the first.

    Attributes:
        disagreement: whether it is stored.
        probabilities: whether the classes' are stored.
        dtype: of all.
        temperature: of the probabilities; the uncertainty is then that of an error. None: probabilities stay as they
            are, and the uncertainty is their entropy. Labels don't depend on it.
    """

    disagreement: bool
    probabilities: bool
    dtype: np.dtype[Any]
    temperature: float | None = None

    @classmethod
    def of(cls, settings: Segmentation, temperature: float | None) -> Channels:
        """Return the channels that the settings ask for, with the temperature of the ensemble."""
        return cls(settings.disagreement, settings.probabilities, np.dtype(settings.precision), temperature)

    def names(self, classes: Sequence[str]) -> list[str]:
        """Return their names."""
        more = ["disagreement"] if self.disagreement else []
        return ["uncertainty", *more, *(classes if self.probabilities else [])]

    def zeros(self, shape: tuple[int, ...], n_classes: int) -> NDArray[Any]:
        """Return zeros for a block of ``shape`` (Z, Y, X)."""
        n = 1 + self.disagreement + n_classes * self.probabilities
        return mapped_arrays.zeros((n, *shape), self.dtype)

    @torch.inference_mode()
    def write(self, prediction: TilePrediction, into: NDArray[Any]) -> None:
        """Write the channels of a tile.

        Args:
            prediction: the tile's.
            into: (C, Z, Y, X), the tile's part of the block's array.
        """
        p, doubt = prediction.probabilities, entropy
        if self.temperature is not None:
            p, doubt = tempered(p, self.temperature), uncertainty
        distance = [] if prediction.disagreement is None else [prediction.disagreement]
        for channel, values in enumerate([doubt(p), *distance, *(p if self.probabilities else ())]):
            if self.dtype == np.uint8:
                values = values.mul(255).round_().to(torch.uint8)
            into[channel] = values.cpu().numpy()


def entropy(probabilities: torch.Tensor) -> torch.Tensor:
    """Return the entropy (Z, Y, X) of class probabilities (C, Z, Y, X), divided by its maximum log(C): 0 to 1."""
    tiny = torch.finfo(probabilities.dtype).tiny
    terms = probabilities.clamp_min(tiny).log_().mul_(probabilities)
    return terms.sum(dim=0).div_(-math.log(len(probabilities))).clamp_(0, 1)


def tempered(probabilities: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return class probabilities (C, Z, Y, X) with a temperature, as ``metrics.calibration.with_temperature`` does."""
    powers = probabilities.clamp(min=FLOOR).pow_(1 / temperature)
    return powers.div_(powers.sum(dim=0))


def uncertainty(probabilities: torch.Tensor) -> torch.Tensor:
    """Return the probability that the most probable class is wrong (Z, Y, X), of class probabilities (C, Z, Y, X)."""
    return probabilities.amax(dim=0).neg_().add_(1).clamp_(0, 1)


@dataclass(frozen=True)
class Block:
    """A block whose tiles are being computed."""

    box: Box
    labels: NDArray[np.uint8]
    channels: NDArray[Any]
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
            InputError: If the volume can't be read, or holds voxels that aren't finite.
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
                    read_box = ahead.pop().result()
                    ahead = [reader.submit(self._read, b) for b in blocks[index + 1 : index + 2]]
                    waiting.append(writer.submit(self._finish, self._begin(box, read_box)))
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
        with self.predictor.times.of("read"):
            return self._read_box(box)

    def _read_box(self, box: Box) -> ReadBox | None:
        if self.mask and not self.mask.has(box):
            return None
        read_box = self.predictor.read(self.volume, self.normalisation, box)
        # With a mask the volume is a MaskedVolume, which checks what is inside; outside it is NaN.
        if self.mask is None and read_box.data.dtype.kind == "f" and not np.isfinite(read_box.data).all():
            raise InputError(
                f"{self.volume.name}: holds NaN or infinity near {box.start}; only finite voxels can be segmented"
            )
        return replace(read_box, data=mapped_arrays.copied(read_box.data))

    def _begin(self, box: Box, read_box: ReadBox | None) -> Block:
        """Submit the tiles of a block to the workers."""
        labels = mapped_arrays.zeros(box.shape, np.uint8)
        channels = self.channels.zeros(box.shape, self.predictor.plans[0].n_classes)
        if read_box is None:
            return Block(box, labels, channels, [])

        def fill(core: Box) -> None:
            with self.predictor.times.of("combine"):
                prediction = self.predictor.predict(read_box, core)
                place = core.relative_to(box.start).slices
                labels[place] = most_probable(prediction.probabilities)
                self.channels.write(prediction, channels[:, *place])

        submit = self.predictor.workers.submit
        return Block(box, labels, channels, [submit(fill, core) for core in self.predictor.cut(box)])

    def _finish(self, block: Block) -> Box:
        """Wait for a block's tiles and write it."""
        for tile in block.tiles:
            finished(tile)
        if self.mask:
            self.mask.clear(block.box, block.labels, block.channels)
        self.write(block.box, block.labels, block.channels)
        give_back_freed_memory()  # else the heap is fragmented a little more by every block
        return block.box


def finished(tile: Future[Result]) -> Result:
    """Wait for a tile, and return its result.

    Raises:
        InputError: If the tile doesn't fit in memory.
    """
    try:
        return tile.result()
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise InputError(
                f"a tile doesn't fit in memory ({one_line(error)}); lower segmentation.memory_mb (--memory-mb)"
            ) from error
        raise


@torch.inference_mode()
def most_probable(probabilities: torch.Tensor) -> NDArray[np.uint8]:
    """Return the most probable class (Z, Y, X) of probabilities (C, Z, Y, X); in a tie, the first class.

    These vectorised passes take a third of the time of ``torch.max``, and a twentieth of that of ``torch.argmax``.
    """
    n = len(probabilities)
    marks = torch.arange(n, 0, -1, dtype=torch.uint8, device=probabilities.device).view(-1, 1, 1, 1)
    is_largest = (probabilities == probabilities.amax(dim=0)).to(torch.uint8)
    found: NDArray[np.uint8] = (n - is_largest.mul_(marks).amax(dim=0)).cpu().numpy()
    return found
