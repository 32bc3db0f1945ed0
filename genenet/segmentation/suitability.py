"""Checks a volume against the training data before segmenting it, and normalises it as they are."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from genenet.volumes.grid import size_text
from genenet.volumes.measure import ImageInMask, measure
from genenet.volumes.rescale import RescaledVolume, check_rescaling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.config.settings import ImageFiles
    from genenet.ensembles.ensemble import LoadedEnsemble
    from genenet.volumes.base import Volume
    from genenet.volumes.masks import Mask
    from genenet.volumes.normalisation import Normalisation

_SAMPLE_VOXELS = 2**20

log = logging.getLogger(__name__)


def fit(volume: Volume, source: ImageFiles, ensemble: LoadedEnsemble, rescale: bool) -> Volume:
    """Return the volume, resampled to the ensemble's voxel size if that is wanted.

    2D networks see no z: the volume is resampled along z only if one of the networks is 3D. An axis whose size
    neither the user nor the file says counts as the ensemble's.

    Args:
        volume: what is to be segmented.
        source: its files.
        ensemble: what segments it.
        rescale: resample the volume if the sizes differ; without it a warning is logged.

    Raises:
        InputError: If it should be resampled, and its voxel size isn't known, or it has labels or a mask.
    """
    grid, trained = volume.grid, ensemble.voxel_size_nm
    if rescale:
        check_rescaling(volume, source, trained)
    if 0 < len(grid.missing) < 3:
        log.warning(
            "%s: its file says that its voxels are %s nm (z, y, x); along %s, the ensemble's size is assumed",
            *(volume.name, size_text(grid.sizes_nm), " and ".join(grid.missing)),
        )
    if not grid.differs_from(trained):
        return volume
    if not rescale:
        log.warning(size_difference(volume, ensemble))
        return volume
    rescaled = _rescaled(volume, ensemble)
    log.info(
        "%s: resampled from voxels of %s nm to %s nm (z, y, x)",
        *(volume.name, volume.voxel_size_nm, rescaled.voxel_size_nm),
    )
    return rescaled


def size_difference(volume: Volume, ensemble: LoadedEnsemble) -> str | None:
    """Return a warning if the voxels of a volume have another size than those of the training images.

    A volume that was resampled needs none: what it keeps is its size along z, which 2D networks don't see.
    """
    grid, trained = volume.grid, ensemble.voxel_size_nm
    if isinstance(volume, RescaledVolume) or not grid.differs_from(trained):
        return None
    return (
        f"{volume.name}: has voxels of {volume.voxel_size_nm or size_text(grid.sizes_nm)} nm, the ensemble was trained "
        f"on {trained} nm (z, y, x); rescale: true (or --rescale) resamples it while it is read"
    )


def cut_from(image: Volume, fitted: Volume, ensemble: LoadedEnsemble) -> Volume:
    """Return the whole image that a volume is a region of, resampled if the volume was."""
    return _rescaled(image, ensemble) if isinstance(fitted, RescaledVolume) else image


def _rescaled(volume: Volume, ensemble: LoadedEnsemble) -> Volume:
    """Return the volume at the ensemble's voxel size; along z only if a network is 3D."""
    trained = ensemble.voxel_size_nm
    volume.grid = volume.grid.completed(trained)
    own = volume.grid.voxel_size_nm
    assert own is not None
    return RescaledVolume(volume, trained if is_3d(ensemble) else (own[0], *trained[1:]))


def warn_of_other_images(volume: Volume, ensemble: LoadedEnsemble, mask: Volume | None = None) -> list[str]:
    """Log a warning if a volume's type, its values or its number of slices aren't those of the training images.

    Returns:
        The warnings.
    """
    lines = [of(volume, ensemble, mask) for of in (_too_few_slices, _other_type, _other_values)]
    return logged(lines)


def logged(lines: Sequence[str | None]) -> list[str]:
    """Log warnings, and return them; None is none."""
    found = [line for line in lines if line]
    for line in found:
        log.warning("%s", line)
    return found


def _too_few_slices(volume: Volume, ensemble: LoadedEnsemble, mask: Volume | None) -> str | None:
    if not is_3d(ensemble) or volume.shape[0] > 1:
        return None
    return (
        f"{volume.name}: is a single slice, and the ensemble's networks are 3D: they see it reflected along z; "
        "networks of spatial_mode 2d suit it better"
    )


def _other_type(volume: Volume, ensemble: LoadedEnsemble, mask: Volume | None) -> str | None:
    if not ensemble.dtypes or volume.dtype.name in ensemble.dtypes:
        return None
    return (
        f"{volume.name}: its voxels are {volume.dtype}, the ensemble was trained on {' and '.join(ensemble.dtypes)}; "
        "convert them likewise, unless that makes no difference under normalisation: "
        f"{ensemble.normalisation.settings}"
    )


def _other_values(volume: Volume, ensemble: LoadedEnsemble, mask: Volume | None) -> str | None:
    """Compare centre and scale if those of the training images are used: a volume's own make up for others.

    An ensemble with a reference is compared with that.
    """
    rule = ensemble.normalisation
    if rule.settings.over != "training" or ensemble.reference:
        return None
    part = ImageInMask(volume, mask)
    (mean,), (deviation,) = measure(rule.settings, part, max_voxels=_SAMPLE_VOXELS)
    if abs(mean - rule.mean) <= 3 * rule.deviation and 0.2 < deviation / rule.deviation < 5:
        return None
    return (
        f"{volume.name}: its voxels are {mean:.4g} ± {deviation:.2g}, those of the training images {rule.mean:.4g} ± "
        f"{rule.deviation:.2g}, by which it is normalised; bring them to the same range, or train with normalisation: "
        "volume"
    )


def is_3d(ensemble: LoadedEnsemble) -> bool:
    """Return whether a network of the ensemble sees more than one slice."""
    return any(network.plan.receptive_field[0] > 1 for network in ensemble.networks)


def normalisation_of(
    volume: Volume, ensemble: LoadedEnsemble, mask: Mask | None, image: ImageInMask | None = None
) -> Normalisation:
    """Return a volume's normalisation.

    Args:
        volume: a whole image, or a region of one.
        ensemble: says how.
        mask: of the volume.
        image: what the volume was cut from, if it is a region.
    """
    inside = mask.volume if mask else None
    return ensemble.normalisation.of(partial(measure, part=ImageInMask(volume, inside), image=image))
