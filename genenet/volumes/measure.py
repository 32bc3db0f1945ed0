"""Centre and scale of images, as ``data.normalisation`` wants them: one function for prepared images and for volumes.

Both are exact for an image of at most ``EXACT_VOXELS`` voxels; those of a larger one come from a seeded sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genenet.config.normalisation import ESTIMATES
from genenet.core.errors import InputError
from genenet.volumes.percentiles import Distribution, image_distribution, slice_distributions
from genenet.volumes.sampling import thin_slabs
from genenet.volumes.statistics import EXACT_VOXELS, Moments, as_arrays, image_moments, is_sampled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from genenet.config.normalisation import NormalisationSettings
    from genenet.volumes.base import Volume

    CentreAndScale = tuple[NDArray[np.float64], NDArray[np.float64]]  # (1,), or (Z,) of slices


@dataclass(frozen=True)
class ImageInMask:
    """An image, or a region of one, and the mask of the same shape, if it has one: only what is inside counts."""

    volume: Volume
    mask: Volume | None = None

    @property
    def n_voxels(self) -> int:
        """The number of voxels inside the mask."""
        mask, shape = self.mask, self.volume.shape
        if mask is None:
            return shape[0] * shape[1] * shape[2]
        return sum(int(np.count_nonzero(mask.read(slab))) for slab in thin_slabs(shape, mask.chunks[0]))


def measure(
    settings: NormalisationSettings,
    part: ImageInMask,
    image: ImageInMask | None = None,
    max_voxels: int = EXACT_VOXELS,
) -> CentreAndScale:
    """Return centre and scale of a region of an image.

    Args:
        settings: what they are made of, and how; ``over: training`` measures the region, as ``over: volume`` does.
        part: the region.
        image: what it was cut from; None if it is a whole image.
        max_voxels: about as many of a larger image count.

    Returns:
        Centre and scale, (1,), or (Z,) of each slice; a constant slice has scale 1.

    Raises:
        InputError: If a voxel isn't finite, the scale would be 0, or the mask leaves none.
    """
    if image is None or settings.over != "image":
        return measure_together(settings, [part], max_voxels)
    try:
        return measure_together(settings, [image], max_voxels)
    except InputError as error:
        raise InputError(
            f"{error} (normalisation: image reads the whole image; volume reads only the region)"
        ) from None


def measure_together(
    settings: NormalisationSettings, images: Sequence[ImageInMask], max_voxels: int = EXACT_VOXELS
) -> CentreAndScale:
    """Return centre and scale of all voxels of some images; arguments and errors are those of ``measure``."""
    found: CentreAndScale = ESTIMATES[settings.by].function()(settings, images, max_voxels)
    return found


def by_mean(
    settings: NormalisationSettings, images: Sequence[ImageInMask], max_voxels: int
) -> CentreAndScale:
    """Return mean and standard deviation."""
    if settings.over == "slice":
        (image,) = images
        return as_arrays(image_moments(image.volume, True, max_voxels=max_voxels, mask=image.mask))
    return as_arrays([Moments.merged(_moments(images, max_voxels))])


def _moments(images: Sequence[ImageInMask], max_voxels: int) -> Iterator[Moments]:
    for image in images:
        found = image_moments(image.volume, False, max_voxels=max_voxels, mask=image.mask)
        is_weighed = len(images) > 1 and is_sampled(
            image.volume, max_voxels
        )  # a sample stands for all voxels
        yield from (found[0].scaled(image.n_voxels),) if is_weighed else found


def by_percentiles(
    settings: NormalisationSettings, images: Sequence[ImageInMask], max_voxels: int
) -> CentreAndScale:
    """Return mean and deviation of the normal distribution that has the same two percentiles."""
    if settings.over == "slice":
        (image,) = images
        return _of_slices(settings, image, max_voxels)
    together = Distribution.merged(_distributions(images, max_voxels))
    centre, scale = together.centre_and_scale(settings.percentiles)
    if scale == 0:
        low, high = settings.percentiles
        raise InputError(
            f"{images[0].volume.name}: percentiles {low:g} and {high:g} of its voxels are both {centre:g}, and give no "
            "scale; set percentiles: further apart, by: mean, or a mask: that leaves out the background"
        )
    return np.array([centre]), np.array([scale])


def _distributions(images: Sequence[ImageInMask], max_voxels: int) -> Iterator[Distribution]:
    for image in images:
        found = image_distribution(image.volume, max_voxels=max_voxels, mask=image.mask)
        is_weighed = len(images) > 1 and is_sampled(image.volume, max_voxels)
        yield found.scaled(image.n_voxels) if is_weighed else found


def _of_slices(settings: NormalisationSettings, image: ImageInMask, max_voxels: int) -> CentreAndScale:
    n_z = image.volume.shape[0]
    centre, scale = np.zeros(n_z), np.ones(n_z)
    for z, found in slice_distributions(image.volume, max_voxels=max_voxels, mask=image.mask):
        centre[z], of_slice = found.centre_and_scale(settings.percentiles)
        scale[z] = of_slice or 1.0
    return centre, scale
