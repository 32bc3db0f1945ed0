"""What networks say of tiles of equal shape, which each network computes at once."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import torch

from genenet.core.geometry import Box
from genenet.networks.symmetry import Turn
from genenet.networks.tiling import Reading, readings, union

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from genenet.core.geometry import Triple
    from genenet.genes.plan import Plan
    from genenet.networks.network import Network
    from genenet.networks.read_box import NormalisedBox, ReadBox
    from genenet.networks.stage_times import StageTimes

    # returns the probabilities (C, Z, Y, X) of a piece of a tile, a box counted from the tile's corner
    Seen = Callable[[Box], torch.Tensor]
STEPS = 2.0**24  # probabilities of turned tiles are summed as integers, multiples of 1/STEPS, so in any order
AS_IT_IS = Turn()


@dataclass(frozen=True)
class View:
    """How networks look at tiles.

    Attributes:
        turns: symmetries under which the volume is predicted; each member's probabilities are averaged over them.
        blended: same-padded networks read overlapping tiles of their training size, averaged with Gaussian weights.
        type: of the arithmetic: bfloat16, or None for float32.
    """

    turns: Sequence[Turn]
    blended: bool
    type: torch.dtype | None

    def readings(self, plan: Plan, core: Box, shape: Triple) -> list[tuple[Turn, list[Reading]]]:
        """Return what a network reads for a tile under each symmetry, in coordinates of the turned volume.

        Args:
            plan: of the network.
            core: the tile.
            shape: of the volume.
        """
        return [(turn, readings(plan, turn.box(core, shape), self.blended)) for turn in self.turns]

    def needed(self, plans: Sequence[Plan], core: Box, shape: Triple) -> Box:
        """Return the box that holds all that networks read for a tile; it may reach beyond the volume."""
        return union(
            [
                turn.box_back(each.read, shape)
                for plan in plans
                for turn, needs in self.readings(plan, core, shape)
                for each in needs
            ]
        )


class TileBatch:
    """Tiles of which all networks read boxes of the same shapes.

    Their voxels are normalised once, for all networks and symmetries.

    Args:
        read_box: holds what is read.
        cores: the tiles, boxes in the volume.
        plans: of all networks.
        view: how they look.
        times: of normalising and of the networks.
    """

    def __init__(
        self, read_box: ReadBox, cores: Sequence[Box], plans: Sequence[Plan], view: View, times: StageTimes
    ) -> None:
        self._cores, self._shape, self._view, self._times = cores, read_box.shape, view, times
        with times.of("normalise"):
            self._inputs: list[NormalisedBox] = [
                read_box.normalised(view.needed(plans, core, read_box.shape)) for core in cores
            ]

    def seen_by(self, network: Network) -> list[Seen]:
        """Let a network compute the tiles; return a function for each tile that returns the probabilities of a piece.

        If every tile is read once and as it is, the function computes them from the logits of the piece.
        """
        needs = [readings(network.plan, core, self._view.blended) for core in self._cores]
        if tuple(self._view.turns) == (AS_IT_IS,) and len(needs[0]) == 1:
            return [
                partial(_softmax, each) for each in self._logits(network, [n[0] for n in needs], AS_IT_IS)
            ]
        return [partial(_part, mean) for mean in self._mean_over_turns(network)]

    def _mean_over_turns(self, network: Network) -> list[torch.Tensor]:
        """Return a network's probabilities (C, Z, Y, X) of each tile, the mean over all turns."""
        turns = self._view.turns
        if len(turns) == 1:
            return self._seen_under(turns[0], network)
        totals: list[torch.Tensor] = []
        for turn in turns:
            whole = [p.mul_(STEPS).round_().to(torch.int32) for p in self._seen_under(turn, network)]
            totals = [total.add_(p) for total, p in zip(totals, whole, strict=True)] if totals else whole
        return [total.float().div_(STEPS * len(turns)) for total in totals]

    def _seen_under(self, turn: Turn, network: Network) -> list[torch.Tensor]:
        """Return a network's probabilities of each tile, predicted under one symmetry."""
        there = [turn.box(core, self._shape) for core in self._cores]
        needs = [readings(network.plan, box, self._view.blended) for box in there]
        blends = [Blend(network.plan, box, self._inputs[0].voxels.device) for box in there]
        found: list[torch.Tensor] = []
        for of_all in zip(*needs, strict=True):  # one reading of each tile
            found = [x.float().softmax(dim=0) for x in self._logits(network, of_all, turn)]
            if len(needs[0]) > 1:
                for blend, each, p in zip(blends, of_all, found, strict=True):
                    blend.add(each, p)
        if len(needs[0]) > 1:
            found = [blend.mean() for blend in blends]
        return found if turn == AS_IT_IS else [turned_back(p, turn) for p in found]

    def _logits(self, network: Network, needs: Sequence[Reading], turn: Turn) -> list[torch.Tensor]:
        """Return the logits (C, Z, Y, X) that a network writes for one reading of each tile, seen under a symmetry."""
        with self._times.of("normalise"):
            voxels = [
                turned(tile.part(turn.box_back(each.read, self._shape)), turn)
                for tile, each in zip(self._inputs, needs, strict=True)
            ]
            batch = torch.stack(voxels) if len(voxels) > 1 else voxels[0][None].contiguous()
        with self._times.of("compute"), self._precision(batch.device):
            logits = network.planes(batch)
        return [logits[:, i, *each.inside.slices] for i, each in enumerate(needs)]

    def _precision(self, device: torch.device) -> AbstractContextManager[Any]:
        return torch.autocast(device.type, dtype=self._view.type) if self._view.type else nullcontext()


