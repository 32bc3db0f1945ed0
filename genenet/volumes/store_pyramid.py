"""The smaller levels of a finished store, written shard by shard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import zarr

from genenet.core.atomic_files import atomic_path
from genenet.core.geometry import Box, tiles
from genenet.volumes.ngff import announce, image_metadata, label_metadata, label_names
from genenet.volumes.ome_zarr import CLEANED, INSTANCES, OBJECTS, create_array, open_store, settled
from genenet.volumes.pyramid import mean_of_cells, mode_of_cells

KNOWN = ("segmentation", CLEANED, OBJECTS)

if TYPE_CHECKING:
    from pathlib import Path

    from genenet.volumes.pyramid import Level


def build_pyramid(path: Path, min_size: int = 256) -> None:
    """Add smaller levels, down to ``min_size`` voxels along y and x, to a store that is filled.

    Labels become the most frequent of their cell, channels the mean. Memory is bounded by eight shards. Run
    twice, it does the same twice; the levels are announced when all are there.
    """
    store = open_store(path)
    found = store.levels(min_size)
    names = [name for name in label_names(path) if name in KNOWN or name.startswith(INSTANCES)]
    for index, level in enumerate(found[1:], start=1):
        shards = (min(store.block[0], level.shape[0]), *store.block[1:])
        for name in names:
            _shrink_level(path / "labels" / name, index, level, shards)
        _shrink_level(path, index, level, (1, *shards))
    announce(path, image_metadata(found, path.name))
    for name in names:
        classes = store.attributes["classes"] if name in ("segmentation", CLEANED) else []
        announce(path / "labels" / name, label_metadata(found, name, classes))


def _shrink_level(folder: Path, index: int, level: Level, shards: tuple[int, ...]) -> None:
    """Write a level of an array of 3 axes (labels) or 4 (channels), shard by shard, from the one before."""
    source = zarr.open_array(folder / str(index - 1), mode="r")
    lead = source.shape[:-3]
    shrink = mean_of_cells if lead else mode_of_cells
    with atomic_path(folder / str(index)) as temporary, settled():
        array = create_array(temporary, (*lead, *level.shape), shards, source.dtype.name)
        for at in np.ndindex(lead):
            for box in tiles(Box.of_shape(level.shape), (shards[-3], shards[-2], shards[-1])):
                cells = (
                    slice(s.start * f, s.stop * f) for s, f in zip(box.slices, level.factors, strict=True)
                )
                array[(*at, *box.slices)] = shrink(np.asarray(source[(*at, *cells)]), level.factors)
