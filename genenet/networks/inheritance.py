"""Gives a child's network the weights of its parent's, as far as they match (:mod:`genenet.genes.inheritance`)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genenet.genes.inheritance import LayerOrigin, Width, origins
from genenet.genes.layer_parts import POOLINGS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.genes.inheritance import Beginning
    from genenet.networks.network import ConvLayer, Network

Weights = tuple[Tensor, Tensor]  # (out, in, z, y, x) and (out,)


def inherit(
    child: Network, parent: Network, generator: torch.Generator, with_head: bool = True
) -> Counter[Beginning]:
    """Replace a new network's weights by those of its parent where they match; return how many layers begin how.

    A child of the same architecture computes the same as its parent, bit for bit. Up to rounding, so does a child that
    only

    - has more channels. Channel normalisation is an exception, since its means count each copy, unless all channels
      have equally many copies;
    - has wider kernels, or more layers in its stacks. These must have no norm, and end in ReLU as the layer before
      them. With valid convolutions, more of either can shift the grid of a later pooling; then the outputs differ.

    Copies of a channel would get the same gradients for ever if the weights of what reads them were divided equally, so
    they are divided at random, differently for each reader.

    What can't be matched keeps its random weights: a layer with groups of channels unless it is the same; a kernel
    whose width is odd where the parent's is even, or the other way round; the convolution of a pooling or of a residual
    that the parent doesn't have; a norm of another kind.

    Args:
        child: a new network; it is changed.
        parent: a trained one.
        generator: draws the shares of copies.
        with_head: whether the last layer is filled, too; it can't be if the parent has other classes.
    """
    found = origins(child.plan, parent.plan)
    known = dict(zip((layer.path for layer in parent.plan.layers), parent.layers.values(), strict=True))
    with torch.no_grad():
        for origin, layer in zip(found, child.layers.values(), strict=True):
            match = known[origin.parent.path] if origin.parent else None
            _Heir(origin, layer, match, generator).fill()  # type: ignore[arg-type]
        if with_head:
            classes = Width(child.plan.n_classes, parent.plan.n_classes)
            _fill(child.head, _weights(parent.head), [found[-1].outputs], classes, generator)
    return Counter([*(origin.beginning for origin in found), "copied" if with_head else "fresh"])


@dataclass(frozen=True)
class _Heir:
    """A layer of the child, and the one of the parent that it matches, if any."""

    origin: LayerOrigin
    layer: ConvLayer
    match: ConvLayer | None
    generator: torch.Generator

    def fill(self) -> None:
        if self.match is not None:
            self._entry(self.match)
            self._norm(self.match)
            if self.origin.beginning != "fresh":
                self._convolution(_weights(self.match.conv))
            if self.match.shortcut is not None:
                is_identity = isinstance(self.match.shortcut, nn.Identity)
                self._shortcut(self._identity() if is_identity else _weights(self.match.shortcut))
        elif self.origin.beginning == "inserted":
            self._insert()

    def _convolution(self, weights: Weights) -> None:
        _fill(self.layer.conv, weights, self.origin.inputs, self.origin.outputs, self.generator)

    def _entry(self, match: ConvLayer) -> None:
        """Fill the convolution of a pooling, or of the way up."""
        child, parent, entered = self.layer.layer, match.layer, self.origin.entered
        if child.entry != parent.entry or child.pool != parent.pool:
            return
        if child.entry == "up":
            up = self.origin.inputs[0]
            _fill(self.layer.entry, _weights(match.entry), [entered], up, self.generator)
        is_pooled = child.entry == "down" and child.pooling == parent.pooling
        if is_pooled and POOLINGS[child.pooling].is_convolution:
            _fill(self.layer.entry, _weights(match.entry), [entered], entered, self.generator)

    def _norm(self, match: ConvLayer) -> None:
        """Fill scale, shift and running statistics of the channels."""
        if self.layer.layer.norm != match.layer.norm:
            return
        own, origins_ = self.layer.norm.state_dict(), self.origin.outputs.origins
        for name, tensor in match.norm.state_dict().items():
            own[name].copy_(tensor[origins_] if tensor.ndim else tensor)

    def _shortcut(self, weights: Weights) -> None:
        if isinstance(self.layer.shortcut, nn.Conv2d | nn.Conv3d):
            _fill(self.layer.shortcut, weights, self.origin.inputs, self.origin.outputs, self.generator)

    def _identity(self) -> Weights:
        """Return a kernel that hands each of the parent's channels on."""
        n = self.origin.outputs.parent
        return torch.eye(n).view(n, n, 1, 1, 1), torch.zeros(n)

    def _insert(self) -> None:
        """Let a layer begin as the identity; the convolution of a residual adds nothing at first."""
        if self.layer.shortcut is None:
            self._convolution(self._identity())
            return
        self._shortcut(self._identity())
        scale = dict(self.layer.norm.named_parameters()).get("weight")
        # a norm divides by a deviation, so its scale is what is set to 0 (Goyal et al. 2017, section 5.1)
        (self.layer.conv.weight if scale is None else scale).zero_()  # type: ignore[operator]


def _weights(module: nn.Module) -> Weights:
    """Return kernel and bias of a convolution, in 2D as in 3D with one slice."""
    assert isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d)
    assert module.bias is not None
    weight = module.weight.detach()
    if isinstance(module, nn.ConvTranspose2d | nn.ConvTranspose3d):
        weight = weight.transpose(0, 1)
    return (weight if weight.ndim == 5 else weight.unsqueeze(2)), module.bias.detach()


def _fill(
    module: nn.Module, weights: Weights, inputs: Sequence[Width], outputs: Width, generator: torch.Generator
) -> None:
    """Fill a convolution of the child from kernel and bias of the parent's."""
    own, own_bias = _weights(module)  # views of its parameters
    kernel, bias = weights
    if own.shape[1] != sum(width.child for width in inputs):  # groups, of which both have the same
        own.copy_(kernel)
        own_bias.copy_(bias)
        return
    places, first = [], 0
    for width in inputs:
        places += [first + origin for origin in width.origins]
        first += width.parent
    shares = _shares(torch.tensor(places), first, outputs.child, generator)
    found = kernel[outputs.origins][:, places] * shares[:, :, None, None, None]
    own.copy_(_resized(found, own.shape[2:]))
    own_bias.copy_(bias[outputs.origins])


def _shares(places: Tensor, n: int, n_outputs: int, generator: torch.Generator) -> Tensor:
    """Return the shares (out, in) of the copies of each channel: their sum is 1 for each output.

    Args:
        places: for each channel that is read, that of the parent.
        n: channels of the parent.
        n_outputs: channels that read them.
        generator: of random numbers.
    """
    if len(set(places.tolist())) == len(places):
        return torch.ones(n_outputs, len(places))
    drawn = 0.5 + torch.rand(n_outputs, len(places), generator=generator)
    sums = torch.zeros(n_outputs, n).index_add_(1, places, drawn)
    return drawn / sums[:, places]


def _resized(kernel: Tensor, shape: Sequence[int]) -> Tensor:
    """Surround a kernel (out, in, z, y, x) with zeros, or cut off its border, as far as each axis needs it."""
    margins = [(want - have) // 2 for have, want in zip(kernel.shape[2:], shape, strict=True)]
    return F.pad(kernel, [margin for margin in reversed(margins) for _ in range(2)])
