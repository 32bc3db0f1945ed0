"""Where a volume is to be segmented: outside of its mask nothing is computed and everything stored is 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.volumes.base import crop
from genenet.volumes.chunk_cache import cached
from genenet.volumes.labels import open_integers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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
    def open(
        cls, paths: Sequence[Path] | None, image: Volume, region: ImageRegion | None, block: Triple
    ) -> Mask | None:
        """Open a mask without reading it, if there is one.

        Args:
            paths: its files.
            image: the whole image that it belongs to.
            region: what is segmented of both.
            block: what is read at a time.

        Raises:
            InputError: If it isn't an integer image of the image's shape.
        """
        if not paths:
            return None
        whole = open_integers(paths, image, "the mask is {}; save it as integers")
        return cls(cached(crop(whole, region), block, (0, 0, 0), _CACHE_BYTES))

    def has(self, block: Box) -> bool:
        """Return whether something of a block is to be segmented."""
        return bool(self.volume.read(block).any())

    def clear(self, block: Box, labels: NDArray[np.uint8], channels: NDArray[Any]) -> None:
        """Set what lies outside to 0, in place."""
        outside = self.volume.read(block) == 0
        labels[outside] = 0
        channels[:, outside] = 0
