"""Time and peak memory of making a phantom, beside writing as much plain noise.

python benchmarks/phantom.py [ZxYxX]     250x2000x2000 without an argument
"""

import resource
import tempfile
from pathlib import Path

import numpy as np
import tifffile

from bench_tools import in_process, parser, timed, volume_shape
from genenet.phantoms.phantom import write_phantom


def phantom(shape, folder):
    """Make the phantom."""
    write_phantom(shape, 0, folder / "image.tif", folder / "labels.tif")


def noise(shape, folder):
    """Write Gaussian noise of the same size, slice by slice."""
    rng = np.random.default_rng(0)
    slices = (rng.normal(128, 20, shape[1:]).astype(np.uint8) for _ in range(shape[0]))
    tifffile.imwrite(folder / "noise.tif", slices, shape=shape, dtype=np.uint8)


def measure(work, shape):
    """Return the seconds, and the peak of resident memory in MiB, of this process."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = timed(work, shape, Path(folder))
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    """Print both and their ratio."""
    arguments = parser(__doc__)
    arguments.add_argument("shape", nargs="?", type=volume_shape, default=(250, 2000, 2000))
    shape = arguments.parse_args().shape
    results = {work.__name__: in_process(measure, work, shape) for work in (noise, phantom)}
    for name, (seconds, peak) in results.items():
        print(f"{name:8} {seconds:7.1f} s  peak {peak:6.0f} MiB")
    print(f"phantom / noise: {results['phantom'][0] / results['noise'][0]:.2f} x the time")


if __name__ == "__main__":
    main()
