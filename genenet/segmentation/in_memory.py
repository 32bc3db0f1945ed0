"""Segments a volume without a store, for arrays in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genenet.core.geometry import blocks_of
from genenet.segmentation.channels import Channels
from genenet.segmentation.first_look import FirstLook
from genenet.segmentation.pipeline import Pipeline
from genenet.segmentation.suitability import normalisation_of, warn_of_other_images

if TYPE_CHECKING:
    import torch

    from genenet.config.segmentation import Segmentation
    from genenet.ensembles.ensemble import LoadedEnsemble
    from genenet.segmentation.pipeline import WriteBlock
    from genenet.volumes.base import Volume
    from genenet.volumes.masks import Mask


def segment_in_memory(
    volume: Volume,
    ensemble: LoadedEnsemble,
    settings: Segmentation,
    device: torch.device,
    write: WriteBlock,
    mask: Mask | None = None,
) -> None:
    """Segment a volume as a job does, but call ``write(box, labels, channels)`` for each block instead of a store's.

    Raises:
        InputError: If the volume can't be normalised.
    """
    image, inside = (mask.applied_to(volume), mask.volume) if mask else (volume, None)
    warn_of_other_images(volume, ensemble, inside)
    norm = normalisation_of(volume, ensemble, mask)
    predictor = ensemble.predictor(device, settings).for_volume(image, norm, inside)
    FirstLook(image, norm, inside).warnings(ensemble, predictor)
    pipeline = Pipeline(
        predictor,
        image,
        norm,
        Channels.of(settings, ensemble),
        write,
        mask,
    )
    for _ in pipeline.run(blocks_of(volume.shape, ensemble.block(settings))):
        pass
