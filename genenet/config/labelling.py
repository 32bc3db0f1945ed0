"""How boxes to label are chosen: the options of ``genenet suggest``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from genenet.config.types import Shape
from genenet.core.choices import Choice, OneOf, Table
from genenet.core.models import Closed

WAYS = Table(
    "way to choose boxes",
    [
        Choice(
            "disagreement",
            "where the networks of the ensemble contradict each other",
            "genenet.labelling.ways:by_score",
        ),
        Choice(
            "entropy",
            "where the ensemble as a whole is uncertain",
            "genenet.labelling.ways:by_score",
        ),
        Choice("random", "drawn at random", "genenet.labelling.ways:by_chance"),
        Choice("even", "as far from each other as possible", "genenet.labelling.ways:by_distance"),
    ],
)


class SuggestionSettings(Closed):
    """Which boxes of a volume are suggested for labelling."""

    n: PositiveInt = Field(10, description="number of boxes")
    size: Shape = Field((16, 256, 256), description="voxels of a box along z, y, x, such as 16,256,256")
    by: Annotated[str, OneOf(WAYS)] = Field("disagreement", description=WAYS.text)
    balance: float = Field(
        0.5,
        ge=0,
        le=1,
        description="how much more a voxel of a rare class counts: its class's share of the prediction to the power of "
        "minus this; 0: all classes count alike. Not for random and even",
    )
    diversity: float = Field(
        1.0,
        ge=0,
        le=10,
        description="how much a box counts less that looks to the networks like a box that is already chosen or "
        "labelled; 0: boxes may look alike. Not for random and even",
    )
    seed: int = Field(0, ge=0, description="of the boxes that are drawn at random")
