"""Creates the store of a segmentation, and records in it what all of its jobs have to do alike."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genenet.networks.device import resolved
from genenet.segmentation.channels import Channels
from genenet.segmentation.first_look import FirstLook
from genenet.segmentation.store_mask import mask_facts, source_facts
from genenet.segmentation.suitability import normalisation_of, size_difference, warn_of_other_images
from genenet.volumes import ome_zarr
from genenet.volumes.readers.zarr import warn_of_missing_chunks

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from genenet.config.segmentation import Segmentation
    from genenet.config.settings import ImageFiles
    from genenet.core.geometry import Triple
    from genenet.ensembles.ensemble import LoadedEnsemble
    from genenet.volumes.base import Volume
    from genenet.volumes.masks import Mask
    from genenet.volumes.measure import ImageInMask

NORM_STATISTICS = "norm_statistics"  # of each member, in the attributes of a store
WARNINGS = "warnings"  # how the volume differs from what the ensemble has seen, in the attributes of a store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NewStore:
    """A store that doesn't exist yet.

    Attributes:
        out: its folder.
        ensemble: that segments.
        source: files of the image.
        settings: of the segmentation.
        block: voxels written in one piece.
    """

    out: Path
    ensemble: LoadedEnsemble
    source: ImageFiles
    settings: Segmentation
    block: Triple

    def create(
        self, volume: Volume, mask: Mask | None, image: ImageInMask, device: torch.device, fingerprint: str
    ) -> None:
        """Create the store, without any blocks.

        Args:
            volume: that is segmented.
            mask: of the volume.
            image: what the volume was cut from.
            device: of this job, which decides on the floating-point type of all jobs.
            fingerprint: of all that the blocks depend on.
        """
        attributes = self._measured(volume, mask, image, device)
        grid = volume.grid.completed(self.ensemble.voxel_size_nm)
        temperature = self.ensemble.temperature
        ome_zarr.create_store(
            self.out,
            shape=volume.shape,
            classes=self.ensemble.classes,
            voxel_size_nm=grid.voxel_size_nm or self.ensemble.voxel_size_nm,
            translation_nm=grid.translation_nm,
            block=self.block,
            channels=Channels.of(self.settings, self.ensemble).names,
            dtype=self.settings.precision,
            attributes={
                "fingerprint": fingerprint,
                "temperature": temperature,
                **({"class_priors": self.ensemble.class_priors} if self.ensemble.class_priors else {}),
                **self._objects(),
                "uncertainty": "entropy" if temperature is None else "1 - largest probability",
                "region": self.source.region,
                "normalisation": self.ensemble.normalisation.settings.model_dump(mode="json"),
                **attributes,
                **mask_facts(self.source),
                **source_facts(self.source),
            },
        )

    def _objects(self) -> dict[str, Any]:
        """Return the classes of objects, and what the validation images have said about them."""
        if not self.ensemble.outputs.objects:
            return {}
        tuned = {name: each.model_dump(mode="json") for name, each in self.ensemble.tuned_objects.items()}
        return {
            "objects": [each.model_dump() for each in self.ensemble.outputs.objects],
            "tuned_objects": tuned,
        }

    def _measured(
        self, volume: Volume, mask: Mask | None, image: ImageInMask, device: torch.device
    ) -> dict[str, Any]:
        """Return what is measured once for the volume, as attributes; warn if the ensemble has seen no such volume."""
        warn_of_missing_chunks(self.source.image)
        seen, inside = (mask.applied_to(volume), mask.volume) if mask else (volume, None)
        warnings = warn_of_other_images(volume, self.ensemble, inside)
        norm = normalisation_of(volume, self.ensemble, mask, image if self.source.region else None)
        compute = resolved(self.settings.compute, device)
        if self.settings.compute == "auto":
            log.info("%s: all jobs compute in %s, which is faster here", self.out, compute)
        predictor = self.ensemble.predictor(device, self.settings.model_copy(update={"compute": compute}))
        statistics = predictor.statistics(seen, norm, inside)
        look = FirstLook(seen, norm, inside)
        warnings += look.warnings(self.ensemble, predictor.with_statistics(statistics))
        return {
            "mean": norm.mean.tolist(),
            "deviation": norm.deviation.tolist(),
            "compute": compute,
            NORM_STATISTICS: statistics,
            WARNINGS: [*filter(None, [size_difference(volume, self.ensemble)]), *warnings],
        }
