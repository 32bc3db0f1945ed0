"""The parts of a plan: layers, made from their genes; stacks of layers; the convolutions in a layer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from operator import add, floordiv
from typing import TYPE_CHECKING, Literal

from genenet.core.errors import InputError
from genenet.core.geometry import Triple, each
from genenet.genes.layer_parts import ACTIVATIONS, NORMS, PADDINGS, POOLINGS, SPATIAL_MODES

if TYPE_CHECKING:
    from genenet.genes.gene_graph import ConvLayerGene

OFF = -10.0  # log10 of a penalty's weight below which it is off


@dataclass(frozen=True)
class Layer:
    """A convolution layer; ``entry`` is the kind of the edge that its input comes through."""

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
    def needs_statistics(self) -> bool:
        """Whether statistics of a volume must be fixed before the layer predicts it."""
        return bool(NORMS[self.norm].fixed_as)

    @property
    def has_depth(self) -> bool:
        """Whether it takes several slices at a time."""
        return SPATIAL_MODES[self.spatial_mode].n_axes == 3

    def details(self) -> list[str]:
        """Return the layer's other parts and special properties in words, for tables and legends."""
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


def layer_of(gene: ConvLayerGene, in_channels: int, pool: Triple | None) -> Layer:
    """Describe a layer; ``pool`` is given where it undoes another layer's."""
    entry = gene.entry[0]
    assert entry != "merge"  # up comes first
    assert entry != "residual"  # it comes last
    width, is_deep = gene.integer("kernel_width"), SPATIAL_MODES[gene.spatial_mode].has_deep_kernel
    own_pool = (1, 1, 1) if entry == "forward" else (2 if is_deep else 1, 2, 2)
    layer = Layer(
        path=gene.path,
        entry=entry,
        pooling=str(gene.children[0].choice("pooling")),
        pool=pool or own_pool,
        in_channels=in_channels,
        out_channels=gene.n_channels,
        kernel=(width if is_deep else 1, width, width),
        dilation=gene.integer("dilation"),
        groups=_groups(in_channels, gene.n_channels, gene.integer("groups")),
        spatial_mode=gene.spatial_mode,
        window_pool=gene.integer("window_pooling"),
        residual=bool(gene.choice("residual")),
        padding=str(gene.choice("padding")),
        activation=str(gene.choice("activation")),
        norm=str(gene.choice("norm")),
        dropout_rate=float(gene.value("dropout_rate")),
        gamma1=_weight(gene, "log_gamma1"),
        gamma2=_weight(gene, "log_gamma2"),
        lambda1=_weight(gene, "log_lambda1"),
        lambda2=_weight(gene, "log_lambda2"),
    )
    _check_symmetric(layer)
    return layer


def _check_symmetric(layer: Layer) -> None:
    """Refuse a layer without a centre: padding and the crop of a residual must be as wide on both sides."""
    width = layer.kernel[-1]
    if layer.same and layer.window_pool:
        raise InputError(f"{layer.path}: window_pooling {layer.window_pool} needs padding valid")
    if (layer.same or layer.residual) and width % 2 == 0:
        what = "padding same" if layer.same else "a residual"
        raise InputError(f"{layer.path}: kernel_width {width} is even; {what} needs an odd one")


def _groups(in_channels: int, out_channels: int, most: int) -> int:
    """Return the largest number of groups, at most ``most``, that divides both numbers of channels."""
    common = math.gcd(in_channels, out_channels)
    return next(n for n in range(min(most, common), 0, -1) if common % n == 0)


def _weight(gene: ConvLayerGene, name: str) -> float:
    log_weight = float(gene.value(name))
    return 10.0**log_weight if log_weight >= OFF else 0.0


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

    def with_fixed_norms(self) -> Stack:
        """Return the stack in which each norm that needs statistics of a volume is the norm that it becomes."""
        layers = (replace(layer, norm=NORMS[layer.norm].fixed_as or layer.norm) for layer in self.layers)
        return replace(self, layers=tuple(layers))


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
        """Channels of the output."""
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
