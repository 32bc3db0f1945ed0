"""Checks a volume against the training data before segmenting it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from genenet.volumes.grid import size_text
from genenet.volumes.measure import ImageInMask, measure
from genenet.volumes.rescale import RescaledVolume, check_rescaling

if TYPE_CHECKING:
    from genenet.config.settings import ImageFiles
    from genenet.ensembles.ensemble import LoadedEnsemble
    from genenet.volumes.base import Volume

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
        log.warning(
            "%s: has voxels of %s nm, the ensemble was trained on %s nm (z, y, x); rescale: true (or --rescale) "
            "resamples it while it is read",
            *(volume.name, volume.voxel_size_nm or size_text(grid.sizes_nm), trained),
        )
        return volume
    rescaled = _rescaled(volume, ensemble)
    log.info(
        "%s: resampled from voxels of %s nm to %s nm (z, y, x)",
        *(volume.name, volume.voxel_size_nm, rescaled.voxel_size_nm),
    )
    return rescaled


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


def warn_of_other_images(volume: Volume, ensemble: LoadedEnsemble, mask: Volume | None = None) -> None:
    """Log a warning if a volume's type, its values or its number of slices aren't those of the training images."""
    if is_3d(ensemble) and volume.shape[0] == 1:
        log.warning(
            "%s: is a single slice, and the ensemble's networks are 3D: they see it reflected along z; "
            "networks of spatial_mode 2d suit it better",
            volume.name,
        )
    if ensemble.dtypes and volume.dtype.name not in ensemble.dtypes:
        log.warning(
            "%s: its voxels are %s, the ensemble was trained on %s; convert them likewise, unless that makes no "
            "difference under normalisation: %s",
            volume.name,
            volume.dtype,
            " and ".join(ensemble.dtypes),
            ensemble.normalisation.settings,
        )
    _warn_of_other_values(volume, ensemble, mask)


def _warn_of_other_values(volume: Volume, ensemble: LoadedEnsemble, mask: Volume | None) -> None:
    """Compare centre and scale if those of the training images are used: a volume's own make up for others."""
    rule = ensemble.normalisation
    if rule.settings.over != "training":
        return
    part = ImageInMask(volume, mask)
    (mean,), (deviation,) = measure(rule.settings, part, max_voxels=_SAMPLE_VOXELS)
    if abs(mean - rule.mean) > 3 * rule.deviation or not 0.2 < deviation / rule.deviation < 5:
        log.warning(
            "%s: its voxels are %.4g ± %.2g, those of the training images %.4g ± %.2g, by which it is normalised; "
            "bring them to the same range, or train with normalisation: volume",
            volume.name,
            mean,
            deviation,
            rule.mean,
            rule.deviation,
        )


def is_3d(ensemble: LoadedEnsemble) -> bool:
    """Return whether a network of the ensemble sees more than one slice."""
    return any(network.plan.receptive_field[0] > 1 for network in ensemble.networks)
