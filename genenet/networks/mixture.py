"""How the outputs of an ensemble's members become one, piece by piece of a tile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.core.geometry import Box, Triple
    from genenet.core.outputs import Outputs


@dataclass(frozen=True)
class Prediction:
    """An ensemble's output for a box, on its device.

    Attributes:
        box: in the volume.
        probabilities: (C, Z, Y, X) float32, the members' weighted mean, or their votes.
        disagreement: (Z, Y, X), the weighted mean of the members' squared distances from that mean, 0 to 1:
            the ambiguity of Krogh and Vedelsby (1995), eq. 6, summed over the outputs. None unless asked for.
        of_objects: for each object class, the probability (Z, Y, X) that a voxel belongs to an object, and that it is
            its border; empty if there are no such classes.
    """

    box: Box
    probabilities: torch.Tensor
    disagreement: torch.Tensor | None
    of_objects: Sequence[tuple[torch.Tensor, torch.Tensor]] = ()

    def with_classes(self, outputs: Outputs) -> Prediction:
        """Return the prediction with class probabilities, if the present ones are of outputs that contain borders."""
        if not outputs.objects:
            return self
        p = self.probabilities
        classes = p[: len(outputs.classes)].clone()
        for border, of in outputs.borders:
            classes[of] += p[border]
        objects = [
            (p[outputs.parts(number)].sum(dim=0), p[border])
            for number, (border, _) in enumerate(outputs.borders)
        ]
        return replace(self, probabilities=classes, of_objects=objects)


class Mixture:
    """The sum over members for a tile. With one member nothing is summed, and nothing is kept.

    Args:
        tile: the box in the volume.
        n_outputs: of the members.
        n_members: of the ensemble.
        device: of the sum.
        votes: whether a member's vote for its most probable class counts, instead of its probabilities.
        disagreement: whether it is computed.
    """

    def __init__(
        self,
        tile: Box,
        n_outputs: int,
        n_members: int,
        device: torch.device,
        votes: bool,
        disagreement: bool,
    ) -> None:
        self._tile, self._votes = tile, votes
        self._sum = torch.zeros((n_outputs, *tile.shape), device=device) if n_members > 1 else None
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
