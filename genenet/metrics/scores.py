"""The scores of one segmentation against labels, as files hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import (
    Field,
    NonNegativeInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from genenet.core.choices import listed
from genenet.core.models import Closed
from genenet.metrics.table import METRICS

LOW_IOU = 0.1  # a class with less counts as badly found


class ClassScores(Closed):
    """The scores of a segmentation's classes against labels.

    The file is flat: the metrics are beside ``n_voxels``. A metric that isn't defined, or that an older version
    didn't compute, is None.

    Attributes:
        n_voxels: that were counted; None in files that don't say it.
        metrics: by the names of ``genenet.metrics.table.METRICS``.
        iou: intersection over union of each class, in the order of the class ids.
        confusion: voxels, a list for each true class by predicted class.
        class_names: of ``iou`` and ``confusion``, where they were asked for.
    """

    n_voxels: NonNegativeInt | None = None
    metrics: dict[str, float | None] = Field(default_factory=dict)
    iou: list[float | None] = Field(default_factory=list)
    confusion: list[list[NonNegativeInt]] = Field(default_factory=list)
    class_names: list[str] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_flat(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "metrics" in values:
            return values
        others = {name: value for name, value in values.items() if name not in METRICS}
        return {**others, "metrics": {name: values.get(name) for name in METRICS}}

    @model_validator(mode="after")
    def _known_metrics(self) -> Self:
        for name in self.metrics:
            METRICS.check(name)
        return self

    @model_serializer(mode="wrap")
    def _flat(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        metrics, n_voxels = values.pop("metrics", {}), values.pop("n_voxels", None)
        named = {} if values.get("class_names") is not None else {"class_names"}
        return {
            "n_voxels": n_voxels,
            **metrics,
            **{name: value for name, value in values.items() if name not in named},
        }

    @property
    def ari(self) -> float | None:
        """Adjusted Rand index over class labels."""
        return self.metrics.get("ari")

    @property
    def mean_iou(self) -> float | None:
        """Mean IoU of the classes that occur."""
        return self.metrics.get("mean_iou")

    @property
    def accuracy(self) -> float | None:
        """Share of voxels with the right class."""
        return self.metrics.get("accuracy")

    @property
    def never_predicted(self) -> list[int]:
        """Ids of the classes that the labels show and the segmentation never does; none if counts are missing."""
        found = [sum(column) for column in zip(*self.confusion, strict=True)]
        return [index for index, row in enumerate(self.confusion) if sum(row) and not found[index]]

    @property
    def badly_found(self) -> dict[int, float]:
        """Ids of the other classes of the labels whose IoU is below LOW_IOU, and this IoU."""
        shown = [index for index, row in enumerate(self.confusion) if sum(row)]
        ious = [(index, self.iou[index]) for index in shown if index not in self.never_predicted]
        return {index: iou for index, iou in ious if iou is not None and iou < LOW_IOU}

    def not_found(self, classes: Sequence[str]) -> str:
        """Return a sentence on the classes that are never predicted or badly found, or "" if there are none.

        It has no full stop, and can follow "On the validation images, ".
        """
        missed = [classes[index] for index in self.never_predicted]
        bad = [f"{classes[index]} (IoU {iou:.3f})" for index, iou in self.badly_found.items()]
        are, them = ("is", "it") if len(missed) == 1 else ("are", "them")
        parts = [
            f"{listed(missed)} {are} never predicted, although the labels contain {them}" if missed else "",
            f"{listed(bad)} {'is' if len(bad) == 1 else 'are'} hardly found" if bad else "",
        ]
        return "; ".join(filter(None, parts))
