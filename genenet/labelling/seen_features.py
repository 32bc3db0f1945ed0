"""What the networks of an ensemble see in a box: means and deviations of their decoders' features.

Of each box two tiles of the training's size pass through each of the best networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from genenet.core.geometry import Box, each
from genenet.volumes.reflection import read_reflected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genenet.networks.network import Network
    from genenet.volumes.base import Volume
    from genenet.volumes.normalisation import Normalisation

MOST_NETWORKS = 3  # the first members of an ensemble are the best
TILE_CENTRES = (1 / 3, 2 / 3)  # along all axes of a box


@dataclass(frozen=True)
class SeenFeatures:
    """Networks that look at boxes of a volume.

    Attributes:
        networks: the members of an ensemble, best first, with the statistics of the volume, on the device.
        volume: NaN outside its mask.
        normalisation: of its voxels.
    """

    networks: Sequence[Network]
    volume: Volume
    normalisation: Normalisation

    def of(self, boxes: Sequence[Box]) -> NDArray[np.float64]:
        """Return the features of each box, (N, F), of which each network has an equal part of the distances."""
        return np.concatenate([self._seen_by(network, boxes) for network in self.networks[:MOST_NETWORKS]], 1)

    @torch.inference_mode()
    def _seen_by(self, network: Network, boxes: Sequence[Box]) -> NDArray[np.float64]:
        scales = sorted({stack.scale for stack in network.plan.stacks if not stack.is_encoder})
        heads = dict.fromkeys(scales, _pooled)
        device, rows = network.head.weight.device, []
        for box in boxes:
            tiles = [self._tile(network, box, part) for part in TILE_CENTRES]
            _, *found = network.deep_logits(torch.from_numpy(np.stack(tiles)[:, None]).to(device), heads)
            means = [each_scale.flatten(2).mean(dim=(0, 2)) for each_scale in found]
            rows.append(torch.cat(means).double().cpu().numpy())
        return np.stack(rows)

    def _tile(self, network: Network, box: Box, part: float) -> NDArray[np.float32]:
        """Return normalised voxels of the training's size, around a point of the box."""
        shape = network.plan.input_shape
        start = each(
            lambda first, size, of_tile: first + round(size * part) - of_tile // 2,
            *(box.start, box.shape, shape),
        )
        return self.normalisation.apply(read_reflected(self.volume, Box.of_shape(shape, start)), start[0])


def _pooled(features: torch.Tensor) -> torch.Tensor:
    """Return means and deviations (B, 2 C, 1, …) of features (B, C, …)."""
    axes = tuple(range(2, features.ndim))
    deviation, mean = torch.std_mean(features, dim=axes, correction=0, keepdim=True)
    return torch.cat([mean, deviation], dim=1)
