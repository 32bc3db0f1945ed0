"""The entries of the tables in ``genenet.genes.layer_parts``, in torch. Each function builds one part of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from genenet.networks.norms import ChannelNorm, InstanceNorm

if TYPE_CHECKING:
    from genenet.networks.modules import Modules


def relu() -> nn.Module:
    """Return a rectified linear unit that works in place: its gradient needs the result alone."""
    return nn.ReLU(inplace=True)


def leaky_relu() -> nn.Module:
    """Return one with slope 0.01 below 0, in place."""
    return nn.LeakyReLU(inplace=True)


def elu() -> nn.Module:
    """Return an exponential linear unit (Clevert et al. 2016), in place."""
    return nn.ELU(inplace=True)


def no_norm(n_channels: int, modules: Modules) -> nn.Module:
    """Return nothing but the input."""
    return nn.Identity()


def batch_norm(n_channels: int, modules: Modules) -> nn.Module:
    """Return a batch normalisation (Ioffe and Szegedy 2015)."""
    return modules.batch_norm(n_channels)


def channel_norm(n_channels: int, modules: Modules) -> nn.Module:
    """Return a layer normalisation over the channels of each voxel (Ba et al. 2016; Liu et al. 2022, ConvNeXt)."""
    return ChannelNorm(n_channels)


def instance_norm(n_channels: int, modules: Modules) -> nn.Module:
    """Return an instance normalisation (Ulyanov et al. 2016)."""
    return InstanceNorm(n_channels)


def max_pooling(n_channels: int, factors: tuple[int, ...], modules: Modules) -> nn.Module:
    """Return a maximum over boxes of ``factors`` voxels."""
    return modules.max_pool(factors)


def strided_convolution(n_channels: int, factors: tuple[int, ...], modules: Modules) -> nn.Module:
    """Return a convolution of boxes of ``factors`` voxels, with as many channels as before."""
    return modules.conv(n_channels, n_channels, factors, stride=factors)


def no_padding(reach: Sequence[int]) -> tuple[int, ...]:
    """Return no padding along any axis."""
    return (0,) * len(reach)


def zero_padding(reach: Sequence[int]) -> tuple[int, ...]:
    """Return voxels of zeros on each side, along each axis half of what the kernel reaches."""
    return tuple(distance // 2 for distance in reach)
