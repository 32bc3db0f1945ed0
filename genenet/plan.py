"""What a gene graph builds, worked out without torch: layers, channels, sizes, parameters, FLOPs.

The network builder, ``inspect`` and the tiling all read this one description, so they can't disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from genenet.errors import InputError
from genenet.geometry import Triple

if TYPE_CHECKING:
    from genenet.genes import ConvLayerGene, NetGene, StackGene

OFF = -10.0  # log10 of a penalty's weight below which it is off


@dataclass(frozen=True)
class Layer:
    """A convolution layer; ``entry`` says what its input comes through."""

    path: str
    entry: Literal["forward", "down", "up"]  # up: with the merge
    pooling: str
    in_channels: int  # of the convolution; after up and merge
    out_channels: int
    kernel_width: int
    same: bool
    activation: str
    batch_norm: bool
    dropout_rate: float
    gamma1: float  # weights of the L1 and L2 penalties on the kernels, and on the activations
    gamma2: float
    lambda1: float
    lambda2: float

    @property
    def margin(self) -> int:
        """Voxels that the output is smaller than the input, both sides together."""
        return 0 if self.same else self.kernel_width - 1


@dataclass(frozen=True)
class Stack:
    """Layers at one scale."""

    scale: int
    is_encoder: bool
    layers: tuple[Layer, ...]

    @property
    def margin(self) -> int:
        """Voxels that its layers take off the size, both sides together."""
        return sum(layer.margin for layer in self.layers)

    @property
    def out_channels(self) -> int:
        """Channels after the last layer."""
        return self.layers[-1].out_channels


@dataclass(frozen=True)
class Plan:
    """A network, encoder stacks first, then the decoder's from the bottom up, then a 1×1 convolution."""

    stacks: tuple[Stack, ...]
    n_classes: int
    input_size: int  # voxels along y and x; the largest feasible one that the genome allows

    @property
    def n_poolings(self) -> int:
        """How often the size is halved."""
        return len(self.stacks) // 2

    @property
    def multiple(self) -> int:
        """Tiles begin at multiples of this, so that all are pooled on one grid."""
        return 1 << self.n_poolings

    @property
    def output_size(self) -> int:
        """Voxels along y and x that come out of ``input_size``."""
        return output_size(self.stacks, self.input_size)

    @property
    def input_shape(self) -> Triple:
        """Voxels along z, y, x that are read for ``output_shape``."""
        return 1, self.input_size, self.input_size

    @property
    def output_shape(self) -> Triple:
        """Voxels along z, y, x that come out."""
        return 1, self.output_size, self.output_size

    @property
    def margin(self) -> int:
        """Voxels that an output lacks on each side of its input."""
        return (self.input_size - self.output_size) // 2

    @cached_property
    def halo(self) -> int:
        """Voxels of context that are read on each side of a tile.

        With valid convolutions it is what they take off. A same-padded network is given as much as its
        receptive field reaches, so that no output of a tile depends on the padding.
        """
        if not any(layer.same for stack in self.stacks for layer in stack.layers):
            return self.margin
        return max(self.margin, *self._reach)

    @cached_property
    def _reach(self) -> tuple[int, int]:
        """The farthest that any output voxel sees, left and right, in input voxels."""
        boxes = [(position, _seen(self.stacks, position)) for position in range(self.multiple)]
        return max(p + self.margin - a for p, (a, _) in boxes), max(
            b - p - self.margin for p, (_, b) in boxes
        )

    @cached_property
    def receptive_field(self) -> int:
        """Voxels along y and x that one output voxel depends on, the largest over the pooling grid."""
        boxes = [_seen(self.stacks, position) for position in range(self.multiple)]
        return max(b - a + 1 for a, b in boxes)

    @property
    def n_convlayers(self) -> int:
        """Convolution layers, the last 1×1 not counted."""
        return sum(len(stack.layers) for stack in self.stacks)

    @property
    def n_layers(self) -> int:
        """Layers as the published captions count: 3 a convolution layer, 2 a stack of the encoder, 2 more."""
        return 3 * self.n_convlayers + 2 * self.n_poolings + 2

    def read_size(self, n_voxels: int) -> int:
        """Return the smallest input size that gives the inner ``n_voxels`` outputs of a tile, halo included."""
        size = n_voxels + 2 * self.halo
        while not feasible(self.stacks, size):
            size += 1
        return size

    @property
    def n_parameters(self) -> int:
        """Weights and biases of all convolutions, scales and shifts of batch normalisations."""
        return sum(c.n_parameters for c in self.convolutions()) + sum(
            2 * layer.out_channels for stack in self.stacks for layer in stack.layers if layer.batch_norm
        )

    @property
    def flops_per_voxel(self) -> float:
        """Floating-point operations (a multiply-add is two) of the convolutions for each output voxel."""
        return sum(c.flops for c in self.convolutions()) / self.output_size**2

    def convolutions(self) -> Iterator[Convolution]:
        """Yield all convolutions with the sizes they have at ``input_size``."""
        size = self.input_size
        channels = self.stacks[0].layers[0].in_channels
        for stack in self.stacks:
            for layer in stack.layers:
                if layer.entry == "down":
                    size //= 2
                    if layer.pooling == "conv":
                        yield Convolution(channels, channels, 2, size)
                if layer.entry == "up":
                    yield Convolution(channels, layer.out_channels, 2, size)
                    size *= 2
                size -= layer.margin
                yield Convolution(layer.in_channels, layer.out_channels, layer.kernel_width, size)
                channels = layer.out_channels
        yield Convolution(channels, self.n_classes, 1, size)


