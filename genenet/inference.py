"""Class probabilities of an ensemble, tile by tile. A single network is an ensemble of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import sub
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from genenet.geometry import Box, Triple, each, tiles
from genenet.tiling import Tile, block_tiles, union
from genenet.volume import Volume, read_reflected, reflect

if TYPE_CHECKING:
    from genenet.config import NormalisationMode
    from genenet.network import Network
    from genenet.plan import Plan

Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class Normalisation:
    """(x - mean) / deviation; arrays of one number for the volume, or of one for each slice."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def of_volume(cls, mean: float, deviation: float) -> Normalisation:
        """Return one for a whole volume."""
        return cls(np.array([mean]), np.array([deviation]))

    def apply(self, data: NDArray[np.generic], z: int) -> NDArray[np.float32]:
        """Normalise slices (Z, Y, X) of which the first is slice ``z`` of the volume."""
        index = reflect(z, z + len(data), len(self.mean))  # as the slices are that were read beyond the ends
        mean, deviation = (a[index, None, None].astype(np.float32) for a in (self.mean, self.deviation))
        normalised: NDArray[np.float32] = (data.astype(np.float32) - mean) / deviation
        return normalised


Statistics = Callable[[bool], tuple[NDArray[np.float64], NDArray[np.float64]]]  # per slice? mean, deviation


@dataclass(frozen=True)
class NormalisationRule:
    """By what images are normalised: ``training`` uses the training images' mean and deviation for all."""

    mode: NormalisationMode
    mean: float
    deviation: float

    def of(self, statistics: Statistics) -> Normalisation:
        """Return an image's normalisation; ``statistics(per_slice)`` gives its own mean and deviation."""
        if self.mode == "training":
            return Normalisation(np.array([self.mean]), np.array([self.deviation]))
        return Normalisation(*statistics(self.mode == "slice"))


@dataclass(frozen=True)
class Predictor:
    """Networks on a device, in evaluation mode, and the tile size that they write."""

    networks: Sequence[Network]
    tile: Triple
    device: torch.device

    @classmethod
    def make(cls, networks: Sequence[Network], tile: Triple, device: torch.device) -> Predictor:
        """Move the networks to the device, in the memory format that is fastest there."""
        for network in networks:
            network.placed(device).eval()
        return cls(networks, tile, device)

    @property
    def plans(self) -> list[Plan]:
        """The networks' plans."""
        return [network.plan for network in self.networks]

    def probabilities(self, volume: Volume, normalisation: Normalisation, box: Box) -> Probabilities:
        """Return the mean of the networks' class probabilities, (C, Z, Y, X) float32, for a box of a volume.

        Reads the box and its halo once; what lies beyond the volume is reflected.
        """
        cut = list(block_tiles(self.plans, box, self.tile))
        whole = union([read for tile in cut for read in tile.reads])
        data = normalisation.apply(read_reflected(volume, whole), whole.start[0])
        result = np.empty((self.plans[0].n_classes, *box.shape), np.float32)
        for tile in cut:
            inside = tile.core.intersect(box)
            values = self._tile(data, whole, tile)
            result[:, *inside.relative_to(box.start).slices] = values[
                :, *inside.relative_to(tile.core.start).slices
            ]
        return result

    def slices(self, volume: Volume, normalisation: Normalisation) -> Iterator[tuple[int, Probabilities]]:
        """Yield z and the probabilities (C, 1, Y, X) of each slice of a volume; as many at a time as a tile has."""
        _, height, width = volume.shape
        depth = self.tile[0] if any(plan.has_depth for plan in self.plans) else 1
        for slab in tiles(Box.of_shape(volume.shape), (depth, height, width)):
            probabilities = self.probabilities(volume, normalisation, slab)
            for z in range(slab.shape[0]):
                yield slab.start[0] + z, probabilities[:, z : z + 1]

    @torch.inference_mode()
    def _tile(self, data: NDArray[np.float32], whole: Box, tile: Tile) -> Probabilities:
        """Return the probabilities of one tile; ``data`` is what was read, of the box ``whole``."""
        total: torch.Tensor | None = None
        for network, read in zip(self.networks, tile.reads, strict=True):
            x = torch.from_numpy(np.ascontiguousarray(data[read.relative_to(whole.start).slices]))
            probabilities = network(x[None, None].to(self.device)).softmax(dim=1)[0]  # (C, Z, Y, X)
            start = each(sub, network.plan.halo, network.plan.margin)
            probabilities = probabilities[:, *Box.of_shape(tile.core.shape, start).slices]
            total = probabilities if total is None else total + probabilities
        assert total is not None
        return (total / len(self.networks)).cpu().numpy()


def to_uint8(probabilities: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Store 0 … 1 in 255 steps."""
    levels: NDArray[np.uint8] = np.rint(probabilities * np.float32(255)).astype(np.uint8)
    return levels
