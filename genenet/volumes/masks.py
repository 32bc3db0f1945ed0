"""Masks: outside of its mask nothing of a volume is computed, and everything that is stored is 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.volumes.base import crop
from genenet.volumes.chunk_cache import cached

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genenet.config.types import ImageRegion
    from genenet.core.geometry import Box, Triple
    from genenet.volumes.base import Volume

_CACHE_BYTES = 2**28


@dataclass(frozen=True)
class Mask:
    """An integer image of a volume's shape; where it is 0, the volume isn't segmented."""

    volume: Volume

    @classmethod
    def of(cls, mask: Volume | None, region: ImageRegion | None, block: Triple) -> Mask | None:
        """Return the mask of a region, if there is one.

        Args:
            mask: of the whole image, of integers.
            region: what is segmented of both.
            block: what is read at a time.
        """
        return cls(cached(crop(mask, region), block, (0, 0, 0), _CACHE_BYTES)) if mask else None

    def has(self, block: Box) -> bool:
        """Return whether the mask covers a part of a block."""
        return bool(self.volume.read(block).any())

    def clear(self, block: Box, labels: NDArray[np.uint8], channels: NDArray[Any]) -> None:
        """Set labels and channels outside the mask to 0, in place."""
        outside = self.volume.read(block) == 0
        labels[outside] = 0
        channels[:, outside] = 0
