"""Crops of feature maps, whose gradients are quick to compute with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


def centre_crop(x: Tensor, shape: torch.Size) -> Tensor:
    """Cut the central voxels of ``shape``, (Y, X) or (Z, Y, X), out of (B, C, …)."""
    return crop(x, [(have - want) // 2 for have, want in zip(x.shape[2:], shape, strict=True)], shape)


def crop(x: Tensor, first: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Cut ``shape`` voxels, beginning at ``first``, out of the spatial axes of (B, C, …); a view."""
    if x.shape[2:] == torch.Size(shape):
        return x
    # torch's compiler chooses layouts itself
    if torch.is_grad_enabled() and x.requires_grad and not torch.compiler.is_compiling():
        cut: Tensor = _Crop.apply(x, tuple(first), tuple(shape))  # type: ignore[no-untyped-call]
        return cut
    return _narrowed(x, first, shape)


def _narrowed(x: Tensor, first: Sequence[int], shape: Sequence[int]) -> Tensor:
    for axis, (start, n) in enumerate(zip(first, shape, strict=True), start=2):
        x = x.narrow(axis, start, n)
    return x


class _Crop(torch.autograd.Function):
    """A crop whose gradient has the memory format of what was cut.

    torch's own gradient of a crop has its channels first. Where channels are last, it would be added to such a
    gradient, and what follows (the activation's gradient, that of the convolution) would take up to 20 times as long.
    The values are the same, bit for bit.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, first: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
        ctx.size, ctx.strides, ctx.first = x.shape, x.stride(), first
        return _narrowed(x, first, shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        whole = torch.empty_strided(ctx.size, ctx.strides, dtype=gradient.dtype, device=gradient.device)
        _narrowed(whole.zero_(), ctx.first, gradient.shape[2:]).copy_(gradient)
        return whole, None, None
