"""Positions of a network's tensors in its picture: layers from left to right, scales from top to bottom.

The picture is the U of Ronneberger et al. (2015, fig. 1). Each tensor is a bar::

    column   0     1     2     3     4     5     6
    scale 0 [in]->[  ]------- copy ------>[  ]->[  ]->[classes]
                   |                       ^
                   v pool                  | up
    scale 1       [  ]->[  ]--- copy -->[  ]->[  ]

Pooling and up-convolution are vertical arrows: the tensors before and after them share a column.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from genenet.report.drawing.canvas import SMALL, Rect, text_width

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from genenet.core.geometry import Triple
    from genenet.genes.layers import Layer
    from genenet.genes.plan import Plan

Source = Literal["input", "down", "up", "convolution", "classes"]
MOST_OPERATIONS = 8  # number of colours that are easy to tell apart
# Lengths in points
_WIDTH = 620.0  # of all columns together, as far as the bounds of the pitch allow
_LEAST_PITCH, _MOST_PITCH = 14.5, 56.0  # distance of the columns
_LEAST_THICKNESS, _MOST_THICKNESS = 10.0, 16.0  # of a bar
_LABEL = 9.0  # height of the number of channels above a bar
_SCALE_GAP = 30.0  # between the scales, for the arrows


@dataclass(frozen=True)
class Tensor:
    """The output of a layer, which is the input of the next.

    Attributes:
        column: position from left to right.
        scale: scale of its stack.
        channels: number of channels.
        shape: voxels along z, y, x.
        source: kind of the operation that made it.
        operation: description of the convolution that made it, if one did.
        copied: number of channels that come through the skip connection.
        pooling: description of the pooling or up-convolution that made it, if one did.
    """

    column: int
    scale: int
    channels: int
    shape: Triple
    source: Source
    operation: str = ""
    copied: int = 0
    pooling: str = ""


@dataclass(frozen=True)
class Skip:
    """A skip connection between two tensors, by their indices."""

    start: int
    end: int


@dataclass(frozen=True)
class NetworkLayout:
    """The tensors in the order of the data flow, a bar for each (in points), and the skip connections."""

    tensors: tuple[Tensor, ...]
    skips: tuple[Skip, ...]
    has_depth: bool

    @cached_property
    def pitch(self) -> float:
        """Distance of the columns."""
        return min(max(_WIDTH / (self.tensors[-1].column + 1), _LEAST_PITCH), _MOST_PITCH)

    @cached_property
    def thickness(self) -> float:
        """Width of a bar."""
        return min(max(0.4 * self.pitch, _LEAST_THICKNESS), _MOST_THICKNESS)

    @cached_property
    def upright(self) -> bool:
        """Whether the numbers of channels are rotated by 90° to fit between their neighbours."""
        return self._widest_label > self.pitch - 2

    @cached_property
    def label_height(self) -> float:
        """Height of the space above a bar for its number of channels."""
        return self._widest_label + 5 if self.upright else _LABEL

    @property
    def _widest_label(self) -> float:
        return max(text_width(str(tensor.channels), SMALL, bold=True) for tensor in self.tensors)

    @cached_property
    def bars(self) -> list[Rect]:
        """The bar of each tensor; the bars of one scale are centred on one line. The first bar begins at x = 0."""
        heights = [self._height(tensor) for tensor in self.tensors]
        middles: dict[int, float] = {}
        y = 0.0
        for scale in sorted({tensor.scale for tensor in self.tensors}):
            tallest = max(h for h, t in zip(heights, self.tensors, strict=True) if t.scale == scale)
            middles[scale] = y + self.label_height + tallest / 2
            y += self.label_height + tallest + _SCALE_GAP
        return [
            Rect(tensor.column * self.pitch, middles[tensor.scale] - height / 2, self.thickness, height)
            for height, tensor in zip(heights, self.tensors, strict=True)
        ]

    def _height(self, tensor: Tensor) -> float:
        """Return the height of a bar: it grows with the logarithm of the size, and has space for the text."""
        text = text_width(shape_text(tensor.shape, self.has_depth), SMALL)
        return max(12 + 7.5 * math.log2(tensor.shape[-1]), text + 8)

    @property
    def steps(self) -> list[tuple[int, int]]:
        """Indices of the tensors before and after each operation."""
        return list(pairwise(range(len(self.tensors))))


def layout_network(plan: Plan) -> NetworkLayout:
    """Place the tensors that a network computes from its training patch."""
    operations = iter(_operations(plan.layers, plan.has_depth))
    shapes = plan.shapes()
    tensors = [Tensor(0, plan.stacks[0].scale, plan.layers[0].in_channels, plan.input_shape, "input")]
    skips: list[Skip] = []
    encoder_ends: dict[int, int] = {}  # index of the last tensor of the encoder at each scale
    for stack in plan.stacks:
        for _ in stack.layers:
            layer, entered, left = next(shapes)
            if layer.entry != "forward":
                tensors.append(_entered(layer, tensors[-1], stack.scale, entered, plan.has_depth))
            if layer.entry == "up" and stack.scale in encoder_ends:
                skips.append(Skip(encoder_ends[stack.scale], len(tensors) - 1))
            column = tensors[-1].column + 1
            tensors.append(
                Tensor(column, stack.scale, layer.out_channels, left, "convolution", next(operations))
            )
        if stack.is_encoder:
            encoder_ends[stack.scale] = len(tensors) - 1
    last = tensors[-1]
    tensors.append(Tensor(last.column + 1, last.scale, plan.n_classes, plan.output_shape, "classes"))
    return NetworkLayout(tuple(tensors), tuple(skips), plan.has_depth)


def _entered(layer: Layer, before: Tensor, scale: int, shape: Triple, has_depth: bool) -> Tensor:
    """Return the tensor at the entry of a layer that changes the scale, before its convolution."""
    by = shape_text(layer.pool, has_depth)
    if layer.entry == "up":
        copied = layer.in_channels - layer.out_channels
        return Tensor(before.column, scale, layer.in_channels, shape, "up", copied=copied, pooling=f"up {by}")
    return Tensor(before.column, scale, layer.in_channels, shape, "down", pooling=f"{layer.pooling} {by}")


def shape_text(shape: Triple, has_depth: bool) -> str:
    """Write z × y × x, or y × x if there is no depth."""
    return " × ".join(map(str, shape if has_depth else shape[1:]))


def _operations(layers: Sequence[Layer], has_depth: bool) -> list[str]:
    """Describe the convolution of each layer, in as much detail as the legend has colours for."""

    def kernel(layer: Layer) -> str:
        return f"{shape_text(layer.kernel, has_depth)} convolution"

    def details(layer: Layer) -> str:
        return ", ".join([kernel(layer), *layer.details()])

    def width(layer: Layer) -> str:
        return f"convolution, {layer.kernel[-1]} wide"

    levels: list[Callable[[Layer], str]] = [details, kernel, width]
    texts = ([describe(layer) for layer in layers] for describe in levels)
    return next(
        (found for found in texts if len(Counter(found)) <= MOST_OPERATIONS), ["convolution"] * len(layers)
    )
