"""Which layers of a child's network begin with the weights of which layers of its parent's, and how widths are matched.

Layers match by scale, side of the network and place in their stack. The two sides are the way down (encoder and bottom)
and the way up (the rest of the decoder), so that the bottom of a network matches the encoder of a deeper one::

    parent, 1 pooling     down 0 ─ down 1 ──────────────────── up 0
    child, 2 poolings     down 0 ─ down 1 ─ down 2 ─ up 1 ──── up 0     up 1 and down 2 begin anew

Channels match in turn: channel j of the child begins as channel j mod n of the parent's n. So a wider feature map
holds copies, whatever layers it passes and whatever it is concatenated with (Net2WiderNet, Chen et al. 2016, section
2.2, with this mapping instead of a random one), and a narrower one has the first channels. Layers that the child has in
addition, at the end of a stack, begin as the identity (Net2DeeperNet, section 2.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import sub
from typing import TYPE_CHECKING, Literal

from genenet.core.geometry import each

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genenet.core.geometry import Triple
    from genenet.genes.layers import Layer
    from genenet.genes.plan import Plan

Beginning = Literal["copied", "widened", "narrowed", "inserted", "fresh"]


@dataclass(frozen=True)
class Width:
    """Channels of one feature map in both networks."""

    child: int
    parent: int

    @property
    def origins(self) -> list[int]:
        """For each channel of the child, that of the parent."""
        return [channel % self.parent for channel in range(self.child)]


@dataclass(frozen=True)
class LayerOrigin:
    """Where the weights of a layer of the child come from.

    Attributes:
        child: the layer.
        parent: the layer of the parent that it matches; None if it has none.
        is_inserted: whether it follows a layer of the parent at the end of the same stack.
        entered: channels of what enters, before pooling or the way up.
        inputs: of the convolution; with a merge, those of the way up and of the encoder.
        outputs: of the layer.
    """

    child: Layer
    parent: Layer | None
    is_inserted: bool
    entered: Width
    inputs: tuple[Width, ...]
    outputs: Width

    @property
    def beginning(self) -> Beginning:
        """How the convolution's kernel begins.

        ``fresh``: at random. With ``copied``, ``widened`` and ``inserted`` the layer can do what the parent's did; with
        ``narrowed``, it lacks channels or the border of the kernel.
        """
        if self.parent is None:
            return "inserted" if self._can_be_identity else "fresh"
        if not self._fits(self.parent):
            return "fresh"
        widths = [self.outputs, *self.inputs]
        growth = [width.child - width.parent for width in widths]
        growth += each(sub, self.child.kernel, self.parent.kernel)
        if not any(growth):
            return "copied"
        return "narrowed" if min(growth) < 0 else "widened"

    @property
    def _can_be_identity(self) -> bool:
        """Whether the layer can begin as the identity: its kernel needs a centre, and must see all channels."""
        layer = self.child
        is_plain = layer.groups == 1 and not layer.window_pool
        return self.is_inserted and is_plain and all(width % 2 for width in layer.kernel)

    def _fits(self, parent: Layer) -> bool:
        """Whether the kernels have a common centre; groups of channels must be the same ones."""
        child = self.child
        if max(child.groups, parent.groups) > 1:
            kept = ("groups", "in_channels", "out_channels", "kernel")
            return all(getattr(child, name) == getattr(parent, name) for name in kept)
        return not any(width % 2 for width in each(sub, child.kernel, parent.kernel))

    @property
    def n_weights(self) -> int:
        """Weights of the parent's kernel that the child's begins with, without copies."""
        if self.parent is None or self.beginning == "fresh":
            return 0
        n_inputs = sum(min(width.child, width.parent) for width in self.inputs) // self.child.groups
        kernel: Triple = each(min, self.child.kernel, self.parent.kernel)
        return n_inputs * min(self.outputs.child, self.outputs.parent) * math.prod(kernel)


def origins(child: Plan, parent: Plan) -> list[LayerOrigin]:
    """Return where each layer of the child begins, in the order in which data passes them."""
    known = {place: (layer, entered) for place, layer, entered in _places(parent)}
    found: list[LayerOrigin] = []
    for (side, scale, index), layer, entered in _places(child):
        match, n_entered = known.get((side, scale, index), (None, 0))
        before = found[-1] if found else None
        is_inserted = match is None and index > 0 and (side, scale, 0) in known
        if match is None:  # what it gives is made of what enters
            n_entered = before.outputs.parent if before else entered
        width = Width(entered, n_entered)
        outputs = Width(layer.out_channels, match.out_channels if match else n_entered)
        found.append(LayerOrigin(layer, match, is_inserted, width, _inputs(layer, match, width), outputs))
    return found


def _inputs(layer: Layer, match: Layer | None, entered: Width) -> tuple[Width, ...]:
    if layer.entry != "up":
        return (entered,)
    like = match or layer
    skips = (each_.in_channels - each_.out_channels for each_ in (layer, like))
    return Width(layer.out_channels, like.out_channels), Width(*skips)


def _places(plan: Plan) -> Iterator[tuple[tuple[str, int, int], Layer, int]]:
    """Yield each layer after its side, scale and index in the stack, and with the channels that enter it."""
    channels = plan.stacks[0].layers[0].in_channels
    for stack in plan.stacks:
        side = "up" if stack.layers[0].entry == "up" else "down"
        for index, layer in enumerate(stack.layers):
            yield (side, stack.scale, index), layer, channels
            channels = layer.out_channels


def n_inherited(child: Plan, parent: Plan) -> int:
    """Return how many weights of a parent's kernels a child begins with."""
    return sum(origin.n_weights for origin in origins(child, parent))
