"""Segments a volume of any size with an ensemble, block by block, in any number of jobs.

A block is written in one piece, as one shard of each array of the store. Existing shards are kept: a job that was
killed and is run again loses one block. Memory holds three blocks.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genenet.core.atomic_files import remove
from genenet.core.contents import checksum_of
from genenet.core.geometry import Box, blocks_of, each
from genenet.core.lock import exclusive
from genenet.networks.stage_times import StageTimes
from genenet.segmentation.channels import Channels
from genenet.segmentation.new_store import NORM_STATISTICS, WARNINGS, NewStore
from genenet.segmentation.pipeline import Pipeline
from genenet.segmentation.receipts import Receipt, Show, show_nothing
from genenet.segmentation.suitability import cut_from, fit
from genenet.segmentation.writers import check_no_other_writer, writing
from genenet.volumes import ome_zarr
from genenet.volumes.base import Volume, crop
from genenet.volumes.chunk_cache import cached
from genenet.volumes.masks import Mask
from genenet.volumes.measure import ImageInMask
from genenet.volumes.normalisation import Normalisation
from genenet.volumes.opening import open_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from genenet.config.segmentation import Segmentation
    from genenet.config.settings import ImageFiles
    from genenet.core.geometry import Triple
    from genenet.ensembles.ensemble import LoadedEnsemble

CACHE_BYTES = 2**30  # most memory of decoded chunks of the image

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SegmentationJob:
    """A volume, an ensemble, and the store that the segmentation is written to."""

    ensemble: LoadedEnsemble
    source: ImageFiles
    settings: Segmentation
    device: torch.device
    out: Path

    @cached_property
    def block(self) -> Triple:
        """Voxels written in one piece, z, y, x."""
        return self.ensemble.block(self.settings)

    def run(self, part: int = 1, n_parts: int = 1, show: Show = show_nothing) -> Receipt:
        """Segment the ``part``-th (from 1) of ``n_parts`` equal shares of the blocks; return a receipt.

        Args:
            part: which share.
            n_parts: number of shares.
            show: is called after each block.

        Raises:
            InputError: If the volume, its labels or its mask can't be read.
        """
        files = open_files(self.source)  # also labels, so that their faults are found before hours of work
        mask = Mask.of(files.mask, self.source.region, self.block)
        volume = crop(files.image, self.source.region)
        volume = fit(volume, self.source, self.ensemble, self.settings.rescale)
        image = ImageInMask(cut_from(files.image, volume, self.ensemble), files.mask)
        fingerprint = self._fingerprint(volume)
        with writing(self.out, fingerprint, part, n_parts):
            began = time.monotonic()
            store = self._open_store(volume, mask, image, fingerprint)
            blocks = share(blocks_of(volume.shape, self.block), part, n_parts)
            missing = [block for block in blocks if not store.has_block(block)]
            pipeline = self._pipeline(volume, mask, store)
            computing = time.monotonic()
            for done, block in enumerate(pipeline.run(missing), start=len(blocks) - len(missing) + 1):
                show(done, len(blocks), block)
            now = time.monotonic()
        return Receipt(
            part=part,
            n_parts=n_parts,
            blocks=len(blocks),
            written=len(missing),
            kept=len(blocks) - len(missing),
            voxels=sum(block.n_voxels for block in blocks),
            voxels_written=sum(block.n_voxels for block in missing),
            voxels_computed_for_each=round(pipeline.waste(missing), 3) if missing else None,
            seconds=round(now - began, 1),
            seconds_computing=round(now - computing, 3),
            threads=pipeline.predictor.threads,
            seconds_by_stage={k: round(v, 3) for k, v in pipeline.predictor.times.seconds().items()},
            fingerprint=fingerprint,
            warnings=store.attributes.get(WARNINGS, []),
        )

    def _pipeline(self, volume: Volume, mask: Mask | None, store: ome_zarr.Store) -> Pipeline:
        """Return the pipeline that fills the store; normalisation and precision are those that the store records."""
        halo = each(max, *(plan.halo for plan in self.ensemble.plans), (0, 0, 0))
        compute = store.attributes.get("compute") or self.settings.compute
        predictor = self.ensemble.predictor(
            self.device, self.settings.model_copy(update={"compute": compute})
        )
        predictor = predictor.with_statistics(store.attributes.get(NORM_STATISTICS, []))
        image = cached(volume, self.block, halo, CACHE_BYTES)  # decodes each chunk once if they fit
        return Pipeline(
            replace(predictor, times=StageTimes()),
            mask.applied_to(image) if mask else image,
            Normalisation(*(np.asarray(store.attributes[k]) for k in ("mean", "deviation"))),
            Channels.of(self.settings, self.ensemble),
            store.write_block,
            mask,
        )

    def _open_store(
        self, volume: Volume, mask: Mask | None, image: ImageInMask, fingerprint: str
    ) -> ome_zarr.Store:
        """Open the store; create it if it doesn't exist or has another fingerprint."""
        with exclusive(self.out.with_name(self.out.name + ".lock")):
            if self.out.exists():
                store = ome_zarr.open_store(self.out)
                if store.attributes.get("fingerprint") == fingerprint:
                    return store
                check_no_other_writer(self.out, fingerprint)
                log.info(
                    "%s was made from another ensemble, image or settings; it is created again", self.out
                )
                remove(self.out)
            new = NewStore(self.out, self.ensemble, self.source, self.settings, self.block)
            new.create(volume, mask, image, self.device, fingerprint)
            return ome_zarr.open_store(self.out)

    def _fingerprint(self, volume: Volume) -> str:
        """Return a hash of what blocks depend on: ensemble, settings, and the image files' names, sizes and times."""
        files = [(p.name, *size_and_time(p)) for p in [*self.source.image, *(self.source.mask or [])]]
        settings = self.settings.model_dump(mode="json", exclude={"jobs", "memory_mb", "tile"})
        parts = [
            self.ensemble.fingerprint,
            settings | {"block": self.block},
            files,
            self.source.region,
            volume.shape,
            volume.voxel_size_nm,
            *volume.reading,
            *(["statistics inside the mask"] if self.source.mask else []),
            *([["mask's flip", *self.source.flip]] if self.source.mask and self.source.flip else []),
        ]
        return checksum_of(parts)


def size_and_time(path: Path) -> tuple[int, int]:
    """Return the size in bytes and the newest modification time in ns of a file, or of all files in a folder."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    return sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)


def share(blocks: Sequence[Box], part: int, n_parts: int) -> list[Box]:
    """Return the ``part``-th (from 1) of ``n_parts`` shares that differ by one block at most."""
    return list(blocks[(part - 1) * len(blocks) // n_parts : part * len(blocks) // n_parts])
