"""Blocks of a volume through the networks: reading ahead, tiles side by side, writing behind."""

from __future__ import annotations

import math
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from genenet.core import mapped_arrays
from genenet.core.errors import InputError, one_line
from genenet.core.resources import give_back_freed_memory
from genenet.networks.device import is_out_of_memory
from genenet.networks.tiling import waste

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from genenet.config.segmentation import Segmentation
    from genenet.core.geometry import Box
    from genenet.ensembles.ensemble import Ensemble
    from genenet.networks.predictor import Piece, Prediction, Predictor
    from genenet.volumes.base import Volume
    from genenet.volumes.masks import Mask
    from genenet.volumes.normalisation import Normalisation

IN_FLIGHT = 2  # blocks that are computed or written at the same time: no core waits for the last tile of one


SAMPLED = 64  # blocks that are looked at to say how much is halo


@dataclass(frozen=True)
class Channels:
    """What is stored of a prediction beside the labels, (C, Z, Y, X) of one type."""

    disagreement: bool
    probabilities: bool
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, settings: Segmentation) -> Channels:
        """Return those that the settings ask for."""
        return cls(settings.disagreement, settings.probabilities, np.dtype(settings.precision))

    def names(self, classes: Sequence[str]) -> list[str]:
        """Return their names."""
        more = ["disagreement"] if self.disagreement else []
        return ["uncertainty", *more, *(classes if self.probabilities else [])]

    def zeros(self, shape: tuple[int, ...], n_classes: int) -> NDArray[Any]:
        """Return an array for a block."""
        n = 1 + self.disagreement + n_classes * self.probabilities
        return mapped_arrays.zeros((n, *shape), self.dtype)

    @torch.inference_mode()
    def write(self, prediction: Prediction, into: NDArray[Any]) -> None:
        """Put a tile's channels into a view of the block's."""
        p = prediction.probabilities
        channels = [entropy(p)[None]]
        if prediction.disagreement is not None:
            channels.append(prediction.disagreement[None])
        if self.probabilities:
            channels.append(p)
        first = 0
        for values in channels:
            if self.dtype == np.uint8:
                values = values.mul(255).round_().to(torch.uint8)
            into[first : first + len(values)] = values.cpu().numpy()
            first += len(values)


def entropy(probabilities: torch.Tensor) -> torch.Tensor:
    """Return the entropy (Z, Y, X) of class probabilities (C, Z, Y, X) as a share of the largest possible: 0 to 1."""
    tiny = torch.finfo(probabilities.dtype).tiny
    terms = probabilities.clamp_min(tiny).log_().mul_(probabilities)
    return terms.sum(dim=0).div_(-math.log(len(probabilities))).clamp_(0, 1)


@dataclass(frozen=True)
class Block:
    """A block that tiles are filling."""

    box: Box
    labels: NDArray[np.uint8]
    channels: NDArray[Any]
    tiles: list[Future[None]]


@dataclass(frozen=True)
class Pipeline:
    """A predictor between a volume and what takes finished blocks: ``write(box, labels, channels)``.

    Outside of the mask, if there is one, nothing is computed, and all is 0.
    """

    predictor: Predictor
    volume: Volume
    normalisation: Normalisation
    channels: Channels
    write: Callable[[Box, NDArray[np.uint8], NDArray[Any]], None]
    mask: Mask | None = None

    @classmethod
    def of(
        cls,
        ensemble: Ensemble,
        settings: Segmentation,
        device: torch.device,
        volume: Volume,
        normalisation: Normalisation,
        write: Callable[[Box, NDArray[np.uint8], NDArray[Any]], None],
        mask: Mask | None = None,
    ) -> Pipeline:
        """Return the pipeline of an ensemble's networks, as the settings say."""
        predictor = ensemble.predictor(device, settings)
        return cls(predictor, volume, normalisation, Channels.of(settings), write, mask)

    def run(self, blocks: Sequence[Box]) -> Iterator[Box]:
        """Do all blocks in order; yield each when it is written.

        Three blocks and their outputs are in memory at most: one read ahead, two computed or written.

        Raises:
            InputError: If the volume can't be read, or holds voxels that aren't finite.
        """
        waiting: deque[Future[Box]] = deque()
        with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
            try:
                ahead = [reader.submit(self._read, block) for block in blocks[:1]]
                for index, box in enumerate(blocks):
                    piece = ahead.pop().result()
                    ahead = [reader.submit(self._read, b) for b in blocks[index + 1 : index + 2]]
                    waiting.append(writer.submit(self._finish, self._begin(box, piece)))
                    if len(waiting) >= IN_FLIGHT:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                self.predictor.workers.shutdown(wait=True, cancel_futures=True)

    def waste(self, blocks: Sequence[Box]) -> float:
        """Return how many voxels are computed for each that is written."""
        some = blocks[:: 1 + len(blocks) // SAMPLED]
        cores = [core for block in some for core in self.predictor.cut(block)]
        return waste(self.predictor.plans, cores, self.predictor.blended)

    def _read(self, box: Box) -> Piece | None:
        """Read what a block needs; nothing if none of it is to be segmented."""
        if self.mask and not self.mask.has(box):
            return None
        piece = self.predictor.read(self.volume, self.normalisation, box)
        if piece.data.dtype.kind == "f" and not np.isfinite(piece.data).all():
            raise InputError(
                f"{self.volume.name}: holds NaN or infinity near {box.start}; only finite voxels can be segmented"
            )
        return replace(piece, data=mapped_arrays.copied(piece.data))

    def _begin(self, box: Box, piece: Piece | None) -> Block:
        """Hand the tiles of a block to the workers."""
        labels = mapped_arrays.zeros(box.shape, np.uint8)
        channels = self.channels.zeros(box.shape, self.predictor.plans[0].n_classes)
        if piece is None:
            return Block(box, labels, channels, [])

        def fill(core: Box) -> None:
            prediction = self.predictor.predict(piece, core)
            place = core.relative_to(box.start).slices
            labels[place] = most_probable(prediction.probabilities)
            self.channels.write(prediction, channels[:, *place])

        submit = self.predictor.workers.submit
        return Block(box, labels, channels, [submit(fill, core) for core in self.predictor.cut(box)])

    def _finish(self, block: Block) -> Box:
        """Wait for a block's tiles and write it."""
        for tile in block.tiles:
            try:
                tile.result()
            except (MemoryError, RuntimeError) as error:
                if is_out_of_memory(error):
                    raise InputError(
                        f"a tile doesn't fit in memory ({one_line(error)}); lower segmentation.memory_mb (--memory-mb)"
                    ) from error
                raise
        if self.mask:
            self.mask.clear(block.box, block.labels, block.channels)
        self.write(block.box, block.labels, block.channels)
        give_back_freed_memory()  # or gaps of the size of blocks add up from block to block
        return block.box


@torch.inference_mode()
def most_probable(probabilities: torch.Tensor) -> NDArray[np.uint8]:
    """Return the class (Z, Y, X) of the largest of (C, Z, Y, X); of equal ones the first.

    Passes over planes, which processors do many voxels at a time, take a third of the time of ``max``, and a
    twentieth of that of ``argmax``.
    """
    n = len(probabilities)
    marks = torch.arange(n, 0, -1, dtype=torch.uint8, device=probabilities.device).view(-1, 1, 1, 1)
    is_largest = (probabilities == probabilities.amax(dim=0)).to(torch.uint8)
    found: NDArray[np.uint8] = (n - is_largest.mul_(marks).amax(dim=0)).cpu().numpy()
    return found