@dataclass(frozen=True)
class Convolution:
    """A convolution with bias; ``size`` is that of the side with one voxel for each kernel position."""

    in_channels: int
    out_channels: int
    width: int
    size: int

    @property
    def n_parameters(self) -> int:
        """Weights and biases."""
        return (self.in_channels * self.width**2 + 1) * self.out_channels

    @property
    def flops(self) -> int:
        """Operations for one image."""
        return 2 * self.in_channels * self.out_channels * self.width**2 * self.size**2


def output_size(stacks: tuple[Stack, ...], size: int) -> int:
    """Return the output size for an input size, 0 if that isn't feasible.

    Feasible: every pooling divides evenly and at least one voxel is left everywhere.
    """
    skips = []
    for stack in stacks:
        if stack.is_encoder:
            size -= stack.margin
            skips.append(size)
            if size < 2 or size % 2:
                return 0
            size //= 2
            continue
        if skips and stack.scale < len(stacks) // 2:
            size *= 2
            crop = skips.pop() - size
            if crop < 0 or crop % 2:
                return 0
        size -= stack.margin
        if size < 1:
            return 0
    return size


def feasible(stacks: tuple[Stack, ...], size: int) -> bool:
    """Say whether a network of these stacks can take an input of ``size``."""
    return output_size(stacks, size) > 0


def largest_input(stacks: tuple[Stack, ...], size: int) -> int | None:
    """Return the largest feasible input size of at most ``size``; None if there is none."""
    # feasible sizes are those above a bound in steps of 2**n_poolings
    candidates = range(size, max(0, size - 2 ** (len(stacks) // 2)), -1)
    return next((n for n in candidates if feasible(stacks, n)), None)


def _seen(stacks: tuple[Stack, ...], position: int) -> tuple[int, int]:
    """Return the first and last input voxel that the output voxel at ``position`` depends on.

    Coordinates are those of the valid convolutions: output 0 of a layer sees its inputs 0 … width-1; with
    same padding it sees -width//2 … width//2. The merge needs no branch of its own: what reaches it
    through the skip connection lies within what the way over the bottom sees.
    """
    first = last = position
    for stack in reversed(stacks):
        for layer in reversed(stack.layers):
            before = layer.kernel_width // 2 if layer.same else 0
            first, last = first - before, last + layer.kernel_width - 1 - before
            if layer.entry == "down":
                first, last = 2 * first, 2 * last + 1
            if layer.entry == "up":
                first, last = first // 2, last // 2
    return first, last


def plan(net: NetGene, n_classes: int, in_channels: int = 1) -> Plan:
    """Work out what a gene graph builds.

    Raises:
        InputError: If no input size up to the genome's is feasible, or a part of it can't be built yet.
    """
    stacks: list[Stack] = []
    channels = in_channels
    for stack_gene in [*net.encode.children, *net.decode.children]:
        stack = _stack(stack_gene, channels, stacks)
        stacks.append(stack)
        channels = stack.out_channels
    asked = net.integer("input_size")
    size = largest_input(tuple(stacks), asked)
    if size is None:
        least = next(n for n in range(asked, 1 << 20) if feasible(tuple(stacks), n))
        raise InputError(
            f"net: input_size {asked} is too small for its layers and poolings; at least {least} is needed"
        )
    return Plan(tuple(stacks), n_classes, size)


def _stack(gene: StackGene, channels: int, before: list[Stack]) -> Stack:
    layers = []
    for layer_gene in gene.children:
        if layer_gene.edge_kinds[0] == "up":
            skip = next(s for s in before if s.is_encoder and s.scale == gene.scale)
            channels = layer_gene.n_channels + skip.out_channels
        layers.append(_layer(layer_gene, channels))
        channels = layer_gene.n_channels
    return Stack(gene.scale, gene.is_encoder, tuple(layers))


def _layer(gene: ConvLayerGene, in_channels: int) -> Layer:
    if gene.choice("spatial_mode") != "2d":
        raise InputError(
            f"{gene.path}: spatial_mode {gene.choice('spatial_mode')} can't be built yet; use 2d"
        )
    entry = gene.edge_kinds[0]
    assert entry != "merge"  # up comes first
    return Layer(
        path=gene.path,
        entry=entry,
        pooling=str(gene.children[0].choice("pooling")),
        in_channels=in_channels,
        out_channels=gene.n_channels,
        kernel_width=gene.integer("kernel_width"),
        same=gene.choice("padding") == "same",
        activation=str(gene.choice("activation")),
        batch_norm=bool(gene.choice("batch_norm")),
        dropout_rate=float(gene.value("dropout_rate")),
        gamma1=_weight(gene, "log_gamma1"),
        gamma2=_weight(gene, "log_gamma2"),
        lambda1=_weight(gene, "log_lambda1"),
        lambda2=_weight(gene, "log_lambda2"),
    )


def _weight(gene: ConvLayerGene, name: str) -> float:
    log_weight = float(gene.value(name))
    return 10.0**log_weight if log_weight >= OFF else 0.0
