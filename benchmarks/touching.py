"""Numbering objects that touch in a finished segmentation: seconds and memory, for two depths of one volume.

python benchmarks/touching.py [ZxYxX]     32x1024x1024 without an argument; measured beside a quarter of its slices

The probabilities are those of cells that fill space, about 40 voxels wide, so every voxel belongs to an object and
every object touches others: the most work that a volume can make. Each part runs in a process of its own. Memory is the
peak of anonymous memory (RssAnon) beyond what the imports take.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from bench_tools import anonymous_memory, in_process, parser, peak_memory, volume_shape
from genenet.config.instances import InstanceSettings
from genenet.segmentation.instances import InstancesJob
from genenet.volumes.ome_zarr import create_store, open_store

BLOCK = (8, 512, 512)
SPACING = (8, 40, 40)  # voxels between cells along z, y, x


def write_cells(path, shape):
    """Write a store of cells, block by block; blocks fit each other, since the centres are those of one lattice."""
    create_store(
        path,
        shape=shape,
        classes=["ground", "cell"],
        voxel_size_nm=(50.0, 10.0, 10.0),
        block=BLOCK,
        channels=["uncertainty", "disagreement", "object cell", "border cell"],
        dtype="uint8",
        attributes={"objects": [{"name": "cell", "of": ["cell"]}]},
    )
    store = open_store(path)
    axes = (np.arange(-step, size + 2 * step, step) for size, step in zip(shape, SPACING, strict=True))
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    centres = lattice + np.random.default_rng(0).uniform(-0.4, 0.4, lattice.shape) * SPACING
    tree = cKDTree(centres * (5, 1, 1))
    for box in store.blocks:
        places = np.stack(
            np.meshgrid(*(np.arange(s.start, s.stop) for s in box.slices), indexing="ij"), axis=-1
        )
        nearest, second = tree.query(places.reshape(-1, 3) * (5, 1, 1), k=2)[0].T.reshape(2, *box.shape)
        noise = gaussian_filter(np.random.default_rng(box.start).normal(size=box.shape), (0, 2, 2)) * 4
        border = np.clip(1.2 - (second - nearest + noise) / 6, 0.02, 0.95)
        channels = [1 - np.abs(2 * border - 1), border / 4, np.full(box.shape, 0.97), border]
        levels = np.rint(255 * np.stack(channels)).astype(np.uint8)
        store.write_block(box, np.ones(box.shape, np.uint8), levels)


def measure(path):
    """Number the objects; return wall seconds, processor seconds, peak MiB, objects and contacts."""
    import cc3d  # noqa: F401  imports are not measured
    import skimage.segmentation  # noqa: F401

    job = InstancesJob(path, InstanceSettings())
    before, began, cpu = anonymous_memory(), time.monotonic(), time.process_time()
    with peak_memory(interval=0.01) as peak:
        done = job.run()
    found = done["classes"]["cell"]
    seconds = time.monotonic() - began, time.process_time() - cpu
    return *seconds, peak[0] - before, found["objects"], found["contacts"]


def main():
    """Measure two depths of the volume, and print a line for each."""
    arguments = parser(__doc__)
    arguments.add_argument("shape", nargs="?", type=volume_shape, default=(32, 1024, 1024))
    depth, *plane = arguments.parse_args().shape
    for shape in ((max(1, depth // 4), *plane), (depth, *plane)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cells.ome.zarr"
            write_cells(path, shape)
            wall, cpu, memory, n, contacts = in_process(measure, path)
        rate = np.prod(shape) / 1e6 / cpu
        print(
            f"{shape}: {wall:.1f} s ({cpu:.1f} s of the processor, {rate:.2f} million voxels/s), {memory:.0f} MiB, "
            f"{n} objects, {contacts} contacts",
            flush=True,
        )


if __name__ == "__main__":
    main()
