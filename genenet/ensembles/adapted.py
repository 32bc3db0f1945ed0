"""What became of adapting an ensemble to another volume, in ``ensemble.json`` and ``adaptation.json``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from genenet.config.adaptation import LayersName
from genenet.config.selection_metrics import SelectionMetricName
from genenet.core.models import Closed
from genenet.metrics.scores import ClassScores


class Crop(Closed):
    """A labelled crop that an ensemble was adapted to.

    Attributes:
        name: of the box.
        voxels: labelled ones of each class, in the order of the class ids.
    """

    name: str
    voxels: list[NonNegativeInt]


class Adaptation(Closed):
    """How an ensemble was adapted to another volume.

    Scores are those of crops that were left out: for each of them, the layers, the temperature and the priors were
    fitted to other crops.

    Attributes:
        ensemble: the folder of the ensemble that was adapted.
        fingerprint: of this ensemble.
        source: the volume that the crops were cut from.
        crops: that it was adapted to.
        layers: that were trained.
        only_heads: runs of the members whose head alone was trained, since the last stack has norms that need
            statistics of the volume.
        seed: of the order of the pieces, and of the voxels that are drawn.
        threads: CPU cores; other numbers give other bits.
        metric: by which the new ensemble is compared with the old one.
        before: scores of the old ensemble on the crops.
        after: scores of the new one.
        has_priors: whether it has priors of the classes, since it is better with them.
        is_better: whether the new ensemble has the better score. If not, the old one is kept as it was.
        genenet: the version that adapted it.
    """

    format: Literal["genenet.adaptation/1"] = "genenet.adaptation/1"
    ensemble: str
    fingerprint: str
    source: Any = None
    crops: list[Crop] = Field(min_length=1)
    layers: LayersName
    only_heads: list[str] = Field(default_factory=list)
    seed: NonNegativeInt
    threads: PositiveInt
    metric: SelectionMetricName
    before: ClassScores
    after: ClassScores
    has_priors: bool
    is_better: bool
    genenet: str
