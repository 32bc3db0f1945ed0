"""Post-processing of the labels of a 64 x 1024 x 1024 phantom, beside scikit-image's on the whole array in memory.

python benchmarks/objects.py [ZxYxX]

Each is a process of its own; memory is the anonymous part (RssAnon) at its highest, less what imports take.
"""

import multiprocessing
import re
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from genenet.config.postprocessing import Postprocessing
from genenet.phantoms.phantom import write_phantom
from genenet.segmentation.objects import PostprocessingJob, table_of
from genenet.volumes.base import open_volume
from genenet.volumes.ome_zarr import create_store, open_store

BLOCK = (8, 512, 512)
CLASSES = [
    *("background", "cell", "mitochondrion", "alpha granule", "canalicular vessel"),
    *("dense granule body", "dense granule core"),
]
NOISE = 0.002  # share of the voxels that get a random class: specks, as networks leave them
SMALLEST = 50


def skimage_label(path):
    """Read all labels and label their components."""
    from skimage.measure import label

    return label(np.asarray(open_store(path).labels[...]), background=-1, connectivity=1)


def skimage_table(path):
    """Measure the components too: nothing is cleaned or written."""
    from skimage.measure import regionprops_table

    return regionprops_table(skimage_label(path), properties=("area", "bbox", "centroid"))


def genenet_6(path, connectivity=6):
    """Remove specks, number, measure and list objects, write both."""
    settings = Postprocessing(min_size_voxels={"*": SMALLEST}, objects=CLASSES[1:], connectivity=connectivity)
    PostprocessingJob(path, settings, table_of(path)).run()


def genenet_26(path):
    """The same, with connectivity 26."""
    genenet_6(path, 26)


def anonymous_mb():
    """Return this process's anonymous memory in MB."""
    return int(re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def child(work, path, queue):
    """Measure seconds and peak MB of some work."""
    import skimage.measure  # noqa: F401

    import genenet.segmentation.job  # noqa: F401  imports apart

    before, stop = anonymous_mb(), threading.Event()
    peak = [before]

    def watch():
        while not stop.wait(0.005):
            peak[0] = max(peak[0], anonymous_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began, cpu = time.monotonic(), time.process_time()
    work(path)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    stop.set()
    watcher.join()
    queue.put((seconds, cpu, peak[0] - before))


def measure(work, path):
    """Return seconds, seconds of the processor, and peak MB."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=child, args=(work, path, queue))
    process.start()
    result = queue.get()
    process.join()
    return result


def make_store(shape, folder):
    """Write the labels of a phantom, with some noise, as a finished segmentation; return its path."""
    path = folder / f"{shape[0]}.ome.zarr"
    write_phantom(shape, 0, folder / "image.tif", folder / "labels.tif")
    create_store(
        path,
        shape=shape,
        classes=CLASSES,
        voxel_size_nm=(40.0, 10.0, 10.0),
        block=BLOCK,
        channels=["uncertainty"],
        dtype="uint8",
        attributes={},
    )
    store, labels = open_store(path), open_volume([folder / "labels.tif"])
    rng = np.random.default_rng(0)
    for box in store.blocks:
        block = labels.read(box).astype(np.uint8)
        noisy = rng.random(box.shape) < NOISE
        block[noisy] = rng.integers(0, len(CLASSES), noisy.sum(), np.uint8)
        store.write_block(box, block, np.zeros((1, *box.shape), np.uint8))
    return path


def main():
    """Print the table: the whole volume, and a quarter of its slices."""
    z, y, x = (int(n) for n in (sys.argv[1] if len(sys.argv) > 1 else "64x1024x1024").split("x"))
    with tempfile.TemporaryDirectory() as name:
        for depth in (z, z // 4):
            path = make_store((depth, y, x), Path(name))
            for work in (skimage_label, skimage_table, genenet_6, genenet_26):
                seconds, cpu, peak = measure(work, path)
                rate = depth * y * x / cpu / 1e6
                print(
                    f"{depth:4} slices  {work.__name__:13} {seconds:6.1f} s  {cpu:6.1f} s CPU "
                    f"{rate:6.1f} million voxels per s CPU  {peak:6.0f} MB"
                )


if __name__ == "__main__":
    main()
