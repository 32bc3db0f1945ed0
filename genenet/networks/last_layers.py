"""What the last layers of a network read, computed once, so that these layers alone can be trained again.

::

    image ─► all stacks but the last ─► below, skip ─► last stack ─► features ─► head ─► logits
             frozen                     a piece

A piece holds what the last stack reads in order to write some labelled voxels, and not more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genenet.core.geometry import Box, tiles
from genenet.networks.crops import centre_crop
from genenet.networks.tiling import reading
from genenet.volumes.reflection import read_reflected

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from genenet.core.geometry import Triple
    from genenet.genes.layers import Layer
    from genenet.networks.network import Network
    from genenet.volumes.normalisation import Normalisation

PIECE, DEEP_PIECE = (1, 128, 128), (16, 64, 64)  # most voxels of a piece, without and with depth


@dataclass(frozen=True)
class Piece:
    """Labelled voxels, and what the last stack of a network reads in order to write them.

    Attributes:
        below: (B, C, …) what comes from below the last stack; B are the slices of a network without depth.
        skip: (B, C', …) what is merged; None if the last stack merges nothing.
        inside: where the voxels lie in the output of the last stack, along its spatial axes.
        labels: (B, …) their class ids, IGNORE where the class isn't known.
    """

    below: Tensor
    skip: Tensor | None
    inside: tuple[slice, ...]
    labels: Tensor

    def features(self, network: Network) -> Tensor:
        """Return the features (B, C, …) of the voxels, which the head maps to logits."""
        return network.last_stack(self.below, self.skip)[:, :, *self.inside]


def boxes_of_pieces(shape: Triple, has_depth: bool) -> list[Box]:
    """Cut a crop into boxes of the size of pieces."""
    return list(tiles(Box.of_shape(shape), DEEP_PIECE if has_depth else PIECE))


@torch.no_grad()
def piece_of(
    network: Network,
    image: NDArray[np.generic],
    labels: NDArray[np.uint8],
    normalisation: Normalisation,
    box: Box,
) -> Piece:
    """Compute what the last stack of a network reads for a box of a crop.

    Args:
        network: in evaluation mode.
        image: the crop (Z, Y, X); beyond its borders it is reflected.
        labels: (Z, Y, X) class ids.
        normalisation: of the crop's slices.
        box: in the crop.
    """
    plan, needs = network.plan, reading(network.plan, box)
    voxels = normalisation.apply(read_reflected(image, needs.read), needs.read.start[0])
    device = network.head.weight.device
    below, skip = network.before_last_stack(torch.from_numpy(voxels).to(device)[None, None])
    axes = (0, 1, 2) if plan.has_depth else (1, 2)
    layers = plan.stacks[-1].layers
    cuts = [_cut(layers, axis, needs.inside.slices[axis], below.shape[axis - 3]) for axis in axes]
    if skip is not None:
        frame = torch.Size(below.shape[axis - 3] * layers[0].pool[axis] for axis in axes)
        skip = centre_crop(skip, frame)[:, :, *(cut.frame for cut in cuts)].clone()
    below = below[:, :, *(cut.below for cut in cuts)].clone()
    truth = torch.from_numpy(labels[box.slices]).to(device)
    return Piece(below, skip, tuple(cut.inside for cut in cuts), truth[None] if plan.has_depth else truth)


@dataclass(frozen=True)
class _Cut:
    """What is kept along an axis: of the features below, of the frame that they are enlarged to, and of the output."""

    below: slice
    frame: slice
    inside: slice


def _cut(layers: Sequence[Layer], axis: int, inside: slice, n_below: int) -> _Cut:
    """Return what the last stack reads along an axis in order to write ``inside`` of its output.

    The frame is what enters its first convolution. Valid convolutions take off ``shrink`` voxels; same-padded ones see
    ``reach`` voxels on both sides, so the zeros with which they pad a cut reach no voxel inside::

        frame         0 ┈┈┈┈ first ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ last ┈┈┈┈
        is seen              ├─ reach ─┤█████ inside █████├─ shrink + reach ─┤
    """
    factor = layers[0].pool[axis] if layers[0].entry == "up" else 1
    shrink = sum(layer.margin[axis] for layer in layers)
    reach = sum(layer.reach[axis] // 2 for layer in layers if layer.same)
    first = max(0, (inside.start - reach) // factor)
    last = min(n_below, -(-(inside.stop + shrink + reach) // factor))
    begin = first * factor
    return _Cut(
        slice(first, last),
        slice(begin, last * factor),
        slice(inside.start - begin, inside.stop - begin),
    )
