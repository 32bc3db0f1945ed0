"""Numbering objects that touch in a finished segmentation: seconds and memory, for two depths of one volume.

python benchmarks/touching.py [ZxYxX] [--threads N]    32x1024x1024 without an argument, beside a quarter of its slices

The probabilities are those of cells that fill space, about 40 voxels wide, so every voxel belongs to an object and
every object touches others: the most work that a volume can make. A tile of 64x480x480 voxels is repeated. Each part
runs in a process of its own. Memory is the peak of anonymous memory (RssAnon) beyond what the imports take.
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
TILE = (64, 480, 480)
SCALE = np.array((5, 1, 1))  # of distances: slices are 5 times as far apart as voxels


def write_cells(path, shape):
    """Write a store of cells, block by block."""
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
    channels = tile_of_cells()
    for box in store.blocks:
        places = (
            np.arange(each.start, each.stop) % size for each, size in zip(box.slices, TILE, strict=True)
        )
        levels = channels[np.ix_(range(len(channels)), *places)]
        store.write_block(box, np.ones(box.shape, np.uint8), levels)


def tile_of_cells():
    """Return the channels (4, Z, Y, X) of cells around the points of a lattice that were moved at random."""
    n = np.array(TILE) // SPACING
    lattice = np.stack(np.meshgrid(*map(np.arange, n), indexing="ij"), axis=-1).reshape(-1, 3)
    centres = (lattice + np.random.default_rng(0).uniform(-0.4, 0.4, lattice.shape)) * SPACING % TILE
    tree = cKDTree(centres * SCALE, boxsize=np.array(TILE) * SCALE)  # the tile's end fits its beginning
    places = np.stack(np.meshgrid(*map(np.arange, TILE), indexing="ij"), axis=-1).reshape(-1, 3)
    nearest, second = tree.query(places * SCALE, k=2)[0].T.reshape(2, *TILE)
    noise = gaussian_filter(np.random.default_rng(1).normal(size=TILE), (0, 2, 2), mode="wrap") * 4
    border = np.clip(1.2 - (second - nearest + noise) / 6, 0.02, 0.95)
    channels = [1 - np.abs(2 * border - 1), border / 4, np.full(TILE, 0.97), border]
    return np.rint(255 * np.stack(channels)).astype(np.uint8)


def measure(path, threads):
    """Number the objects; return wall seconds, processor seconds, peak MiB, objects and contacts."""
    import cc3d  # noqa: F401  imports are not measured
    import skimage.segmentation  # noqa: F401

    job = InstancesJob(path, InstanceSettings(), threads=threads)
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
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument(
        "--alone", action="store_true", help="don't measure a quarter of the slices as well"
    )
    options = arguments.parse_args()
    depth, *plane = options.shape
    depths = [depth] if options.alone else [max(1, depth // 4), depth]
    for shape in ((each, *plane) for each in depths):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cells.ome.zarr"
            write_cells(path, shape)
            wall, cpu, memory, n, contacts = in_process(measure, path, options.threads)
        rate = np.prod(shape) / 1e6 / cpu
        print(
            f"{shape}: {wall:.1f} s ({cpu:.1f} s of the processor, {rate:.2f} million voxels/s), {memory:.0f} MiB, "
            f"{n} objects, {contacts} contacts",
            flush=True,
        )


if __name__ == "__main__":
    main()
