"""Compares a volume with what the ensemble has seen, before hours are spent on it.

The job that creates the store does so, once for all jobs: a sample of tiles is drawn from the whole volume and
predicted. The sample depends on the volume's shape and mask alone, so the number of jobs and their order don't change
the warning, and the edge of a specimen counts no more than the rest of it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence

from genenet.core.geometry import Box
from genenet.core.random_streams import Stream
from genenet.ensembles.seen import predictions_of
from genenet.networks.symmetry import Turn
from genenet.segmentation.pipeline import finished
from genenet.segmentation.suitability import logged
from genenet.volumes.grey_values import grey_values
from genenet.volumes.sampling import random_boxes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from genenet.core.geometry import Triple
    from genenet.ensembles.ensemble import LoadedEnsemble
    from genenet.ensembles.reference import Predictions
    from genenet.networks.predictor import Predictor
    from genenet.volumes.base import Volume
    from genenet.volumes.normalisation import Normalisation

TILE, DEEP_TILE = (1, 128, 128), (8, 64, 64)  # voxels of a tile for 2D networks, and for networks with depth
LEAST_TILES, MOST_TILES = 4, 16
SHARE = 8  # a tile is drawn for each so many times its voxels

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FirstLook:
    """A volume before it is segmented.

    Attributes:
        volume: as networks see it: NaN outside its mask.
        normalisation: of its voxels.
        mask: of the same shape, 0 outside; None if there is none.
    """

    volume: Volume
    normalisation: Normalisation
    mask: Volume | None = None

    def warnings(self, ensemble: LoadedEnsemble, predictor: Predictor) -> list[str]:
        """Return what the volume's difference from the ensemble's reference is, in one line that is logged; or none.

        Args:
            ensemble: what segments the volume.
            predictor: of the volume, with the statistics of its norms.
        """
        reference = ensemble.reference
        if reference is None:
            log.debug("%s: not compared, an older version made the ensemble", self.volume.name)
            return []
        greys = grey_values(self.volume, self.normalisation, self.mask)
        found = reference.validation and self.predictions(predictor, ensemble.temperature)
        return logged([reference.warning(self.volume.name, ensemble.classes, greys, found)])

    def predictions(self, predictor: Predictor, temperature: float | None) -> Predictions | None:
        """Predict a sample of tiles, without symmetries, as trainings predict the validation images.

        Args:
            predictor: of the volume.
            temperature: of the ensemble's probabilities.
        """
        plain = replace(predictor, turns=(Turn(),), disagreement=False)
        try:
            return predictions_of(self._predicted(plain), plain.n_classes, temperature)
        finally:
            plain.workers.shutdown(cancel_futures=True)

    def _predicted(self, predictor: Predictor) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
        """Yield the probabilities (C, Z, Y, X) of tiles, and which of their voxels (Z, Y, X) count."""
        has_depth = any(plan.has_depth for plan in predictor.plans)
        waiting = []
        for box in self._tiles(DEEP_TILE if has_depth else TILE):
            read_box = predictor.read(self.volume, self.normalisation, box)
            tiles = [
                (core, predictor.workers.submit(predictor.predict, read_box, core))
                for core in predictor.cut(box)
            ]
            waiting += tiles
        for core, tile in waiting:
            p: NDArray[np.float32] = finished(tile).probabilities.cpu().numpy()
            counts: NDArray[np.bool_] = np.asarray(np.isfinite(p).all(axis=0))
            if self.mask is not None:
                counts &= self.mask.read(core) != 0
            yield p, counts

    def _tiles(self, wanted: Triple) -> list[Box]:
        """Draw tiles: more of a larger volume, so that a small one isn't predicted twice."""
        shape = self.volume.shape
        tile = Box.of_shape(wanted).intersect(Box.of_shape(shape))
        n = Box.of_shape(shape).n_voxels // (SHARE * tile.n_voxels)
        rng = Generator(PCG64(SeedSequence(0, spawn_key=(Stream.FIRST_LOOK,))))
        drawn = random_boxes(self.volume, tile.shape, min(MOST_TILES, max(LEAST_TILES, n)), rng, self.mask)
        return list(dict.fromkeys(drawn))
