"""Torch's layers for data of two and of three spatial axes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from genenet.core.geometry import Triple


@dataclass(frozen=True)
class Modules:
    """Torch's layers for data of 2 or of 3 spatial axes; a plan's kernels are (z, y, x) in both cases."""

    conv: Callable[..., nn.Module]
    up: Callable[..., nn.Module]
    max_pool: Callable[..., nn.Module]
    batch_norm: Callable[..., nn.Module]
    n_axes: int

    def memory_format(self, device: torch.device, to_train: bool) -> torch.memory_format:
        """Return the layout in which they are fastest: channels last.

        Training on processors without AVX-512 is the exception: there oneDNN takes up to five times as long for the
        gradients of kernels if channels are last (docs/benchmarks.md).
        """
        if to_train and device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2":
            return torch.contiguous_format
        return torch.channels_last if self.n_axes == 2 else torch.channels_last_3d

    def size(self, triple: Triple) -> tuple[int, ...]:
        """Return the sizes along the axes that there are."""
        return triple[3 - self.n_axes :]


class Conv3d(nn.Conv3d):
    """Torch's, except that oneDNN predicts a single volume of any size.

    Torch takes an implementation of its own for a batch of one where channels × Z × Y is at most 20 480, as in most
    tiles: up to 17 times as slow, and with each voxel's whole neighbourhood in memory (docs/benchmarks.md).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, Z, Y, X) to (B, C', Z', Y', X')."""
        if x.dtype != torch.float32 or not _can_use_onednn(x):
            return super().forward(x)
        padding: Any = self.padding  # numbers: none of ours is a name such as "same"
        return torch.mkldnn_convolution(
            x, self.weight, self.bias, padding, self.stride, self.dilation, self.groups
        )


def _can_use_onednn(x: Tensor) -> bool:
    """Whether oneDNN can be called directly: on the CPU, without gradients, and without autocast."""
    onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(x.is_cpu and onednn and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu"))


PLANE = Modules(nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d, nn.BatchNorm2d, 2)
SPACE = Modules(Conv3d, nn.ConvTranspose3d, nn.MaxPool3d, nn.BatchNorm3d, 3)
