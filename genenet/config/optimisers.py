"""``training.optimiser:``, how gradients change weights, and the table of the optimisers."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, PositiveFloat
from pydantic import NonNegativeFloat as NonNegative

from genenet.core.choices import Choice, Table
from genenet.core.chosen import Chosen
from genenet.core.models import Closed


class SGDOptions(Closed):
    """Of stochastic gradient descent."""

    momentum: float = Field(0.9, ge=0, lt=1, description="Nesterov momentum; 0 is off")


OPTIMISERS = Table(
    "optimiser",
    [
        Choice(
            "adam",
            "Adam with the genome's betas; weight decay is added to the gradient (L2)",
            "genenet.training.optimisation:adam",
        ),
        Choice(
            "adamw",
            "Adam with decoupled weight decay (Loshchilov and Hutter 2019)",
            "genenet.training.optimisation:adamw",
        ),
        Choice(
            "sgd",
            "stochastic gradient descent; weight decay is added to the gradient (L2)",
            "genenet.training.optimisation:sgd",
            SGDOptions,
        ),
    ],
)


class Optimiser(Chosen):
    """How gradients change weights. The genome gives the learning rate and Adam's betas."""

    table: ClassVar[Table[Choice]] = OPTIMISERS

    kind: str = "adam"
    weight_decay: NonNegative = Field(
        0.0, description="weight decay of kernels; biases and normalisation layers have none"
    )
    gradient_clip: PositiveFloat | None = Field(
        None,
        description="largest norm of the gradient; longer gradients are scaled down to it. null: no limit",
    )
    ema_decay: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="decay per iteration of an exponential moving average of the weights, which is validated and "
        "kept; null: no average is made",
    )
