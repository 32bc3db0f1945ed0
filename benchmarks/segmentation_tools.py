"""What the benchmarks of segmenting share: an ensemble of random networks, a phantom, and a timed segmentation."""

import time

import torch

import bench_tools  # noqa: F401  # puts the clone on the path
from genenet.config.segmentation import Segmentation
from genenet.config.settings import ImageFiles
from genenet.ensembles.ensemble import load_ensemble
from genenet.phantoms.phantom import CLASSES, write_phantom
from genenet.segmentation.job import SegmentationJob
from tests.support.ensembles import write_ensemble

CPU = torch.device("cpu")
THREADS = 2
ROUNDS = 3
NET = {"n_convkernels": 16, "n_stacks": 2, "n_convlayers": 2, "input_size": 252}  # halo 20


def inputs(folder, shape, nets, temperature=None):
    """Write an ensemble of random networks, and a phantom as uncompressed TIFF; return the path of this image."""
    fitted = {"temperature": temperature, "before": {}, "after": {}}
    more = {} if temperature is None else {"calibration": fitted}
    write_ensemble(folder / "ensemble", nets=nets, mode="training", classes=CLASSES, **more)
    write_phantom(shape, 1, folder / "image.tif", folder / "labels.tif")
    return folder / "image.tif"


def end_to_end(folder, receipts, **settings):
    """Segment; return the million voxels per second of the computing, without start-up, and keep the receipt."""
    out = folder / f"{time.monotonic_ns()}.ome.zarr"
    source = ImageFiles(image=[folder / "image.tif"], labels=None, region=None)
    job = SegmentationJob(load_ensemble(folder / "ensemble"), source, Segmentation(**settings), CPU, out)
    receipts.append(job.run())
    return receipts[-1].voxels / receipts[-1].seconds_computing / 1e6
