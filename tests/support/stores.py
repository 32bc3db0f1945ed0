"""Finished segmentations that no network has made."""

import numpy as np

from genenet.volumes.ome_zarr import create_store, open_store

CLASSES = ["background", "cell", "organelle"]


def write_store(path, labels, channels=None, block=None, n_blocks=None, **facts):
    """Write a segmentation and open it.

    Args:
        path: folder of the store.
        labels: class ids, (Z, Y, X).
        channels: uncertainty and possibly the probability of each class, (C, Z, Y, X); uncertainty 0 by default.
        block: the whole volume by default.
        n_blocks: how many blocks are written, for a segmentation that isn't finished; all by default.
        facts: other arguments of ``create_store``; ``names`` are those of the channels.
    """
    channels = np.zeros((1, *labels.shape), np.uint8) if channels is None else channels
    facts = {"classes": CLASSES, "voxel_size_nm": (40.0, 10.0, 10.0), "attributes": {}, **facts}
    names = facts.pop("names", ["uncertainty", *facts["classes"]][: len(channels)])
    block = block or labels.shape
    create_store(path, shape=labels.shape, block=block, channels=names, dtype=str(channels.dtype), **facts)
    store = open_store(path)
    for box in store.blocks[:n_blocks]:
        store.write_block(box, labels[box.slices], channels[(slice(None), *box.slices)])
    return store
