"""Where the tensors of a network stand in its picture: layers left to right, scales below one another.

The U of Ronneberger et al. (2015, fig. 1). Pooling and up-convolution go straight down and up, so that the tensors
before and after them share a column.
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
MOST_OPERATIONS = 8  # colours that eyes can tell apart
_WIDTH = 620.0  # that the columns fill, if their bounds allow it
_NARROWEST, _WIDEST = 14.5, 56.0  # pitch of the columns
_BAR, _THICKEST = 10.0, 16.0
_LABEL = 9.0  # above a bar, for its channels
_BETWEEN_SCALES = 30.0  # for the arrows
_ACTIVATIONS = {"relu": "ReLU", "leaky_relu": "leaky ReLU", "elu": "ELU", "gelu": "GELU"}
# What a legend says in its own words, or not at all: a penalty isn't part of the network.


@dataclass(frozen=True)
class Tensor:
    """What a layer gives to the next.

    Attributes:
        column: from left to right.
        scale: of its stack.
        channels: how many.
        shape: voxels along z, y, x.
        source: what made it.
        operation: the convolution in words, if it is one.
        copied: how many of the channels come through the skip connection.
        pooling: how it was pooled or enlarged, in words.
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
    """Tensors in the order in which data passes them, a bar for each (in points), and the skip connections."""

    tensors: tuple[Tensor, ...]
    skips: tuple[Skip, ...]
    has_depth: bool

    @cached_property
    def pitch(self) -> float:
        """Distance of columns."""
        return min(max(_WIDTH / (self.tensors[-1].column + 1), _NARROWEST), _WIDEST)

    @cached_property
    def thickness(self) -> float:
        """Of a bar."""
        return min(max(0.4 * self.pitch, _BAR), _THICKEST)

    @cached_property
    def upright(self) -> bool:
        """Whether the channels' numbers have to be turned by 90° to fit between their neighbours."""
        return self._widest_label > self.pitch - 2

    @cached_property
    def label_height(self) -> float:
        """Room above a bar for its number of channels."""
        return self._widest_label + 5 if self.upright else _LABEL

    @property
    def _widest_label(self) -> float:
        return max(text_width(str(tensor.channels), SMALL, bold=True) for tensor in self.tensors)

    @cached_property
    def bars(self) -> list[Rect]:
        """The bar of each tensor, on a common middle line in each scale; the first one begins at x = 0."""
        heights = [self._height(tensor) for tensor in self.tensors]
        middles: dict[int, float] = {}
        y = 0.0
        for scale in sorted({tensor.scale for tensor in self.tensors}):
            tallest = max(h for h, t in zip(heights, self.tensors, strict=True) if t.scale == scale)
            middles[scale] = y + self.label_height + tallest / 2
            y += self.label_height + tallest + _BETWEEN_SCALES
        return [
            Rect(tensor.column * self.pitch, middles[tensor.scale] - height / 2, self.thickness, height)
            for height, tensor in zip(heights, self.tensors, strict=True)
        ]

    def _height(self, tensor: Tensor) -> float:
        """Taller for larger tensors, by the logarithm, and never too short for its text."""
        text = text_width(shape_text(tensor.shape, self.has_depth), SMALL)
        return max(12 + 7.5 * math.log2(tensor.shape[-1]), text + 8)

    @property
    def steps(self) -> list[tuple[int, int]]:
        """Indices of the tensors before and after each operation."""
        return list(pairwise(range(len(self.tensors))))


def layout_network(plan: Plan) -> NetworkLayout:
    """Place the tensors that a network makes of its training patch."""
    operations = iter(_operations(plan.layers, plan.has_depth))
    shapes = plan.shapes()
    tensors = [Tensor(0, plan.stacks[0].scale, plan.layers[0].in_channels, plan.input_shape, "input")]
    skips: list[Skip] = []
    ends: dict[int, int] = {}  # last tensor of the encoder at each scale
    for stack in plan.stacks:
        for _ in stack.layers:
            layer, entered, left = next(shapes)
            if layer.entry != "forward":
                tensors.append(_entered(layer, tensors[-1], stack.scale, entered, plan.has_depth))
            if layer.entry == "up" and stack.scale in ends:
                skips.append(Skip(ends[stack.scale], len(tensors) - 1))
            column = tensors[-1].column + 1
            tensors.append(
                Tensor(column, stack.scale, layer.out_channels, left, "convolution", next(operations))
            )
        if stack.is_encoder:
            ends[stack.scale] = len(tensors) - 1
    last = tensors[-1]
    tensors.append(Tensor(last.column + 1, last.scale, plan.n_classes, plan.output_shape, "classes"))
    return NetworkLayout(tuple(tensors), tuple(skips), plan.has_depth)


def _entered(layer: Layer, before: Tensor, scale: int, shape: Triple, has_depth: bool) -> Tensor:
    """What a layer that changes the scale convolves."""
    by = shape_text(layer.pool, has_depth)
    if layer.entry == "up":
        copied = layer.in_channels - layer.out_channels
        return Tensor(before.column, scale, layer.in_channels, shape, "up", copied=copied, pooling=f"up {by}")
    return Tensor(before.column, scale, layer.in_channels, shape, "down", pooling=f"{layer.pooling} {by}")


def shape_text(shape: Triple, has_depth: bool) -> str:
    """Write z × y × x, or y × x if there is no depth."""
    return " × ".join(map(str, shape if has_depth else shape[1:]))


def _operations(layers: Sequence[Layer], has_depth: bool) -> list[str]:
    """Say what convolution each layer is, in as many details as a legend can hold."""

    def kernel(layer: Layer) -> str:
        return f"{shape_text(layer.kernel, has_depth)} convolution"

    def details(layer: Layer) -> str:
        return ", ".join([kernel(layer), *_details(layer)])

    def width(layer: Layer) -> str:
        return f"convolution, {layer.kernel[-1]} wide"

    levels: list[Callable[[Layer], str]] = [details, kernel, width]
    texts = ([say(layer) for layer in layers] for say in levels)
    return next(
        (found for found in texts if len(Counter(found)) <= MOST_OPERATIONS), ["convolution"] * len(layers)
    )


def _details(layer: Layer) -> list[str]:
    activation = _ACTIVATIONS.get(layer.activation, layer.activation.replace("_", " "))
    known = {
        f"dilation {layer.dilation}": layer.dilation > 1,
        f"{layer.groups} groups": layer.groups > 1,
        f"2 × 2 maximum before it, dilation {layer.window_pool}": layer.window_pool > 0,
        "same padding": layer.same,
        f"{layer.norm} normalisation": layer.norm != "none",
        "residual": layer.residual,
        activation: True,
        "dropout": layer.dropout_rate > 0,
    }
    return [text for text, holds in known.items() if holds]
