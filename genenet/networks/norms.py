"""Normalisation layers that torch doesn't have in this form."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNEL_EPS = 1e-6  # as in ConvNeXt
INSTANCE_EPS = 1e-5  # as in torch's batch normalisation, which an instance normalisation becomes


class ChannelNorm(nn.Module):
    """Normalises the channels of each voxel by themselves, then scales and shifts each channel.

    The result of a voxel depends on that voxel alone, so it is the same in every tile, in training and in prediction.
    Torch's layer normalisation takes the last axes, which channels are in the memory of channels-last data: such data
    isn't copied.
    """

    def __init__(self, n_channels: int) -> None:
        """Begin with scale 1 and shift 0."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_channels))
        self.bias = nn.Parameter(torch.zeros(n_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, …) to (B, C, …) of the same type and in the same memory format."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        # autocast would convert bfloat16 to float32 and keep that for backward
        is_float32 = x.dtype == torch.float32
        with nullcontext() if is_float32 else torch.autocast(x.device.type, enabled=False):
            y = F.layer_norm(x.movedim(1, -1), weight.shape, weight, bias, CHANNEL_EPS).movedim(-1, 1)
        return y.contiguous() if x.is_contiguous() else y


class InstanceNorm(nn.Module):
    """Normalises each channel of each patch by the patch's own mean and deviation, then scales and shifts it.

    It is for training only. In prediction the statistics of a tile would depend on where the tile is cut, so
    ``genenet.networks.volume_statistics`` fixes the statistics for a whole volume and puts a batch normalisation in
    this layer's place.
    """

    def __init__(self, n_channels: int) -> None:
        """Begin with scale 1 and shift 0."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_channels))
        self.bias = nn.Parameter(torch.zeros(n_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, …) to (B, C, …).

        One patch is a batch of one, since torch's instance normalisation copies channels-last data.

        Raises:
            RuntimeError: In evaluation mode.
        """
        if not self.training:
            raise RuntimeError(
                "instance normalisation predicts only after its statistics were fixed for a volume"
            )
        patches = [
            F.batch_norm(patch, None, None, self.weight, self.bias, training=True, eps=INSTANCE_EPS)
            for patch in torch.split(x, 1)
        ]
        return torch.cat(patches)
