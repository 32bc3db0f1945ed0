"""Post-processing the labels of a phantom, beside scikit-image's functions on the whole array in memory.

python benchmarks/objects.py [ZxYxX]     64x1024x1024 without an argument

Each runs in a process of its own. Memory is the peak of anonymous memory (RssAnon) beyond what the imports take.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from bench_tools import anonymous_memory, in_process, parser, peak_memory, volume_shape
from genenet.config.postprocessing import Postprocessing
from genenet.phantoms.phantom import CLASSES, write_phantom
from genenet.segmentation.objects import PostprocessingJob, table_of
from genenet.volumes.ome_zarr import open_store
from tests.support.stores import write_store

BLOCK = (8, 512, 512)
NOISE = 0.002  # share of the voxels with a random class: specks, as networks leave them
SMALLEST = 50


def skimage_label(path):
    """Read all labels and label their components."""
    from skimage.measure import label

    return label(np.asarray(open_store(path).labels[...]), background=-1, connectivity=1)


def skimage_table(path):
    """Measure the components too; nothing is cleaned or written."""
    from skimage.measure import regionprops_table

    return regionprops_table(skimage_label(path), properties=("area", "bbox", "centroid"))


def genenet_6(path, connectivity=6):
    """Remove specks; number, measure and list objects; write labels, objects and table."""
    settings = Postprocessing(min_size_voxels={"*": SMALLEST}, objects=CLASSES[1:], connectivity=connectivity)
    PostprocessingJob(path, settings, table_of(path)).run()


def genenet_26(path):
    """The same with connectivity 26."""
    genenet_6(path, 26)


def measure(work, path):
    """Return wall seconds, processor seconds, and peak MiB of some work in this process."""
    import skimage.measure  # noqa: F401  imports are not measured

    import genenet.segmentation.job  # noqa: F401

    before, began, cpu = anonymous_memory(), time.monotonic(), time.process_time()
    with peak_memory(interval=0.005) as peak:
        work(path)
    return time.monotonic() - began, time.process_time() - cpu, peak[0] - before


def make_store(shape, folder):
    """Write the labels of a phantom, with some noise, as a finished segmentation; return its path."""
    path = folder / f"{shape[0]}.ome.zarr"
    write_phantom(shape, 0, folder / "image.tif", folder / "labels.tif")
    labels, rng = tifffile.imread(folder / "labels.tif"), np.random.default_rng(0)
    for plane in labels.reshape(shape):
        noisy = rng.random(plane.shape) < NOISE
        plane[noisy] = rng.integers(0, len(CLASSES), noisy.sum(), np.uint8)
    return write_store(path, labels.reshape(shape), block=BLOCK, classes=CLASSES).path


def main():
    """Print the table: the whole volume, and a quarter of its slices."""
    arguments = parser(__doc__)
    arguments.add_argument("shape", nargs="?", type=volume_shape, default=(64, 1024, 1024))
    z, y, x = arguments.parse_args().shape
    with tempfile.TemporaryDirectory() as name:
        for depth in (z, z // 4):
            path = make_store((depth, y, x), Path(name))
            for work in (skimage_label, skimage_table, genenet_6, genenet_26):
                seconds, cpu, peak = in_process(measure, work, path)
                speed = f"{depth * y * x / cpu / 1e6:6.1f} million voxels per s CPU"
                times = f"{seconds:6.1f} s  {cpu:6.1f} s CPU {speed}"
                print(f"{depth:4} slices  {work.__name__:13} {times}  {peak:6.0f} MiB")


if __name__ == "__main__":
    main()
