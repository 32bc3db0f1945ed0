"""The parts of a plan: layers, stacks of them, the convolutions in them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import add, floordiv
from typing import Literal

from genenet.core.geometry import Triple, each
from genenet.genes.layer_parts import ACTIVATIONS, NORMS, PADDINGS, POOLINGS, SPATIAL_MODES


@dataclass(frozen=True)
class Layer:
    """A convolution layer; ``entry`` says what its input comes through."""

    path: str
    entry: Literal["forward", "down", "up"]  # up: with the merge
    pooling: str
    pool: Triple  # by how much down shrinks and up enlarges along z, y, x; 1 is not at all
    in_channels: int  # of the convolution; after up and merge
    out_channels: int
    kernel: Triple  # its width along z, y, x
    activation: str
    spatial_mode: str = "2d"
    dilation: int = 1  # of the kernel
    groups: int = 1  # of channels that the convolution keeps apart
    window_pool: int = 0  # dilation of a 2×2 maximum of stride 1 between entry and convolution; 0 is none
    residual: bool = False  # the convolution's input is added to its output
    padding: str = "valid"
    norm: str = "none"
    dropout_rate: float = 0.0
    gamma1: float = 0.0  # weights of the L1 and L2 penalties on the kernels, and on the activations; 0 is off
    gamma2: float = 0.0
    lambda1: float = 0.0
    lambda2: float = 0.0

    @property
    def same(self) -> bool:
        """Whether the convolution's output is as large as its input."""
        return PADDINGS[self.padding].keeps_size

    @property
    def has_depth(self) -> bool:
        """Whether it takes several slices at a time."""
        return SPATIAL_MODES[self.spatial_mode].n_axes == 3

    def details(self) -> list[str]:
        """Name what surrounds the convolution, and what is special about it, for tables and legends."""
        known = {
            f"dilation {self.dilation}": self.dilation > 1,
            f"{self.groups} groups": self.groups > 1,
            f"2 × 2 maximum before it, dilation {self.window_pool}": self.window_pool > 0,
            PADDINGS[self.padding].title: True,
            NORMS[self.norm].title: True,
            "residual": self.residual,
            ACTIVATIONS[self.activation].title: True,
            "dropout": self.dropout_rate > 0,
        }
        return [text for text, holds in known.items() if text and holds]

    @cached_property
    def reach(self) -> Triple:
        """Voxels along z, y, x between the first and the last that the kernel sees."""
        z, y, x = self.kernel
        return self.dilation * (z - 1), self.dilation * (y - 1), self.dilation * (x - 1)

    @property
    def window(self) -> Triple:
        """Voxels along z, y, x between the first and the last of which the maximum is taken."""
        return 0, self.window_pool, self.window_pool

    @cached_property
    def margin(self) -> Triple:
        """Voxels that the output is smaller than the input along z, y, x, both sides together."""
        return self.window if self.same else each(add, self.reach, self.window)

    @property
    def is_projected(self) -> bool:
        """Whether a 1×1 convolution brings the residual to the output's channels."""
        return self.residual and self.in_channels != self.out_channels

    def convolutions(self, channels: int, entered: Triple, shape: Triple) -> Iterator[Convolution]:
        """Yield all its convolutions, that of a pooling, the way up and a residual included.

        Args:
            channels: that come in.
            entered: voxels along z, y, x of the input after pooling or the way up.
            shape: of the output.
        """
        if self.entry == "down" and POOLINGS[self.pooling].is_convolution:
            yield Convolution(channels, channels, self.pool, entered)
        if self.entry == "up":
            yield Convolution(channels, self.out_channels, self.pool, each(floordiv, entered, self.pool))
        yield Convolution(self.in_channels, self.out_channels, self.kernel, shape, self.groups)
        if self.is_projected:
            yield Convolution(self.in_channels, self.out_channels, (1, 1, 1), shape)


@dataclass(frozen=True)
class Stack:
    """Layers at one scale."""

    scale: int
    is_encoder: bool
    layers: tuple[Layer, ...]

    @property
    def out_channels(self) -> int:
        """Channels after the last layer."""
        return self.layers[-1].out_channels


@dataclass(frozen=True)
class Convolution:
    """A convolution with bias; ``shape`` is that of the side with one voxel for each kernel position.

    With ``groups`` g, each g-th part of the output channels sees the same g-th part of the input channels only.
    """

    in_channels: int
    out_channels: int
    kernel: Triple
    shape: Triple
    groups: int = 1

    @property
    def n_weights(self) -> int:
        """Weights, without biases."""
        return self.in_channels // self.groups * self.out_channels * math.prod(self.kernel)

    @property
    def n_parameters(self) -> int:
        """Weights and biases."""
        return self.n_weights + self.out_channels

    @property
    def flops(self) -> int:
        """Operations for one image."""
        return 2 * self.n_weights * math.prod(self.shape)


@dataclass(frozen=True)
class LayerStep:
    """One layer at work: with voxels along z, y, x of its output; ``layer`` is None for the last convolution."""

    layer: Layer | None
    shape: Triple
    convolutions: tuple[Convolution, ...]

    @property
    def out_channels(self) -> int:
        """Channels that come out."""
        return self.layer.out_channels if self.layer else self.convolutions[0].out_channels

    @property
    def n_parameters(self) -> int:
        """Weights and biases of the convolutions, and those of the normalisation."""
        norm = NORMS[self.layer.norm].n_parameters * self.layer.out_channels if self.layer else 0
        return norm + sum(c.n_parameters for c in self.convolutions)

    @property
    def flops(self) -> int:
        """Operations of the convolutions for one image."""
        return sum(c.flops for c in self.convolutions)
