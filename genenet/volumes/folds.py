"""Cross-validation: cuts labelled images into the parts that each training learns from, and those that score it.

By region, each image is cut into n slabs of nearly equal size. Fold k validates on slab k, and learns from what lies
before and after it::

    0          s1         s2         s3          s4         stop
    |  slab 0  |  slab 1  |  slab 2  |  slab 3   |  slab 4  |
    |        train        |validation|        train         |    fold 2

Each of these parts is an image of its own, so no patch of a training holds a voxel that it is validated on.
"""

from __future__ import annotations

import logging
import math
from itertools import pairwise
from typing import TYPE_CHECKING

from genenet.config.folds import dealt
from genenet.core.choices import many
from genenet.core.errors import InputError
from genenet.core.geometry import by
from genenet.volumes.base import crop
from genenet.volumes.opening import open_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from genenet.config.folds import FoldPlan
    from genenet.config.settings import ImageFiles, PrepareSettings
    from genenet.core.geometry import Triple

Ends = tuple[int, int]  # of an interval, half-open

SLICES_FOR_3D = 8  # that a slab should have: 3D networks see its ends reflected

log = logging.getLogger(__name__)


def folded(settings: PrepareSettings) -> list[ImageFiles]:
    """Return the images of the settings, cut or chosen by their folds; all of them if there are no folds.

    Raises:
        InputError: If an image can't be opened, or is too small for so many slabs.
    """
    plan, images = settings.folds, settings.images
    if plan is None:
        return list(images)
    if plan.by == "image":
        of_images = dealt([tuple(map(str, image.image)) for image in images], plan.n)
        return [images[index] for index in _indices(of_images, plan, settings.split)]
    cuts = [slabs_of(image, settings) for image in images]
    return list(_parts(images, cuts, plan, settings.split))


def _indices(of_images: Sequence[int], plan: FoldPlan, split: str | None) -> list[int]:
    """Return which images belong to a part; ``of_images`` has the fold of each."""
    if plan.fold is None:
        return sorted(range(len(of_images)), key=lambda index: of_images[index])
    is_validation = split == "validation"
    return [index for index, fold in enumerate(of_images) if (fold == plan.fold) == is_validation]


def _parts(
    images: Sequence[ImageFiles], cuts: Sequence[Slabs], plan: FoldPlan, split: str | None
) -> Iterator[ImageFiles]:
    """Yield the slabs that folds validate on, or what the fold learns from."""
    for fold in range(plan.n) if plan.fold is None else [plan.fold]:
        for image, cut in zip(images, cuts, strict=True):
            for ends in [cut.ends[fold]] if split == "validation" else cut.around(fold):
                yield image.model_copy(update={"region": cut.region(ends)})


class Slabs:
    """An image's region, cut along one axis.

    Attributes:
        whole: the region, along z, y, x.
        axis: that is cut: z if the slabs have as many slices as they should, otherwise the longer of y and x. If they
            would be too narrow there, it is z as long as there is a slice for each slab.
        ends: of the slabs along it, in order.
    """

    def __init__(self, whole: Sequence[Ends], n: int, smallest: int, n_slices: int = 1) -> None:
        self.whole = tuple(whole)
        depth, height, width = (stop - start for start, stop in whole)
        is_deep = depth >= n * n_slices or (depth >= n and max(height, width) < n * smallest)
        self.axis = 0 if is_deep else 1 if height >= width else 2
        self.n_fitting = max(depth, height // smallest, width // smallest)
        self.ends = cut(self.whole[self.axis], n)

    def region(self, ends: Ends) -> tuple[Ends, Ends, Ends]:
        """Return the region from one end to the other along the axis."""
        z, y, x = (ends if axis == self.axis else all_ for axis, all_ in enumerate(self.whole))
        return z, y, x

    def around(self, index: int) -> list[Ends]:
        """Return what lies before and after a slab, as far as there is anything."""
        (start, stop), (first, last) = self.whole[self.axis], self.ends[index]
        return [ends for ends in ((start, first), (last, stop)) if ends[0] < ends[1]]


def cut(ends: Ends, n: int) -> list[Ends]:
    """Cut an interval into n parts whose sizes differ by 1 at most."""
    start, stop = ends
    return list(pairwise(start + (stop - start) * i // n for i in range(n + 1)))


def slabs_of(image: ImageFiles, settings: PrepareSettings) -> Slabs:
    """Cut an image into the slabs of its folds: along z if it has enough slices, otherwise along y or x.

    A slab along z has a slice, or SLICES_FOR_3D if networks may be 3D. Fewer are warned of. A slab along y or x is as
    wide as the smallest input of a network.

    Args:
        image: of whose files only the headers are read.
        settings: with folds.

    Raises:
        InputError: If the image can't be opened, or is too small for so many slabs.
    """
    assert settings.folds is not None
    n, smallest = settings.folds.n, _smallest(image, settings)
    n_slices = SLICES_FOR_3D if settings.sees_depth else 1
    volume = open_files(image).image
    crop(volume, image.region)  # checks the region
    whole = [ends or (0, size) for ends, size in zip(image.region or [None] * 3, volume.shape, strict=True)]
    slabs = Slabs(whole, n, smallest, n_slices)
    if slabs.n_fitting < n:
        shape: Triple = tuple(stop - start for start, stop in whole)  # type: ignore[assignment]
        use = (
            f"lower n to {slabs.n_fitting} or less"
            if slabs.n_fitting > 1
            else "use by: image, or data.validation"
        )
        raise InputError(
            f"{volume.name}: {by(shape)} voxels (z, y, x) are too few for data.folds.n {n}: a slab needs a "
            f"slice, or {smallest} voxels along y or x, so {max(1, slabs.n_fitting)} would fit; {use}"
        )
    thinnest = min(stop - start for start, stop in slabs.ends)
    if slabs.axis == 0 and thinnest < n_slices:
        log.warning(
            "%s: its %d folds are slabs of %s, which 3D networks see reflected along z; use fewer folds, by: image, or "
            "networks of spatial_mode 2d",
            *(volume.name, n, many(thinnest, "slice")),
        )
    return slabs


def _smallest(image: ImageFiles, settings: PrepareSettings) -> int:
    """Return how many voxels of the file along y or x make the smallest input, once they are resampled."""
    smallest, own = settings.smallest_input_voxels or 1, image.voxel_size_nm
    if own is None:
        return smallest
    ratios = (new / old for old, new in zip(own[1:], settings.voxel_size_nm[1:], strict=True))
    return max(math.ceil(smallest * ratio - 1e-6) for ratio in ratios)  # 30 * 1.0000000000000002 is 30
