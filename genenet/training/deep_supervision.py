"""Deep supervision: the loss is also computed at lower scales of the decoder, through heads that only training has.

Lee et al. (2015), "Deeply-supervised nets"; the choice of scales and their weights are those of nnU-Net (Isensee et al.
2021).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import floordiv, mul
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from genenet.core.geometry import each
from genenet.networks.crops import crop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genenet.core.geometry import Triple
    from genenet.genes.plan import Plan
    from genenet.networks.network import Network


@dataclass(frozen=True)
class Matched:
    """Along one axis: the voxels of a feature map whose centres lie inside the labels, and the labels there.

    Attributes:
        first: the first of these voxels.
        labels: a slice of the labels, with one label for each of these voxels.
    """

    first: int
    labels: slice

    @property
    def count(self) -> int:
        """How many voxels these are."""
        return len(range(self.labels.start, self.labels.stop, self.labels.step))


def matched(n_voxels: int, stride: int, n_labels: int) -> Matched:
    """Match ``n_voxels`` of a feature map, each as wide as ``stride`` labels, with ``n_labels`` labels.

    Both have the same centre, since valid convolutions take off as much on one side as on the other. With valid
    convolutions the feature map covers more than the labels, so the centres of its outer voxels may lie outside. Four
    voxels of stride 4 and 10 labels::

        feature map  |    x  |    x  |    x  |    x  |     x: centre; of the two labels in the middle, the second
        labels              0 1 2 3 4 5 6 7 8 9            voxels 1 and 2 are matched with the labels 3 and 7
    """
    start = (n_labels - stride * n_voxels) // 2 + stride // 2
    centres = range(start, start + stride * n_voxels, stride)
    inside = [j for j, centre in enumerate(centres) if 0 <= centre < n_labels]
    if not inside:
        return Matched(0, slice(0, 0, stride))
    return Matched(inside[0], slice(centres[inside[0]], centres[inside[-1]] + 1, stride))


@dataclass(frozen=True)
class TaughtScale:
    """A scale of the decoder at which a loss is computed.

    Attributes:
        scale: 0 is the network's own output.
        channels: of the decoder's features.
        axes: z, y, x.
    """

    scale: int
    channels: int
    axes: tuple[Matched, Matched, Matched]

    @property
    def n_voxels(self) -> int:
        """Voxels that are compared with labels."""
        z, y, x = (axis.count for axis in self.axes)
        return z * y * x

    def reduced(self, labels: Tensor) -> Tensor:
        """Return the labels (B, Z, Y, X), or weights, at the centres of the features' voxels."""
        z, y, x = (axis.labels for axis in self.axes)
        return labels[:, z, y, x]


def levels(plan: Plan) -> list[TaughtScale]:
    """Return the levels of a network, by scale from 0: all of the decoder's but the two lowest scales.

    Those are too coarse to be compared with labels, as in nnU-Net. A network of two poolings keeps scale 1; one of
    fewer has level 0 alone. A scale none of whose voxels has its centre inside the labels is left out.
    """
    lowest = max(plan.n_poolings - 2, 1) if plan.n_poolings > 1 else 0
    of_scales = {level.scale: level for level in _levels(plan)}
    return [of_scales[scale] for scale in range(lowest + 1) if of_scales[scale].n_voxels]


def _levels(plan: Plan) -> Iterator[TaughtScale]:
    """Yield a level for each stack of the decoder, the lowest scale first."""
    stride: Triple = (1, 1, 1)  # voxels of the input, and of the labels, along an axis for one of the layer
    stacks = [stack for stack in plan.stacks for _ in stack.layers]
    for stack, (layer, _, shape) in zip(stacks, plan.shapes(), strict=True):
        if layer.entry != "forward":
            stride = each(mul if layer.entry == "down" else floordiv, stride, layer.pool)
        if layer is stack.layers[-1] and not stack.is_encoder:
            yield TaughtScale(
                stack.scale, layer.out_channels, each(matched, shape, stride, plan.output_shape)
            )


@dataclass(frozen=True)
class Target:
    """What one output of a network is compared with.

    Attributes:
        labels: (B, Z, Y, X).
        weights: (B, Z, Y, X) of the voxels; None: all 1.
        share: weight of the output's loss.
    """

    labels: Tensor
    weights: Tensor | None
    share: float

    def part(self, cut: slice) -> Target:
        """Return the target of some patches of the batch."""
        return replace(
            self, labels=self.labels[cut], weights=None if self.weights is None else self.weights[cut]
        )


class Head(nn.Module):
    """A 1×1 convolution to the classes, of those voxels that are compared with labels."""

    def __init__(self, level: TaughtScale, network: Network, generator: torch.Generator) -> None:
        super().__init__()
        self.axes: tuple[Matched, ...] = level.axes[3 - network.modules_of.n_axes :]
        conv = network.modules_of.conv(level.channels, network.plan.n_classes, 1)
        assert isinstance(conv, nn.Conv2d | nn.Conv3d)
        assert conv.bias is not None
        nn.init.xavier_uniform_(conv.weight, generator=generator)
        nn.init.zeros_(conv.bias)
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, …) to logits (B, n_classes, …)."""
        x = crop(x, [axis.first for axis in self.axes], [axis.count for axis in self.axes])
        return self.conv(x)  # type: ignore[no-any-return]


class SupervisedNetwork(nn.Module):
    """A network as it is trained: with a head at each lower scale that has a loss of its own.

    The heads belong to the training. The network's own output doesn't depend on them, and they aren't stored with its
    weights.

    Attributes:
        network: the network.
        heads: by scale, without 0; none without deep supervision.
        levels: one for each output, by scale from 0.
        shares: weights of the outputs' losses: 2^-scale, scaled to the sum 1.
    """

    def __init__(self, network: Network, deep: bool, seed: int) -> None:
        """Add heads to a network if ``deep``: Xavier-uniform weights from ``seed``, zero biases, as the network's."""
        super().__init__()
        self.network = network
        self.levels = levels(network.plan) if deep else []
        generator = torch.Generator().manual_seed(seed)
        self.heads = nn.ModuleDict(
            {str(level.scale): Head(level, network, generator) for level in self.levels[1:]}
        )
        factors = [2.0**-level.scale for level in self.levels] or [1.0]
        self.shares = [factor / sum(factors) for factor in factors]

    def placed(self, device: torch.device) -> SupervisedNetwork:
        """Move to a device, in the memory format that is fastest to train; returns itself."""
        self.network.placed(device, to_train=True)
        self.heads.to(device)
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map (B, 1, Z, Y, X) to the logits (B, n_classes, …) of each level."""
        return self.network.deep_logits(images, {int(scale): head for scale, head in self.heads.items()})

    def targets(self, labels: Tensor, weights: Tensor | None) -> list[Target]:
        """Return what each output is compared with: labels (B, Z, Y, X), and weights, reduced to its voxels."""
        own, *lower = self.shares
        found = [Target(labels, weights, own)]
        for level, share in zip(self.levels[1:], lower, strict=True):
            of_voxels = None if weights is None else level.reduced(weights)
            found.append(Target(level.reduced(labels), of_voxels, share))
        return found
