"""Class probabilities of an ensemble, tile by tile. A single network is an ensemble of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, reduce
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from genenet.core.errors import InputError
from genenet.core.geometry import Box, tiles
from genenet.networks.stage_times import StageTimes
from genenet.networks.symmetry import Turn
from genenet.networks.tile_sizes import tile_shape
from genenet.networks.tiling import Reading, readings, union
from genenet.networks.volume_statistics import volume_statistics, with_statistics
from genenet.volumes.base import Volume
from genenet.volumes.normalisation import Normalisation
from genenet.volumes.reflection import read_reflected

if TYPE_CHECKING:
    from genenet.core.geometry import Triple
    from genenet.genes.plan import Plan
    from genenet.networks.network import Network
    from genenet.networks.volume_statistics import Statistics

Probabilities = NDArray[np.float32]
MEMORY_BYTES = 1e9  # of a tile, on each core
SLAB = 16  # slices that networks with depth write at a time when slices are asked for one by one
STEPS = 2.0**24  # probabilities of turned tiles are summed as integers, multiples of 1/STEPS, so in any order


@dataclass(frozen=True)
class ReadBox:
    """The raw voxels of a read box: the voxels that a network writes, and the halo around them."""

    data: NDArray[np.generic]
    box: Box
    shape: Triple  # of the volume
    normalisation: Normalisation

    def normalised(self, box: Box) -> NDArray[np.float32]:
        """Return the voxels of a box, ready for a network."""
        inside = self.data[box.relative_to(self.box.start).slices]
        return self.normalisation.apply(inside, box.start[0])


@dataclass(frozen=True)
class TilePrediction:
    """An ensemble's output for a tile, on its device.

    Attributes:
        probabilities: (C, Z, Y, X) float32, the members' weighted mean, or their votes.
        disagreement: (Z, Y, X), the weighted mean of the members' squared distances from that mean, 0 to 1:
            the ambiguity of Krogh and Vedelsby (1995), eq. 6, summed over classes. None unless asked for.
    """

    probabilities: torch.Tensor
    disagreement: torch.Tensor | None


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
    """

    networks: Sequence[Network]
    device: torch.device
    weights: Sequence[float] | None = None
    combination: Literal["mean", "vote"] = "mean"
    turns: Sequence[Turn] = (Turn(),)
    disagreement: bool = False
    type: torch.dtype | None = None
    memory_bytes: float = MEMORY_BYTES
    tile: Triple | None = None
    blended: bool = False
    threads: int = field(default_factory=torch.get_num_threads)
    times: StageTimes = field(default_factory=StageTimes)

    def __post_init__(self) -> None:
        for network in self.networks:
            network.placed(self.device).eval()

    @cached_property
    def plans(self) -> list[Plan]:
        """The networks' plans."""
        return [network.plan for network in self.networks]

    @cached_property
    def shares(self) -> list[float]:
        """The members' weights; their sum is 1."""
        weights = self.weights or [1.0] * len(self.networks)
        return [w / sum(weights) for w in weights]

    @cached_property
    def workers(self) -> ThreadPoolExecutor:
        """Threads that tiles are computed in; one if there is a GPU."""
        n_threads = torch.get_num_threads()
        pool = ThreadPoolExecutor(1 if self.device.type == "cuda" else self.threads, "tile", _use_one_core)
        pool.submit(int).result()
        torch.set_num_threads(n_threads)  # of this thread; the others keep theirs
        return pool

    @cached_property
    def _tile_shape(self) -> Callable[[Triple], Triple]:
        """The shape of the tiles that a box of some shape is cut into; most boxes have the same shape."""
        return cache(lambda shape: tile_shape(self.plans, shape, self.memory_bytes, 2 if self.type else 4))

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

    def read(self, volume: Volume, normalisation: Normalisation, box: Box) -> ReadBox:
        """Read once what all tiles of a box need; beyond its borders the volume is reflected."""
        needed = [
            turn.box_back(needs.read, volume.shape)
            for core in self.cut(box)
            for plan in self.plans
            for turn in self.turns
            for needs in readings(plan, turn.box(core, volume.shape), self.blended)
        ]
        whole = union(needed)
        return ReadBox(read_reflected(volume, whole), whole, volume.shape, normalisation)

    @torch.inference_mode()
    def predict(self, read_box: ReadBox, core: Box) -> TilePrediction:
        """Return the ensemble's output for a tile; ``read_box`` holds the tile and what the networks read around it."""
        mean: torch.Tensor | None = None
        squares: torch.Tensor | None = None
        for network, share in zip(self.networks, self.shares, strict=True):
            member = self._member(network, read_box, core)
            if self.combination == "vote":
                votes = member.argmax(dim=0)
                member = torch.zeros_like(member).scatter_(0, votes[None], 1.0)
            if self.disagreement:
                of_member = share * member.square().sum(dim=0)
                squares = of_member if squares is None else squares.add_(of_member)
            mean = member.mul_(share) if mean is None else mean.add_(member, alpha=share)
        assert mean is not None
        distance = None if squares is None else squares.sub_(mean.square().sum(dim=0)).clamp_(min=0)
        return TilePrediction(mean, distance)

    def _member(self, network: Network, read_box: ReadBox, core: Box) -> torch.Tensor:
        """Return a network's probabilities (C, Z, Y, X), the mean over all turns."""
        if len(self.turns) == 1:
            return self._seen_by(network, read_box, core, self.turns[0])
        seen = (self._seen_by(network, read_box, core, turn) for turn in self.turns)
        total = reduce(torch.Tensor.add_, (p.mul_(STEPS).round_().to(torch.int32) for p in seen))
        return total.float().div_(STEPS * len(self.turns))

    def _seen_by(self, network: Network, read_box: ReadBox, core: Box, turn: Turn) -> torch.Tensor:
        """Return a network's probabilities of a box, predicted under one symmetry."""
        there = turn.box(core, read_box.shape)
        needs = readings(network.plan, there, self.blended)
        if len(needs) == 1:
            found = self._read_by(network, read_box, needs[0], turn)
        else:
            found = self._blend(network, read_box, there, needs, turn)
        return found if turn == Turn() else turned_back(found, turn)

    def _blend(
        self, network: Network, read_box: ReadBox, box: Box, needs: Sequence[Reading], turn: Turn
    ) -> torch.Tensor:
        weights = gaussian(network.plan.input_shape).to(self.device)
        total = torch.zeros((network.plan.n_classes + 1, *box.shape), device=self.device)
        for each in needs:
            place = (slice(None), *each.core.relative_to(box.start).slices)
            weight = weights[each.inside.slices]
            total[place][:-1] += self._read_by(network, read_box, each, turn) * weight
            total[place][-1] += weight
        return total[:-1] / total[-1]

    def _read_by(self, network: Network, read_box: ReadBox, needs: Reading, turn: Turn) -> torch.Tensor:
        with self.times.of("normalise"):
            voxels = np.ascontiguousarray(
                turn(read_box.normalised(turn.box_back(needs.read, read_box.shape)))
            )
        with self.times.of("compute"), self._precision():
            logits = network.planes(torch.from_numpy(voxels).to(self.device))
        return logits[:, *needs.inside.slices].float().softmax(dim=0)

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, dtype=self.type) if self.type else nullcontext()

    def probabilities(self, volume: Volume, normalisation: Normalisation, box: Box) -> Probabilities:
        """Return the class probabilities, (C, Z, Y, X) float32, for a box of a volume."""
        read_box = self.read(volume, normalisation, box)
        result = np.empty((self.plans[0].n_classes, *box.shape), np.float32)

        def fill(core: Box) -> None:
            place = core.relative_to(box.start).slices
            result[:, *place] = self.predict(read_box, core).probabilities.cpu().numpy()

        list(self.workers.map(fill, self.cut(box)))
        return result

    def slices(self, volume: Volume, normalisation: Normalisation) -> Iterator[tuple[int, Probabilities]]:
        """Yield z and the probabilities (C, 1, Y, X) of each slice of a volume."""
        _, height, width = volume.shape
        depth = SLAB if any(plan.has_depth for plan in self.plans) else 1
        for slab in tiles(Box.of_shape(volume.shape), (depth, height, width)):
            probabilities = self.probabilities(volume, normalisation, slab)
            for z in range(slab.shape[0]):
                yield slab.start[0] + z, probabilities[:, z : z + 1]


