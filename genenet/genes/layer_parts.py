"""What a convolution layer can be built from, by name: activations, norms, poolings, paddings and spatial modes.

Each is an entry of one table. A genome stores the place of an entry in its table, so entries are only ever appended.
The path of an entry names the code that builds it in torch; everything else that the program must know is in the entry.
"""

from __future__ import annotations

from dataclasses import dataclass

from genenet.core.choices import Choice, Table


@dataclass(frozen=True)
class Activation(Choice):
    """A nonlinearity; its function takes nothing and returns the module.

    Attributes:
        title: in legends and tables.
        keeps_input: whether backward needs the input of the module; otherwise its output is enough, so that it can
            work in place.
    """

    title: str = ""
    keeps_input: bool = False


@dataclass(frozen=True)
class Norm(Choice):
    """A normalisation after the convolution; its function takes channels and ``Modules`` and returns the module.

    Attributes:
        title: in legends and tables; empty if there is nothing to name.
        n_kept: arrays of the layer's output size that backward needs beside the layer's output.
        n_kept_for_each_voxel: numbers that backward needs for each voxel, however many channels the voxel has.
        n_parameters: trained numbers for each channel.
        fixed_as: the norm that it becomes when its statistics are fixed for a volume, with the same parameters; empty
            if it needs no statistics of the volume.
    """

    title: str = ""
    n_kept: int = 0
    n_kept_for_each_voxel: int = 0
    n_parameters: int = 0
    fixed_as: str = ""


@dataclass(frozen=True)
class Pooling(Choice):
    """How an encoder halves the size; its function takes channels, factors and ``Modules`` and returns the module.

    Attributes:
        is_convolution: whether it has weights and a bias, as many output as input channels.
        index_bytes: that backward needs for each input voxel and channel to find the voxel that was taken.
    """

    is_convolution: bool = False
    index_bytes: int = 0


@dataclass(frozen=True)
class Padding(Choice):
    """What surrounds the input of a convolution; its function takes the kernel's reach and returns the padding.

    Attributes:
        title: in legends and tables; empty if there is nothing to name.
        keeps_size: whether the output is as large as the input.
    """

    title: str = ""
    keeps_size: bool = False


@dataclass(frozen=True)
class SpatialMode(Choice):
    """Which axes a layer sees; its path leads to the ``Modules`` of as many axes.

    Attributes:
        n_axes: of the data that the layer takes.
        has_deep_kernel: whether kernel and pooling extend along z.
    """

    n_axes: int = 2
    has_deep_kernel: bool = False


ACTIVATIONS = Table(
    "activation",
    [
        Activation("relu", "max(x, 0)", "genenet.networks.parts:relu", title="ReLU"),
        Activation(
            "leaky_relu",
            "x, but 0.01 x for negative x",
            "genenet.networks.parts:leaky_relu",
            title="leaky ReLU",
        ),
        Activation("elu", "x, but exp(x) - 1 for negative x", "genenet.networks.parts:elu", title="ELU"),
        Activation(
            "gelu",
            "x Φ(x), with the distribution function Φ of the standard normal distribution",
            "torch.nn:GELU",
            title="GELU",
            keeps_input=True,
        ),
        Activation("tanh", "the hyperbolic tangent", "torch.nn:Tanh", title="tanh"),
        Activation(
            "swish",
            "x σ(x), with the logistic function σ; also called SiLU",
            "torch.nn:SiLU",
            title="swish",
            keeps_input=True,
        ),
    ],
)
NORMS = Table(
    "norm",
    [
        Norm("none", "no normalisation", "genenet.networks.parts:no_norm"),
        Norm(
            "batch",
            "batch normalisation; prediction uses the statistics of the training",
            "genenet.networks.parts:batch_norm",
            title="batch normalisation",
            n_kept=1,
            n_parameters=2,
        ),
        Norm(
            "channel",
            "layer normalisation over the channels of each voxel, as in ConvNeXt; it needs no statistics",
            "genenet.networks.parts:channel_norm",
            title="channel normalisation",
            n_kept=1,
            n_kept_for_each_voxel=2,
            n_parameters=2,
        ),
        Norm(
            "instance",
            "instance normalisation: training uses the statistics of each patch, prediction those of a sample of the "
            "volume's tiles, which are fixed before the volume is segmented",
            "genenet.networks.parts:instance_norm",
            title="instance normalisation",
            n_kept=1,
            n_parameters=2,
            fixed_as="batch",
        ),
    ],
)
POOLINGS = Table(
    "pooling",
    [
        Pooling("max", "the maximum of 2×2 voxels", "genenet.networks.parts:max_pooling", index_bytes=8),
        Pooling(
            "conv",
            "a 2×2 convolution of stride 2",
            "genenet.networks.parts:strided_convolution",
            is_convolution=True,
        ),
    ],
)
PADDINGS = Table(
    "padding",
    [
        Padding(
            "valid",
            "no padding: the output is smaller than the input by the halo",
            "genenet.networks.parts:no_padding",
        ),
        Padding(
            "same",
            "zeros around the input: the output is as large as the input",
            "genenet.networks.parts:zero_padding",
            title="same padding",
            keeps_size=True,
        ),
    ],
)
SPATIAL_MODES = Table(
    "spatial mode",
    [
        SpatialMode("2d", "k × k kernels on single slices", "genenet.networks.modules:PLANE"),
        SpatialMode(
            "3d", "k × k × k kernels", "genenet.networks.modules:SPACE", n_axes=3, has_deep_kernel=True
        ),
        SpatialMode(
            "2.5d", "1 × k × k kernels on several slices", "genenet.networks.modules:SPACE", n_axes=3
        ),
    ],
)
