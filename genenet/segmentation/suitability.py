"""Whether a volume is what an ensemble was trained on; what differs is said before hours go by."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from genenet.core.errors import InputError
from genenet.volumes.rescale import RescaledVolume
from genenet.volumes.statistics import sample_statistics

if TYPE_CHECKING:
    from genenet.config.stages import ImageFiles
    from genenet.ensembles.ensemble import Ensemble
    from genenet.volumes.base import Volume

_TOLERANCE = 0.05  # of a voxel's size
_SAMPLE_VOXELS = 2**20

log = logging.getLogger(__name__)


def fit(volume: Volume, source: ImageFiles, ensemble: Ensemble, rescale: bool) -> Volume:
    """Return the volume with the voxel size that is given, resampled to the ensemble's if that is wanted.

    2D networks see no z: it is resampled only if one of the networks is 3D.

    Args:
        volume: what is to be segmented.
        source: may know the voxel size better than the file.
        ensemble: what segments it.
        rescale: resample it, if the sizes differ; else a warning is all.

    Raises:
        InputError: If it should be resampled, and its voxel size isn't known, or it has labels or a mask.
    """
    if source.voxel_size_nm:
        volume.voxel_size_nm = source.voxel_size_nm
    own, trained = volume.voxel_size_nm, ensemble.voxel_size_nm
    if rescale and own is None:
        raise InputError(
            f"{volume.name}: its file doesn't say its voxel size, so it can't be rescaled; give voxel_size_nm:"
        )
    if own is None or np.allclose(own, trained, rtol=_TOLERANCE, atol=0):
        return volume
    if rescale and (source.labels or source.mask):
        raise InputError(
            f"{volume.name}: has labels or a mask, which aren't rescaled with it; leave rescale: out, or save all "
            "of them at the ensemble's voxel size"
        )
    if rescale:
        wanted = trained if is_3d(ensemble) else (own[0], *trained[1:])
        rescaled = RescaledVolume(volume, wanted)
        log.info(
            "%s: resampled from voxels of %s nm to %s nm (z, y, x)", volume.name, own, rescaled.voxel_size_nm
        )
        return rescaled
    log.warning(
        "%s: has voxels of %s nm, the ensemble was trained on %s nm (z, y, x); rescale: true (or --rescale) "
        "resamples it while it is read",
        volume.name,
        own,
        trained,
    )
    return volume


def warn_of_other_images(volume: Volume, ensemble: Ensemble) -> None:
    """Say if a volume's type, its values or its number of slices aren't those of the training images."""
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
            ensemble.normalisation.mode,
        )
    _warn_of_other_values(volume, ensemble)


def _warn_of_other_values(volume: Volume, ensemble: Ensemble) -> None:
    """Only where the training images' mean and deviation are used: else a volume's own make up for it."""
    rule = ensemble.normalisation
    if rule.mode != "training":
        return
    mean, deviation = (float(a[0]) for a in sample_statistics(volume, False, max_voxels=_SAMPLE_VOXELS))
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


def is_3d(ensemble: Ensemble) -> bool:
    """Return whether a network of the ensemble sees more than one slice."""
    return any(network.plan.receptive_field[0] > 1 for network in ensemble.networks)
