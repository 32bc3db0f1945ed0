"""Networks from the literature as genomes, so that they are built, trained and scored like all others.

To add a baseline, add an entry to ``BASELINES``, with its options and its gene graph; config.yaml then has a key of
its name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field
from pydantic import PositiveInt as Positive

from genenet.core.choices import Choice, Table
from genenet.core.models import Closed

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
    ],
)


def title_of(name: str) -> str:
    """Return what reports call a baseline, also one that this version doesn't know."""
    return BASELINES[name].title if name in BASELINES else name
