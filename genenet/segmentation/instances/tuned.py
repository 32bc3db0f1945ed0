"""What the validation images have said about objects: thresholds, and the risk of contacts."""

from __future__ import annotations

from collections.abc import Mapping
from operator import not_
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from genenet.core.models import Closed
from genenet.segmentation.instances.stages import Thresholds

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

    def of(self, border: Values, disagreement: Values, faces: Values) -> Values:
        """Return the risk (n,) of contacts, from their means (n,) and numbers of faces (n,)."""
        score = self.border * border + self.disagreement * disagreement + self.log_faces * np.log(faces)
        risk: Values = 1 / (1 + np.exp(-(score + self.intercept)))
        return risk


class TunedObjects(Closed):
    """The best thresholds for the objects of one class, and the risk of their contacts.

    Attributes:
        seed: threshold of the core probability.
        extent: threshold of the object probability.
        score: on the validation images, by the metric that they were chosen for.
        risk: None if the validation images have too few contacts.
    """

    seed: float = DEFAULT
    extent: float = DEFAULT
    score: float | None = None
    risk: Risk | None = Field(None, exclude_if=not_)

    @classmethod
    def of_store(cls, attributes: Mapping[str, Any], name: str) -> TunedObjects:
        """Return what the attributes of a store say about a class; the defaults if they say nothing."""
        return cls.model_validate(attributes.get("tuned_objects", {}).get(name, {}))

    def thresholds(self, settings: InstanceSettings) -> Thresholds:
        """Return the thresholds that settings and validation images give."""
        seed = self.seed if settings.seed is None else settings.seed
        extent = self.extent if settings.extent is None else settings.extent
        return Thresholds(seed, extent, settings.min_size_voxels)
