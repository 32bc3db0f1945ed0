"""The parts of a plan: layers, stacks of them, the convolutions in them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import add, floordiv
from typing import Literal

from genenet.core.geometry import Triple, each


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
    dilation: int  # of the kernel
    groups: int  # of channels that the convolution keeps apart
    window_pool: int  # dilation of a 2×2 maximum of stride 1 between entry and convolution; 0 is none
    residual: bool  # the convolution's input is added to its output
    same: bool
    activation: str
    norm: str
    dropout_rate: float
    gamma1: float  # weights of the L1 and L2 penalties on the kernels, and on the activations
    gamma2: float
    lambda1: float
    lambda2: float

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
        if self.entry == "down" and self.pooling == "conv":
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
class Step:
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
        """Weights and biases, scales and shifts of a batch normalisation."""
        norm = 2 * self.layer.out_channels if self.layer and self.layer.norm == "batch" else 0
        return norm + sum(c.n_parameters for c in self.convolutions)

    @property
    def flops(self) -> int:
        """Operations of the convolutions for one image."""
        return sum(c.flops for c in self.convolutions)
