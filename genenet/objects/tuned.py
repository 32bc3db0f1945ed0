"""What the validation images have said about objects: thresholds, and the risk of contacts."""

from __future__ import annotations

from collections.abc import Mapping
from operator import not_
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from genenet.core.models import Closed
from genenet.metrics.instance_scores import InstanceScores
from genenet.objects.stages import Thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genenet.config.instances import InstanceSettings

    Values = NDArray[np.float64]

DEFAULT = 0.5


class Risk(Closed):
    """The probability that two objects which touch are parts of one, by a logistic regression on validation images.

    Attributes:
        intercept: of the regression.
        border: weight of the mean border probability along the contact.
        disagreement: weight of the members' mean disagreement there.
        log_faces: weight of the logarithm of the number of faces.
        n_contacts: on which it was fitted.
    """

    intercept: float
    border: float
    disagreement: float
    log_faces: float
    n_contacts: int

    @staticmethod
    def features(border: Values, disagreement: Values, faces: Values) -> Values:
        """Return what the regression sees (3, n) of contacts: their means (n,) and numbers of faces (n,)."""
        return np.stack([border, disagreement, np.log(np.maximum(faces, 1))])

    def of(self, border: Values, disagreement: Values, faces: Values) -> Values:
        """Return the risk (n,) of contacts, from their means (n,) and numbers of faces (n,)."""
        weights = np.array([self.border, self.disagreement, self.log_faces])
        risk: Values = 1 / (
            1 + np.exp(-(weights @ self.features(border, disagreement, faces) + self.intercept))
        )
        return risk


class ContactReliability(Closed):
    """How often contacts of a risk are wrong.

    Attributes:
        n: contacts between objects of which both lie mostly in a true one.
        n_wrong: of them, both in the same.
        expected_calibration_error: mean difference between risk and share of wrong contacts, weighted by bin.
        counts: contacts in bins of the risk.
        mean_risk: in each bin.
        share_wrong: in each bin.
    """

    n: int
    n_wrong: int
    expected_calibration_error: float
    counts: list[int]
    mean_risk: list[float]
    share_wrong: list[float]


class ObjectScores(Closed):
    """The scores of the objects of one class on images.

    Attributes:
        scores: of the objects.
        components: of the connected components of the class instead, without borders and watershed.
        contacts: None without a fitted risk, or without contacts.
    """

    scores: InstanceScores
    components: InstanceScores
    contacts: ContactReliability | None = None


class TunedObjects(Closed):
    """The best thresholds for the objects of one class, and the risk of their contacts.

    Attributes:
        seed: threshold of the core probability.
        extent: threshold of the object probability.
        overlap: of seeds in neighbouring slices that belong together.
        scores: on the validation images.
        risk: None if the validation images have too few contacts.
    """

    seed: float = DEFAULT
    extent: float = DEFAULT
    overlap: float = 0.0
    scores: InstanceScores | None = None
    risk: Risk | None = Field(None, exclude_if=not_)

    @classmethod
    def of_store(cls, attributes: Mapping[str, Any], name: str) -> TunedObjects:
        """Return what the attributes of a store say about a class; the defaults if they say nothing."""
        return cls.model_validate(attributes.get("tuned_objects", {}).get(name, {}))

    def thresholds(self, settings: InstanceSettings) -> Thresholds:
        """Return the thresholds that settings and validation images give."""
        given = settings.model_dump(exclude_none=True)
        return Thresholds(**{"seed": self.seed, "extent": self.extent, "overlap": self.overlap, **given})

    def chosen(self, min_size_voxels: int) -> Thresholds:
        """Return the thresholds that were best, with the smallest size of seeds."""
        return Thresholds(self.seed, self.extent, self.overlap, min_size_voxels)
