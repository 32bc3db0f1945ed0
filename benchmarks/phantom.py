"""Time and peak memory of making a 250 x 2000 x 2000 phantom; beside it, writing as much plain noise.

python benchmarks/phantom.py [ZxYxX]
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from genenet.phantoms.phantom import write_phantom


def phantom(shape, folder):
    """Make the phantom."""
    write_phantom(shape, 0, folder / "image.tif", folder / "labels.tif")


def noise(shape, folder):
    """Write Gaussian noise of the same size, slice by slice."""
    rng = np.random.default_rng(0)
    slices = (rng.normal(128, 20, shape[1:]).astype(np.uint8) for _ in range(shape[0]))
    tifffile.imwrite(folder / "noise.tif", slices, shape=shape, dtype=np.uint8)


def child(work, shape, queue):
    """Measure in a process of its own; resident memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        work(shape, Path(folder))
        seconds = time.monotonic() - began
    queue.put((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def measure(work, shape):
    """Return seconds and peak MB."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=child, args=(work, shape, queue))
    process.start()
    result = queue.get()
    process.join()
    return result


def main():
    """Print both and their ratio."""
    shape = tuple(int(n) for n in (sys.argv[1] if len(sys.argv) > 1 else "250x2000x2000").split("x"))
    results = {work.__name__: measure(work, shape) for work in (noise, phantom)}
    for name, (seconds, peak) in results.items():
        print(f"{name:8} {seconds:7.1f} s  peak {peak:6.0f} MB")
    print(f"phantom / noise: {results['phantom'][0] / results['noise'][0]:.2f} x the time")


if __name__ == "__main__":
    main()
