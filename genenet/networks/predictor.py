"""Class probabilities of an ensemble, tile by tile. A single network is an ensemble of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from genenet.core.errors import InputError
from genenet.core.geometry import Box, tiles
from genenet.core.resources import TILE_BYTES
from genenet.networks.device import threads_of_one_core
from genenet.networks.mixture import Mixture, Prediction, piece_shape
from genenet.networks.read_box import ReadBox
from genenet.networks.stage_times import StageTimes
from genenet.networks.symmetry import Turn
from genenet.networks.tile_batch import TileBatch, View
from genenet.networks.tile_sizes import TileSizes
from genenet.networks.tiling import union
from genenet.networks.transfers import Transfers
from genenet.networks.volume_statistics import volume_statistics, with_statistics
from genenet.volumes.base import Volume
from genenet.volumes.normalisation import Normalisation
from genenet.volumes.reflection import read_reflected

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from genenet.core.geometry import Triple
    from genenet.core.outputs import Outputs
    from genenet.genes.plan import Plan
    from genenet.networks.network import Network
    from genenet.networks.volume_statistics import Statistics

Probabilities = NDArray[np.float32]
PIECE = (
    2**15
)  # voxels of a piece of a tile on the CPU: with 7 classes a megabyte, about a core's second cache


@dataclass(frozen=True)
class Predictor:
    """Networks on a device, in evaluation mode, and how their outputs are combined.

    Attributes:
        networks: the members.
        device: of the networks.
        weights: of the members, divided by their sum; None: equal weights.
        combination: average probabilities, or the votes for the most probable class.
        turns: symmetries under which the volume is predicted; each member's probabilities are averaged over them.
        disagreement: whether it is computed.
        type: of the arithmetic: bfloat16, or None for float32.
        memory_bytes: that a tile may take, on each core or on the GPU.
        tile: largest number of voxels written at a time, along z, y, x; None: chosen to fit.
        blended: same-padded networks read overlapping tiles of their training size, averaged with Gaussian
            weights. Otherwise each tile is read with its whole receptive field, which is exact but costs more.
        threads: CPU cores. Each computes its own tile: this is faster than sharing a tile, since cores don't wait for
            each other after each layer, and other processes slow it down less.
        times: of normalising and of the networks.
        tiles_at_once: of equal shape, that are computed together; None: one on the CPU, where a larger batch isn't
            faster, and as many as fit into ``memory_bytes`` on a GPU.
        piece_voxels: of a piece of a tile for which the members are combined at a time; None: few enough for the caches
            on the CPU, a whole tile on a GPU.
        is_copied: whether voxels and results are copied to the device and back; None: on a GPU only.
        outputs: of the networks, if some are borders of objects, which then count as their classes; None: probabilities
            are those of the outputs.
    """

    networks: Sequence[Network]
    device: torch.device
    weights: Sequence[float] | None = None
    combination: Literal["mean", "vote"] = "mean"
    turns: Sequence[Turn] = (Turn(),)
    disagreement: bool = False
    type: torch.dtype | None = None
    memory_bytes: float = TILE_BYTES
    tile: Triple | None = None
    blended: bool = False
    threads: int = field(default_factory=torch.get_num_threads)
    times: StageTimes = field(default_factory=StageTimes)
    tiles_at_once: int | None = None
    piece_voxels: int | None = None
    is_copied: bool | None = None
    outputs: Outputs | None = None

    def __post_init__(self) -> None:
        for network in self.networks:
            network.placed(self.device).eval()

    @cached_property
    def transfers(self) -> Transfers:
        """Copies between the host and the device."""
        return Transfers(self.device, self.is_copied)

    @cached_property
    def _view(self) -> View:
        return View(self.turns, self.blended, self.type)

    @cached_property
    def plans(self) -> list[Plan]:
        """The networks' plans."""
        return [network.plan for network in self.networks]

    @property
    def n_classes(self) -> int:
        """The number of classes that are predicted."""
        return len(self.outputs.classes) if self.outputs else self.plans[0].n_classes

    @cached_property
    def shares(self) -> list[float]:
        """The members' weights; their sum is 1."""
        weights = self.weights or [1.0] * len(self.networks)
        return [w / sum(weights) for w in weights]

    @cached_property
    def workers(self) -> ThreadPoolExecutor:
        """Threads that tiles are computed in; one if there is a GPU."""
        return threads_of_one_core(1 if self.device.type == "cuda" else self.threads, "tile")

    @cached_property
    def sizes(self) -> TileSizes:
        """How volumes are cut on the device."""
        on_gpu = self.device.type == "cuda"
        return TileSizes(self.plans, self.memory_bytes, 2 if self.type else 4, on_gpu)

    @cached_property
    def _tile_shape(self) -> Callable[[Triple], Triple]:
        """The shape of the tiles that a box of some shape is cut into; most boxes have the same shape."""
        return cache(self.sizes.tile)

    def statistics(
        self, volume: Volume, normalisation: Normalisation, mask: Volume | None = None
    ) -> list[Statistics]:
        """Return what must be fixed for a volume before it is predicted, for each network; see volume_statistics.

        If no network needs any, the list is empty.
        """
        if not self._needs_statistics:
            return []
        return [volume_statistics(network, volume, normalisation, mask) for network in self.networks]

    def with_statistics(self, statistics: Sequence[Statistics]) -> Predictor:
        """Return a predictor whose networks use these statistics; itself if no network needs any.

        Raises:
            InputError: If the statistics aren't those of the networks.
        """
        if not self._needs_statistics:
            return self
        if len(statistics) != len(self.networks):
            raise InputError(
                f"statistics of {len(self.networks)} networks are needed, not of {len(statistics)}"
            )
        return replace(self, networks=list(map(with_statistics, self.networks, statistics)))

    @property
    def _needs_statistics(self) -> bool:
        return any(plan.needs_statistics for plan in self.plans)

    def for_volume(
        self, volume: Volume, normalisation: Normalisation, mask: Volume | None = None
    ) -> Predictor:
        """Return the predictor of a volume: statistics of norms that depend on the volume are fixed."""
        return self.with_statistics(self.statistics(volume, normalisation, mask))

    def cut(self, box: Box) -> list[Box]:
        """Cut a box into the tiles in which it is computed."""
        return list(tiles(box, self.tile or self._tile_shape(box.shape)))

    def batches(self, box: Box, shape: Triple) -> Iterator[list[Box]]:
        """Cut a box of a volume of ``shape`` into tiles; yield those that are computed at once, which read alike."""
        alike: dict[tuple[tuple[Triple, Box], ...], list[Box]] = {}
        for core in self.cut(box):
            needs = (n for plan in self.plans for _, n in self._view.readings(plan, core, shape))
            alike.setdefault(tuple((r.read.shape, r.inside) for each in needs for r in each), []).append(core)
        for read, cores in alike.items():
            n = self.tiles_at_once or self.sizes.n_at_once({size for size, _ in read})
            yield from (cores[i : i + n] for i in range(0, len(cores), n))

    def needed(self, box: Box, shape: Triple) -> Box:
        """Return what all tiles of a box of a volume of ``shape`` read; it may reach beyond the volume."""
        return union([self._view.needed(self.plans, core, shape) for core in self.cut(box)])

    def read(
        self,
        volume: Volume,
        normalisation: Normalisation,
        box: Box,
        checked: Callable[[NDArray[Any]], NDArray[Any]] = lambda voxels: voxels,
    ) -> ReadBox:
        """Read once what all tiles of a box need; beyond its borders the volume is reflected.

        ``checked`` is given the voxels that were read and returns those that are used.
        """
        whole = self.needed(box, volume.shape)
        voxels = checked(read_reflected(volume, whole))
        return ReadBox.of(voxels, whole, volume.shape, normalisation, self.transfers.upload)

    @torch.inference_mode()
    def predict(self, read_box: ReadBox, core: Box) -> Prediction:
        """Return the ensemble's output for a tile; ``read_box`` holds the tile and what the networks read around it."""
        (found,) = self._pieces(read_box, [core], core.n_voxels)
        return found

    def pieces(self, read_box: ReadBox, cores: Sequence[Box]) -> Iterator[Prediction]:
        """Yield the ensemble's output for a batch of tiles, each cut into pieces that stay in a core's cache.

        It is for use in ``torch.inference_mode``.
        """
        n_voxels = self.piece_voxels or (PIECE if self.device.type == "cpu" else cores[0].n_voxels)
        return self._pieces(read_box, cores, n_voxels)

    def _pieces(self, read_box: ReadBox, cores: Sequence[Box], n_voxels: int) -> Iterator[Prediction]:
        batch = TileBatch(read_box, cores, self.plans, self._view, self.times)
        mixtures = [self._mixture(core) for core in cores]
        for left, network, share in zip(
            reversed(range(len(self.networks))), self.networks, self.shares, strict=True
        ):
            for core, mixture, seen in zip(cores, mixtures, batch.seen_by(network), strict=True):
                for place in tiles(Box.of_shape(core.shape), piece_shape(core.shape, n_voxels)):
                    found = mixture.add(place, seen(place), share, is_last=not left)
                    if not left:
                        yield found.with_classes(self.outputs) if self.outputs else found

    def _mixture(self, core: Box) -> Mixture:
        votes = self.combination == "vote"
        return Mixture(
            core, self.plans[0].n_classes, len(self.networks), self.device, votes, self.disagreement
        )

    def probabilities(self, volume: Volume, normalisation: Normalisation, box: Box) -> Probabilities:
        """Return the class probabilities, (C, Z, Y, X) float32, for a box of a volume.

        If ``disagreement`` is computed, it follows as one more channel.
        """
        read_box = self.read(volume, normalisation, box)
        n_channels = self.n_classes + self.disagreement
        results = self.transfers.results([(n_channels, *box.shape)], [np.float32], np.empty)

        @torch.inference_mode()
        def fill(cores: Sequence[Box]) -> None:
            for found in self.pieces(read_box, cores):
                place = found.box.relative_to(box.start).slices
                results.tensors[0][: self.n_classes, *place] = found.probabilities
                if found.disagreement is not None:
                    results.tensors[0][-1][place] = found.disagreement

        list(self.workers.map(fill, self.batches(box, volume.shape)))
        self.transfers.download(results)
        (array,) = results.arrays()
        if self.transfers.is_copied:
            array = array.copy()
            self.transfers.release(results)
        return array

    def slices(self, volume: Volume, normalisation: Normalisation) -> Iterator[tuple[int, Probabilities]]:
        """Yield z and what ``probabilities`` returns of each slice of a volume, (C, 1, Y, X)."""
        _, height, width = volume.shape
        for slab in tiles(Box.of_shape(volume.shape), (self.sizes.slab(volume.shape), height, width)):
            probabilities = self.probabilities(volume, normalisation, slab)
            for z in range(slab.shape[0]):
                yield slab.start[0] + z, probabilities[:, z : z + 1]
