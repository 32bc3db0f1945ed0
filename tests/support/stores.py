"""Finished segmentations that no network has made."""

import numpy as np

from genenet.config.instances import InstanceSettings
from genenet.core.atomic_files import write_csv
from genenet.segmentation.instances import InstancesJob
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


def write_touching(path, borders=(255, 200), **facts):
    """Write a segmentation of three cells in a row, whose objects are numbered and listed; open it.

    ::

        x        0    20        40        60   80        voxels; cells are rows 10 to 29 of all slices
                 |    |1 1 1 1 b|b 2 2 2 b|b 3 |         b: border

    Args:
        path: folder of the store.
        borders: border probability of the two contacts, of 255; small ones are doubtful.
        facts: other arguments of ``write_store``.
    """
    shape = (5, 40, 90)
    labels, border = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    labels[:, 10:30, 20:80] = 1
    for x, level in zip((40, 60), borders, strict=True):
        border[:, 10:30, x - 1 : x + 1] = level
    channels = np.stack([border // 2, border // 4, labels * np.uint8(255), border])
    facts = {
        "classes": ["background", "cell"],
        "names": ["uncertainty", "disagreement", "object cell", "border cell"],
        "attributes": {"objects": [{"name": "cell", "of": ["cell"]}]},
        **facts,
    }
    write_store(path, labels, channels, **facts)
    InstancesJob(path, InstanceSettings()).run()
    return open_store(path)


def write_boxes(folder, *rows):
    """Write the table of a folder of boxes: (box, z, y, x, depth, height, width, score, reason, reviewed) each."""
    folder.mkdir(exist_ok=True)
    columns = ("box", "z", "y", "x", "depth", "height", "width", "score", "reason", "reviewed")
    write_csv(folder / "boxes.csv", columns, rows)
    return folder
