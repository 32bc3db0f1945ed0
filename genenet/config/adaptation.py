"""How ``genenet adapt`` adapts an ensemble to another volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from genenet.config.types import Device
from genenet.core.choices import Choice, OneOf, Table
from genenet.core.models import Closed


@dataclass(frozen=True)
class Layers(Choice):
    """Layers of a network that are trained; the function makes them of the network and its pieces.

    Attributes:
        most_left_out: how often crops are left out to score the result; of more crops, several are left out together.
        are_convolved: whether norms that need statistics of the volume could be among them.
    """

    most_left_out: int = 8
    are_convolved: bool = False


HEAD = "head"
LAYERS = Table(
    "choice of layers",
    [
        Layers(HEAD, "the last 1×1 convolution", "genenet.training.last_layers:LastConvolution"),
        Layers(
            "last-stack",
            "the last stack of the decoder and the last 1×1 convolution, which takes several times as long",
            "genenet.training.last_layers:LastStack",
            most_left_out=4,
            are_convolved=True,
        ),
    ],
)
LayersName = Annotated[str, OneOf(LAYERS)]


class AdaptSettings(Closed):
    """How an ensemble is adapted; each field is an option of ``genenet adapt``."""

    layers: LayersName = Field(HEAD, description=f"what is trained of each member. {LAYERS.text}")
    seed: NonNegativeInt = Field(0, description="of the voxels and boxes that are drawn")
    threads: PositiveInt | None = Field(
        None, description="CPU cores; the same number gives the same bits; default: all of this job"
    )
    device: Device = Field("auto", description="auto, cuda or cpu")