class Blend:
    """The mean of overlapping tiles of the training size, with Gaussian weights.

    Args:
        plan: of the network.
        box: that is written.
        device: of the mean.
    """

    def __init__(self, plan: Plan, box: Box, device: torch.device) -> None:
        self._plan, self._box, self._device = plan, box, device
        self._total: torch.Tensor | None = None

    def add(self, reading: Reading, probabilities: torch.Tensor) -> None:
        """Add what was computed from one reading."""
        if self._total is None:
            self._total = torch.zeros((self._plan.n_classes + 1, *self._box.shape), device=self._device)
        weight = _weights(self._plan.input_shape, self._device)[reading.inside.slices]
        place = (slice(None), *reading.core.relative_to(self._box.start).slices)
        self._total[place][:-1] += probabilities * weight
        self._total[place][-1] += weight

    def mean(self) -> torch.Tensor:
        """Return the probabilities (C, Z, Y, X)."""
        assert self._total is not None
        return self._total[:-1] / self._total[-1]


def _softmax(logits: torch.Tensor, place: Box) -> torch.Tensor:
    return logits[:, *place.slices].float().softmax(dim=0)


def _part(probabilities: torch.Tensor, place: Box) -> torch.Tensor:
    return probabilities[:, *place.slices]


def gaussian(shape: Triple) -> torch.Tensor:
    """Return weights (Z, Y, X) that fall off from the centre, by a deviation of an eighth of each size."""
    along = [torch.arange(n, dtype=torch.float32).sub_((n - 1) / 2).div_(max(n, 2) / 8) for n in shape]
    z, y, x = (torch.exp(-t.square() / 2) for t in along)
    return torch.einsum("z,y,x->zyx", z, y, x)


@lru_cache(8)
def _weights(shape: Triple, device: torch.device) -> torch.Tensor:
    """Return ``gaussian`` on a device; it is computed and copied there once, since a GPU waits for such a copy."""
    return gaussian(shape).to(device)


def turned(values: torch.Tensor, turn: Turn) -> torch.Tensor:
    """Turn the last three axes of (…, Z, Y, X), as ``Turn`` does; the identity returns the values themselves."""
    flips = [axis for axis, flip in ((-3, turn.flip_z), (-1, turn.flip_x)) if flip]
    rotated = values.rot90(turn.quarters, (-2, -1)) if turn.quarters % 4 else values
    return rotated.flip(flips) if flips else rotated


def turned_back(values: torch.Tensor, turn: Turn) -> torch.Tensor:
    """Undo a turn of (…, Z, Y, X)."""
    flips = [axis for axis, flip in ((-3, turn.flip_z), (-1, turn.flip_x)) if flip]
    unflipped = values.flip(flips) if flips else values  # flip copies, even along no axis
    return unflipped.rot90(-turn.quarters, (-2, -1))
