"""``training.loss:``, what is minimised, and the table of the losses."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, PositiveFloat
from pydantic import NonNegativeFloat as NonNegative

from genenet.core.choices import Choice, Table
from genenet.core.chosen import Chosen
from genenet.core.models import Closed


class DiceOptions(Closed):
    """Of cross-entropy with Dice."""

    dice_share: float = Field(
        0.5, ge=0, le=1, description="weight of the Dice loss; the rest is cross-entropy"
    )


class FocalOptions(Closed):
    """Of focal loss."""

    focal_gamma: NonNegative = Field(
        2.0, description="exponent; a larger value gives easy voxels less weight, and 0 is cross-entropy"
    )


LOSSES = Table(
    "loss",
    [
        Choice(
            "cross_entropy",
            "cross-entropy, as the published search trains",
            "genenet.training.losses:cross_entropy",
        ),
        Choice(
            "dice_cross_entropy",
            "the weighted mean of cross-entropy and soft Dice (Milletari et al. 2016)",
            "genenet.training.losses:dice_cross_entropy",
            DiceOptions,
        ),
        Choice(
            "focal",
            "the focal loss of Lin et al. (2017)",
            "genenet.training.losses:focal",
            FocalOptions,
        ),
    ],
)


class Loss(Chosen):
    """What is minimised, as a mean over the voxels that aren't ignored."""

    table: ClassVar[Table[Choice]] = LOSSES

    kind: str = "cross_entropy"
    class_weight_exponent: float = Field(
        0.5,
        ge=0,
        le=1,
        description="a class of frequency f has the weight f^-exponent: 0 is unweighted, 1 is inverse frequency",
    )
    border_weight: NonNegative = Field(
        0.0,
        description="additional weight of background between objects that nearly touch: w0 in eq. 2 of "
        "Ronneberger et al. (2015); 0 is off",
    )
    border_sigma_voxels: PositiveFloat = Field(5.0, description="sigma in the same equation")
