"""Networks from the literature as genomes, so that they are built, trained and scored like all others.

To add a baseline, add an entry to ``BASELINES``, with its options and its gene graph; config.yaml then has a key of
its name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic import PositiveInt as Positive

from genenet.core.choices import Choice, Table
from genenet.core.models import Closed
from genenet.genes.hyperparameters import UNLIMITED
from genenet.genes.layer_parts import ACTIVATIONS, NORMS, PADDINGS, POOLINGS, SPATIAL_MODES

if TYPE_CHECKING:
    from genenet.genes.gene_graph import Deltas
    from genenet.genes.genome import Genome


class BaselineOptions(Closed):
    """Options that all baselines have."""

    log_learning_rate: float = Field(-3.0, ge=-8, le=0)
    n_seeds: Positive = Field(1, description="number of trainings, each with other random numbers")


@dataclass(frozen=True)
class Baseline(Choice):
    """A network of the literature; its function takes its options and returns the deltas by path of the gene.

    Attributes:
        title: what reports call it.

    Raises:
        ValueError: If the name ends in an underscore and a number, which is how a repeated training is named, or if
            a control has this name (``genenet.config.controls``).
    """

    title: str = ""
    options: type[BaselineOptions] = BaselineOptions

    def __post_init__(self) -> None:
        if re.search(r"_(\d+|long)$|^best$", self.name) or not re.fullmatch(r"[a-z]\w*", self.name):
            raise ValueError(
                f"a baseline can't be named {self.name}: use lower-case letters, digits and underscores, without _2 or "
                "another number at the end, which names the second training of a baseline; best and _long at the end "
                "name controls"
            )

    def genome(self, **options: Any) -> Genome:
        """Return the genome that options make; those that aren't given have their defaults."""
        from genenet.genes.genome import Genome  # imports numpy, which reading a config does without

        chosen = self.options(**options)
        deltas: dict[str, Deltas] = self.function()(chosen)
        net = {**deltas["net"], "log_learning_rate": chosen.log_learning_rate}
        return Genome(self.name, {**deltas, "net": net})


class UNet2015(BaselineOptions):
    """The U-Net of Ronneberger, Fischer and Brox (2015, MICCAI): valid, with bias, without its dropout."""

    n_convkernels: Positive = 64
    input_size: Positive = Field(
        572,
        ge=188,
        description="size of a training patch along y and x, in voxels; patches below 188 leave no output",
    )


def unet2015(options: UNet2015) -> dict[str, Deltas]:
    """Return four poolings, and two layers in each stack."""
    sizes = {"n_convkernels": options.n_convkernels, "input_size": options.input_size}
    return {"net": {"n_stacks": 4, "n_convlayers": 2, **sizes}}


class Ciresan2012(BaselineOptions):
    """The sliding window of Ciresan, Giusti, Gambardella and Schmidhuber (2012, NIPS, table 1): N4, 95 voxels wide.

    Four times a convolution and 2×2 max-pooling, then a fully connected layer of 200 units and one unit for each class.
    They classify the voxel in the middle of the window. It has rectified linear units, and does without the paper's
    foveation, non-uniform sampling, calibration and filtering.
    """

    n_convkernels: int = Field(48, ge=1, le=1024, description="number of kernels of each convolution")
    n_hidden: int = Field(200, ge=1, le=1024, description="number of units of the fully connected layer")
    input_size: Positive = Field(
        128,
        ge=95,
        description="size of a training patch along y and x, in voxels; the output is smaller by 94",
    )