def _use_one_core() -> None:
    """Let torch use one core in this thread, also if another thread sets another number afterwards.

    A thread adopts the number that any thread set last when it needs it for the first time; asking for it here is that
    first time.
    """
    torch.set_num_threads(1)
    torch.get_num_threads()


def gaussian(shape: Triple) -> torch.Tensor:
    """Return weights (Z, Y, X) that fall off from the centre, by a deviation of an eighth of each size."""
    along = [torch.arange(n, dtype=torch.float32).sub_((n - 1) / 2).div_(max(n, 2) / 8) for n in shape]
    z, y, x = (torch.exp(-t.square() / 2) for t in along)
    return torch.einsum("z,y,x->zyx", z, y, x)


def turned_back(values: torch.Tensor, turn: Turn) -> torch.Tensor:
    """Undo a turn of (…, Z, Y, X)."""
    flips = [axis for axis, flip in ((-3, turn.flip_z), (-1, turn.flip_x)) if flip]
    unflipped = values.flip(flips) if flips else values  # flip copies, even along no axis
    return unflipped.rot90(-turn.quarters, (-2, -1))


def to_uint8(probabilities: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Store 0 … 1 in 255 steps."""
    levels: NDArray[np.uint8] = np.rint(probabilities * np.float32(255)).astype(np.uint8)
    return levels
