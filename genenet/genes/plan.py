"""What a gene graph builds, worked out without torch: layers, channels, sizes, parameters, FLOPs.

The network builder, ``inspect`` and the tiling all read this one description, so they can't disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from operator import floordiv, mul, sub
from typing import TYPE_CHECKING

from genenet.core.errors import InputError
from genenet.core.geometry import Triple, each
from genenet.genes import sizes
from genenet.genes.layer_parts import SPATIAL_MODES
from genenet.genes.layers import Convolution, Layer, LayerStep, Stack, layer_of

if TYPE_CHECKING:
    from genenet.genes.gene_graph import NetGene, StackGene

AXES: Triple = (0, 1, 2)
BACKWARD = 3  # a training step takes about three times the operations of a forward pass


@dataclass(frozen=True)
class Plan:
    """A network, encoder stacks first, then the decoder's from the bottom up, then a 1×1 convolution.

    Attributes:
        stacks: in the order in which data passes them.
        n_classes: channels of the output.
        input_shape: voxels along z, y, x of a training patch; the largest feasible ones that the genome
            allows. A network of 2D layers alone takes one slice.
    """

    stacks: tuple[Stack, ...]
    n_classes: int
    input_shape: Triple

    @cached_property
    def spatial_mode(self) -> str:
        """The mode whose modules all layers are built from: the first with depth, if a layer has any."""
        modes = dict.fromkeys(layer.spatial_mode for layer in self.layers)
        return max(modes, key=lambda name: SPATIAL_MODES[name].n_axes)

    @property
    def has_depth(self) -> bool:
        """Whether it takes several slices at a time, since a layer does."""
        return SPATIAL_MODES[self.spatial_mode].n_axes == 3

    @property
    def n_poolings(self) -> int:
        """How often the size is halved."""
        return len(self.stacks) // 2

    @property
    def layers(self) -> list[Layer]:
        """All convolution layers, in the order in which data passes them."""
        return [layer for stack in self.stacks for layer in stack.layers]

    @property
    def needs_statistics(self) -> bool:
        """Whether statistics of a volume must be fixed before the network predicts it."""
        return any(layer.needs_statistics for layer in self.layers)

    def with_fixed_norms(self) -> Plan:
        """Return the plan in which each norm that needs statistics of a volume is the norm that it becomes."""
        return replace(self, stacks=tuple(stack.with_fixed_norms() for stack in self.stacks))

    @property
    def is_same(self) -> bool:
        """Whether the output is as large as the input."""
        return all(layer.same for layer in self.layers)

    @cached_property
    def multiple(self) -> Triple:
        """Tiles begin at multiples of this, so that all are pooled on one grid."""
        return each(lambda axis: sizes.multiple(self.stacks, axis), AXES)

    @cached_property
    def output_shape(self) -> Triple:
        """Voxels of the output along z, y, x for an input of ``input_shape``."""
        return each(lambda axis: sizes.output_size(self.stacks, axis, self.input_shape[axis]), AXES)

    @cached_property
    def margin(self) -> Triple:
        """Voxels by which the output is smaller than the input on each side."""
        return each(lambda axis: (self.input_shape[axis] - self.output_shape[axis]) // 2, AXES)

    @cached_property
    def halo(self) -> Triple:
        """Voxels of context that are read on each side of a tile.

        With valid convolutions it is what they take off. A same-padded network is given as much as its
        receptive field reaches, so that no output of a tile depends on the padding.
        """
        if not any(layer.same for layer in self.layers):
            return self.margin
        return each(lambda axis: max(self.margin[axis], *self._reach(axis)), AXES)

    def _reach(self, axis: int) -> tuple[int, int]:
        """Return the largest distances, in input voxels, that an output voxel sees before and behind itself.

        Output voxel ``p`` lies at ``p + margin`` in the input and sees the input voxels from ``a`` to ``b``::

            input    ┈┈┈┈a━━━━━━━━━━━━━(p + margin)━━━━━━━━━━━b┈┈┈┈
                         ├── before ──┤            ├─ behind ─┤
        """
        boxes = list(enumerate(sizes.seen(self.stacks, axis)))
        margin = self.margin[axis]
        return max(p + margin - a for p, (a, _) in boxes), max(b - p - margin for p, (_, b) in boxes)

    @cached_property
    def receptive_field(self) -> Triple:
        """Voxels along z, y, x that one output voxel depends on, the largest over the pooling grid."""
        return self.receptive_field_after(self.n_convlayers)

    def receptive_field_after(self, n_layers: int) -> Triple:
        """Return the same of one voxel of what the first ``n_layers`` layers give."""
        first = self.layers[:n_layers]
        return each(
            lambda axis: max(b - a + 1 for a, b in sizes.seen_by(first, axis, self.multiple[axis])), AXES
        )

    @property
    def n_convlayers(self) -> int:
        """Convolution layers, the last 1×1 not counted."""
        return sum(len(stack.layers) for stack in self.stacks)

    @property
    def n_layers(self) -> int:
        """Layers as the published captions count: 3 a convolution layer, 2 a stack of the encoder, 2 more."""
        return 3 * self.n_convlayers + 2 * self.n_poolings + 2

    def read_shape(self, shape: Triple) -> Triple:
        """Return the smallest input that gives the inner ``shape`` outputs of a tile, halo included."""
        return each(
            lambda axis: sizes.smallest_input(self.stacks, axis, shape[axis] + 2 * self.halo[axis]), AXES
        )

    @property
    def n_parameters(self) -> int:
        """Weights and biases of all convolutions, scales and shifts of batch normalisations.

        A residual's projection, where there is one, is a convolution like others (He et al. 2016, section 3.3).
        """
        return sum(step.n_parameters for step in self.steps())

    @property
    def flops_per_voxel(self) -> float:
        """Floating-point operations (a multiply-add is two) of the convolutions for each output voxel."""
        return sum(step.flops for step in self.steps()) / math.prod(self.output_shape)

    def step_flops(self, batch_size: int) -> float:
        """Return the operations of a training step; a multiply-add is two."""
        return float(sum(step.flops for step in self.steps()) * BACKWARD * batch_size)

    @property
    def taught_per_teraflop(self) -> float:
        """Output voxels, which the loss compares with labels, for each 10^12 operations of training."""
        return 1e12 * math.prod(self.output_shape) / self.step_flops(1)

    def shapes(self, shape: Triple | None = None) -> Iterator[tuple[Layer, Triple, Triple]]:
        """Yield all layers with the shapes of their convolution's input and output, for an input of ``shape``.

        It defaults to ``input_shape``.
        """
        shape = shape or self.input_shape
        for layer in self.layers:
            entered = each(floordiv if layer.entry == "down" else mul, shape, layer.pool)
            shape = each(sub, entered, layer.margin)
            yield layer, entered, shape

    def steps(self) -> Iterator[LayerStep]:
        """Yield what a forward does, layer by layer, at ``input_shape``; last the 1×1 convolution to the classes."""
        channels = self.stacks[0].layers[0].in_channels
        for layer, entered, shape in self.shapes():
            yield LayerStep(layer, shape, tuple(layer.convolutions(channels, entered, shape)))
            channels = layer.out_channels
        head = Convolution(channels, self.n_classes, (1, 1, 1), self.output_shape)
        yield LayerStep(None, self.output_shape, (head,))


def plan(net: NetGene, n_classes: int, in_channels: int = 1) -> Plan:
    """Work out what a gene graph builds.

    Raises:
        InputError: If no input size up to the genome's is feasible, or a norm has too few voxels.
    """
    stacks: list[Stack] = []
    channels = in_channels
    for stack_gene in [*net.encode.children, *net.decode.children]:
        stack = _stack(stack_gene, channels, stacks)
        stacks.append(stack)
        channels = stack.out_channels
    has_depth = any(layer.has_depth for stack in stacks for layer in stack.layers)
    width = _largest(stacks, 2, net.integer("input_size"), "input_size")
    depth = _largest(stacks, 0, net.integer("input_depth"), "input_depth") if has_depth else 1
    planned = Plan(tuple(stacks), n_classes, (depth, width, width))
    _check_statistics(planned)
    return planned


def _check_statistics(planned: Plan) -> None:
    """Refuse a layer that would be normalised by the statistics of a single voxel: its output would be constant."""
    for layer, _, shape in planned.shapes():
        if layer.needs_statistics and math.prod(shape) == 1:
            raise InputError(
                f"{layer.path}: norm {layer.norm} needs more than one voxel, and a patch of {planned.input_shape[-1]} "
                "leaves one here; raise input_size or lower n_stacks"
            )


def _largest(stacks: list[Stack], axis: int, asked: int, name: str) -> int:
    size = sizes.largest_input(stacks, axis, asked)
    if size is None:
        least = sizes.smallest_input(stacks, axis, asked)
        raise InputError(
            f"net: {name} {asked} is too small for its layers and poolings; at least {least} is needed"
        )
    return size


def _stack(gene: StackGene, channels: int, before: list[Stack]) -> Stack:
    layers = []
    for layer_gene in gene.children:
        pool: Triple | None = None
        if layer_gene.entry[0] == "up":
            skip = next(s for s in before if s.is_encoder and s.scale == gene.scale)
            channels = layer_gene.n_channels + skip.out_channels
            pool = next(s.layers[0].pool for s in before if s.scale == gene.scale + 1)  # up undoes down
        layers.append(layer_of(layer_gene, channels, pool))
        channels = layer_gene.n_channels
    return Stack(gene.scale, gene.is_encoder, tuple(layers))