def ciresan2012(options: Ciresan2012) -> dict[str, Deltas]:
    """Return one stack that evaluates all windows of an image at once (Giusti et al. 2013; Li, Zhao and Wang 2014).

    A pooling of stride 2 would keep every second voxel. To have the result at all voxels, its stride is 1 and all that
    follows sees voxels twice as far apart. After i poolings the distance is ``2**i``::

        layer               0    1    2    3    4
        kernel width        4    5    4    4    3    the last is the fully connected layer: as wide as its input
        dilation            1    2    4    8   16
        maximum before it   -    1    2    4    8    dilation of the 2×2 maximum that replaces the pooling

    Widths are deltas from the net's 3, dilations from the default 1.
    """
    layers: list[Deltas] = []
    for i, width in enumerate((4, 5, 4, 4, 3)):
        distance = 2**i
        layers.append(
            {"kernel_width": width - 3, "dilation": distance - 1, "window_pooling": distance // 2 if i else 0}
        )
    layers[-1] = {**layers[-1], "n_convkernels": options.n_hidden - options.n_convkernels}
    sizes = {"n_convkernels": options.n_convkernels, "input_size": options.input_size}
    return {
        "net": {"n_stacks": 0, "n_convlayers": len(layers), "kernel_width": 3, **sizes},
        **{f"net/decode/stack0/layer{i}": layer for i, layer in enumerate(layers)},
    }


class ResEnc(BaselineOptions):
    """The residual-encoder U-Net of nnU-Net (Isensee et al. 2024, "nnU-Net Revisited"), in 2D or in 3D.

    Instance normalisation, leaky rectified linear units, strided convolutions and same padding; residual blocks in the
    encoder, one convolution in each stack of the decoder, and a limit on the channels.
    """

    n_convkernels: int = Field(32, ge=1, le=1024, description="number of kernels at scale 0")
    max_convkernels: Positive | None = Field(
        None, le=UNLIMITED, description="largest number of channels; null: 512 in 2D, 320 in 3D"
    )
    n_stacks: int | None = Field(
        None,
        ge=1,
        le=6,
        description="number of poolings; null: 5 in 2D, 2 in 3D, where the exact tiles of deeper networks, which see "
        "hundreds of voxels along each axis, don't fit into memory",
    )
    input_size: Positive | None = Field(
        None,
        ge=64,
        le=4096,
        description="size of a training patch along y and x, in voxels; null: 512 in 2D, 128 in 3D. It is lowered to a "
        "multiple of 2 to the power of the poolings",
    )
    spatial_mode: Literal["2d", "3d"] = Field(
        "2d", description="2d: single slices; 3d: 3 × 3 × 3 kernels, for voxels that are nearly cubes"
    )
    input_depth: Positive | None = Field(
        None, le=1024, description="size of a training patch along z in 3D; null: as input_size"
    )

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        least = 2 ** (self.poolings + 1)
        if self.size < least:
            raise ValueError(
                f"input_size {self.size} is too small for {self.poolings} poolings; at least {least}"
            )
        if self.input_depth is not None and self.spatial_mode == "2d":
            raise ValueError("input_depth needs spatial_mode 3d")
        if self.depth < least // 2:
            raise ValueError(
                f"input_depth {self.depth} is too small for {self.poolings} poolings; at least {least // 2}"
            )
        return self

    @property
    def poolings(self) -> int:
        """Number of poolings."""
        return self.n_stacks or (2 if self.spatial_mode == "3d" else 5)

    @property
    def size(self) -> int:
        """Voxels of a training patch along y and x."""
        return self.input_size or (128 if self.spatial_mode == "3d" else 512)

    @property
    def depth(self) -> int:
        """Voxels of a training patch along z, for 3D."""
        return self.input_depth or min(self.size, 1024)


BLOCKS = 1, 3, 4, 6, 6, 6, 6  # of the encoder, by scale; the bottom is the last one


def resenc(options: ResEnc) -> dict[str, Deltas]:
    """Return a stem and 1, 3, 4, 6, 6 and 6 residual layers from scale 0 down, then a layer at each scale.

    What a gene graph expresses otherwise than nnU-Net's plans "ResEnc":

    - A residual block is one convolution with a shortcut around it; theirs has two. A stack can't have more than
      six layers, so twelve convolutions of a stage would not fit.
    - A 2×2 convolution of stride 2 halves the size before the first block of a stage. Their first block has a 3×3
      convolution of stride 2, and an average pooling in its shortcut.
    - Projections in shortcuts are 1×1 convolutions with a bias and without a normalisation.
    - Weights are initialised as those of all genomes are. Losses at lower scales are a part of the recipe.
    """
    is_3d, bottom = options.spatial_mode == "3d", options.poolings
    net = {
        "n_stacks": bottom,
        "n_convlayers": 1,
        "n_convkernels": options.n_convkernels,
        "max_convkernels": options.max_convkernels or (320 if is_3d else 512),
        "input_size": options.size,
        "norm": list(NORMS).index("instance"),
        "activation": list(ACTIVATIONS).index("leaky_relu"),
        "padding": list(PADDINGS).index("same"),
        "pooling": list(POOLINGS).index("conv"),
    }
    if is_3d:
        net |= {"spatial_mode": list(SPATIAL_MODES).index("3d"), "input_depth": options.depth}
    stacks = [*(f"net/encode/stack{scale}" for scale in range(bottom)), f"net/decode/stack{bottom}"]
    return {
        "net": net,
        **{path: {"n_convlayers": n - 1, "residual": 1} for path, n in zip(stacks, BLOCKS, strict=False)},
        "net/encode/stack0": {"n_convlayers": BLOCKS[0], "residual": 1},  # one more, the stem
        "net/encode/stack0/layer0": {"residual": -1},
    }


BASELINES = Table(
    "baseline",
    [
        Baseline(
            "unet2015",
            "the U-Net of Ronneberger et al. (2015), at any number of kernels",
            "genenet.genes.baselines:unet2015",
            UNet2015,
            title="U-Net 2015",
        ),
        Baseline(
            "ciresan2012",
            "the sliding window of Ciresan et al. (2012), at any number of kernels",
            "genenet.genes.baselines:ciresan2012",
            Ciresan2012,
            title="sliding window 2012",
        ),
        Baseline(
            "resenc",
            "the residual-encoder U-Net of nnU-Net (Isensee et al. 2024), in 2D or 3D, at any number of kernels",
            "genenet.genes.baselines:resenc",
            ResEnc,
            title="ResEnc U-Net 2024",
        ),
    ],
)


def title_of(name: str) -> str:
    """Return what reports call a baseline, also one that this version doesn't know."""
    return BASELINES[name].title if name in BASELINES else name
