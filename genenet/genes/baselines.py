"""Networks of the literature as genomes, so that they are built, trained and scored like all others.

Another one is another class here: its options, its title, its deltas; config.yaml then knows it by its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic import PositiveInt as Positive

from genenet.core.models import Closed

if TYPE_CHECKING:
    from genenet.genes.gene_graph import Deltas
    from genenet.genes.genome import Genome


class Baseline(Closed, ABC):
    """Options that all baselines have."""

    title: ClassVar[str]  # for people

    log_learning_rate: float = Field(-3.0, ge=-8, le=0)
    n_seeds: Positive = Field(1, description="how often it is trained, each time from other random numbers")

    @abstractmethod
    def deltas(self) -> dict[str, Deltas]:
        """Return the gene graph."""

    def genome(self, name: str) -> Genome:
        """Return the genome."""
        from genenet.genes.genome import Genome  # brings numpy, which reading a config does without

        deltas = self.deltas()
        return Genome(name, {**deltas, "net": {**deltas["net"], "log_learning_rate": self.log_learning_rate}})


class UNet2015(Baseline):
    """The U-Net of Ronneberger, Fischer and Brox (2015, MICCAI): valid, with bias, without its dropout."""

    title = "U-Net 2015"

    n_convkernels: Positive = 64
    input_size: Positive = Field(
        572, ge=188, description="voxels along y and x; 188 is the smallest that is left anything"
    )

    def deltas(self) -> dict[str, Deltas]:
        """Return four poolings and two layers a stack."""
        sizes = {"n_convkernels": self.n_convkernels, "input_size": self.input_size}
        return {"net": {"n_stacks": 4, "n_convlayers": 2, **sizes}}


class Ciresan2012(Baseline):
    """The sliding window of Ciresan, Giusti, Gambardella and Schmidhuber (2012, NIPS, table 1): N4, 95 voxels wide.

    Four times a convolution and 2×2 max-pooling, then a fully connected layer of 200 and one of the classes, which say
    what the voxel in the middle of the window is. Here all windows of an image are evaluated at once: what comes
    after a pooling of stride 2 is the same as what comes after one of stride 1 with kernels dilated by 2, and a
    fully connected layer is a convolution as wide as its input (Giusti et al. 2013; Li, Zhao and Wang 2014). Rectified
    linear units; without the paper's foveation, non-uniform sampling, calibration and filtering.
    """

    title = "sliding window 2012"

    n_convkernels: int = Field(48, ge=1, le=1024, description="maps of each convolution")
    n_hidden: int = Field(200, ge=1, le=1024, description="units of the fully connected layer")
    input_size: Positive = Field(
        128, ge=95, description="voxels along y and x of a training patch, 94 more than it labels"
    )

    def deltas(self) -> dict[str, Deltas]:
        """Return one stack whose layers are dilated twice as much each time."""
        layers: list[Deltas] = [
            {"kernel_width": width, "dilation": 2**i - 1, "window_pooling": 2**i // 2}
            for i, width in enumerate((1, 2, 1, 1, 0))  # beyond 3
        ]
        layers[-1] = {**layers[-1], "n_convkernels": self.n_hidden - self.n_convkernels}
        sizes = {"n_convkernels": self.n_convkernels, "input_size": self.input_size}
        return {
            "net": {"n_stacks": 0, "n_convlayers": len(layers), "kernel_width": 3, **sizes},
            **{f"net/decode/stack0/layer{i}": layer for i, layer in enumerate(layers)},
        }


BASELINES: dict[str, type[Baseline]] = {"unet2015": UNet2015, "ciresan2012": Ciresan2012}


def title_of(name: str) -> str:
    """Return what people call a baseline."""
    return BASELINES[name].title if name in BASELINES else name
