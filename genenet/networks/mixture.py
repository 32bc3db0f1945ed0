"""How the outputs of an ensemble's members become one, piece by piece of a tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from genenet.core.geometry import Box, Triple


@dataclass(frozen=True)
class Prediction:
    """An ensemble's output for a box, on its device.

    Attributes:
        box: in the volume.
        probabilities: (C, Z, Y, X) float32, the members' weighted mean, or their votes.
        disagreement: (Z, Y, X), the weighted mean of the members' squared distances from that mean, 0 to 1:
            the ambiguity of Krogh and Vedelsby (1995), eq. 6, summed over classes. None unless asked for.
    """

    box: Box
    probabilities: torch.Tensor
    disagreement: torch.Tensor | None


class Mixture:
    """The sum over members for a tile. With one member nothing is summed, and nothing is kept.

    Args:
        tile: the box in the volume.
        n_classes: of the members.
        n_members: of the ensemble.
        device: of the sum.
        votes: whether a member's vote for its most probable class counts, instead of its probabilities.
        disagreement: whether it is computed.
    """

    def __init__(
        self,
        tile: Box,
        n_classes: int,
        n_members: int,
        device: torch.device,
        votes: bool,
        disagreement: bool,
    ) -> None:
        self._tile, self._votes = tile, votes
        self._sum = torch.zeros((n_classes, *tile.shape), device=device) if n_members > 1 else None
        self._squares = torch.zeros(tile.shape, device=device) if disagreement else None

    def add(self, place: Box, member: torch.Tensor, share: float, is_last: bool) -> Prediction:
        """Add a member's probabilities of a piece of the tile.

        Args:
            place: the piece, counted from the tile's corner.
            member: (C, Z, Y, X), its probabilities.
            share: its weight; those of all members have the sum 1.
            is_last: whether no member follows; the disagreement is computed only then.

        Returns:
            The sum of the members so far.
        """
        if self._votes:
            member = torch.zeros_like(member).scatter_(0, member.argmax(dim=0)[None], 1.0)
        squares = None
        if self._squares is not None:
            squares = self._squares[place.slices].add_(share * member.square().sum(dim=0))
        total = member
        if self._sum is not None:
            total = self._sum[:, *place.slices].add_(member, alpha=share)
        apart = None
        if squares is not None and is_last:
            apart = (squares - total.square().sum(dim=0)).clamp_(min=0)
        return Prediction(place.shift(self._tile.start), total, apart)


def piece_shape(tile: Triple, n_voxels: int) -> Triple:
    """Return the shape of pieces, of whole rows, into which a tile is cut so that each has about so many voxels."""
    _, y, x = tile
    rows = max(1, n_voxels // x)
    return max(1, rows // y), min(rows, y), x
