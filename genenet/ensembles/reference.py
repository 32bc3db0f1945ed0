"""What an ensemble has seen, and how far another volume is from it.

Three comparisons need no network: the distribution of the normalised grey values, how much neighbouring voxels differ
(blur, noise and the size of voxels change that), and whether thin structures are dark or bright. Two more need the
predictions for a sample of the volume: the shares of the classes, and the mean uncertainty. The latter is a difference
of average confidences, which Guillory et al. (2021, "Predicting with confidence on unseen distributions") found to
predict the loss of accuracy on other data. The limits are from `benchmarks/too_different.py`; docs/benchmarks.md says
how often they are wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, NonNegativeFloat

from genenet.core.models import Closed
from genenet.volumes.grey_values import GreyValues

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

GREY_LIMIT = 0.6  # in deviations
TEXTURE_LIMIT = 1.25  # as a logarithm to base 2
INVERTED_LIMIT, LEAST_SKEW = 0.3, 0.2  # of a ratio of distances, and of the larger distance
SHARES_LIMIT = 0.12
UNCERTAINTY_LIMIT = 0.07  # above that of validation


class Predictions(Closed):
    """What an ensemble predicts, without any labels.

    Attributes:
        class_shares: share of the voxels of each predicted class.
        uncertainty: mean probability that the predicted class is wrong, with the ensemble's temperature.
    """

    class_shares: list[NonNegativeFloat]
    uncertainty: float = Field(ge=0, le=1)

    def shares_distance(self, other: Predictions) -> float:
        """Return the share of voxels that would have to change their class for equal shares: 0 to 1."""
        pairs = zip(self.class_shares, other.class_shares, strict=True)
        return sum(abs(a - b) for a, b in pairs) / 2


class Reference(Closed):
    """What an ensemble has seen; a volume to be segmented is compared with it.

    Attributes:
        images: the normalised grey values of the training and the validation images.
        validation: what was predicted on the validation images; None if there was none, or if the members were then
            trained anew for longer.
    """

    images: list[GreyValues]
    validation: Predictions | None = None

    def warning(
        self, name: str, classes: Sequence[str], greys: GreyValues | None, found: Predictions | None
    ) -> str | None:
        """Return one line if a volume is too far from what the ensemble has seen: how far, and what can be done.

        Args:
            name: of the volume.
            classes: their names.
            greys: of the volume; None if they aren't known.
            found: what is predicted for a sample of the volume; None if it isn't known.
        """
        reasons = [*self._other_greys(greys), *self._other_predictions(classes, found)]
        if not reasons:
            return None
        return (
            f"{name}: may be too different from what the ensemble has seen: {'; '.join(reasons)}. Compare a slice of "
            "the result with the image; bring its contrast and voxel size (--rescale) to those of the labelled images, "
            "or label a slice of this volume and train with it"
        )

    def _other_greys(self, greys: GreyValues | None) -> Iterator[str]:
        """Yield how the grey values differ from those of the most similar image."""
        if greys is None or not self.images:
            return
        distance = min(greys.distance(image) for image in self.images)
        if distance > GREY_LIMIT:
            yield (
                f"its normalised grey values are {distance:.2f} from those of the most similar labelled image (limit "
                f"{GREY_LIMIT:g})"
            )
        texture = min((greys.texture(image) for image in self.images), key=abs)
        if abs(texture) > TEXTURE_LIMIT:
            yield (
                f"its neighbouring voxels differ {2**texture:.2g} times as much as in the most similar labelled image "
                f"(limit {2**TEXTURE_LIMIT:.2g} times, or its inverse), by blur, noise or another size of voxels"
            )
        same, inverted = (min(greys.skew_distance(image, sign) for image in self.images) for sign in (1, -1))
        if same > LEAST_SKEW and inverted < INVERTED_LIMIT * same:
            yield (
                f"it looks like the inverse of the labelled images: the skewness of thin structures is {inverted:.2f} "
                f"from theirs after an inversion, {same:.2f} without one (limit {INVERTED_LIMIT * same:.2f})"
            )

    def _other_predictions(self, classes: Sequence[str], found: Predictions | None) -> Iterator[str]:
        """Yield how the predictions differ from those for the validation images."""
        expected = self.validation
        if found is None or expected is None:
            return
        distance = found.shares_distance(expected)
        if distance > SHARES_LIMIT:
            index = max(range(len(classes)), key=lambda i: found.class_shares[i] - expected.class_shares[i])
            yield (
                f"the shares of the predicted classes differ by {distance:.0%} from those on validation (limit "
                f"{SHARES_LIMIT:.0%}), above all {classes[index]} ({found.class_shares[index]:.0%}, there "
                f"{expected.class_shares[index]:.0%})"
            )
        if found.uncertainty > expected.uncertainty + UNCERTAINTY_LIMIT:
            yield (
                f"the mean uncertainty is {found.uncertainty:.2f}, on validation {expected.uncertainty:.2f} (limit "
                f"{expected.uncertainty + UNCERTAINTY_LIMIT:.2f})"
            )
