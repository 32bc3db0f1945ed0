"""A part of benchmarks/gpu.py: million voxels/s from file to store, beside the bare networks and MONAI's window."""

import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import tifffile
import torch

from genenet.config.segmentation import Segmentation
from genenet.config.settings import ImageFiles
from genenet.ensembles.ensemble import load_ensemble
from genenet.genes.genome import Genome
from genenet.genes.plan import plan
from genenet.networks.network import Network
from genenet.phantoms.phantom import CLASSES, slabs
from genenet.segmentation.job import SegmentationJob
from gpu_run import Row
from gpu_training import steps_per_second
from tests.support.ensembles import write_ensemble

NET = {"n_convkernels": 16, "n_stacks": 2, "n_convlayers": 2, "input_size": 252}
SLICE, TRIAL_SLICE = 1280, 160
SIZES, TRIAL_SIZES = (324, 660, 1284), (84,)  # outputs of the bare network along y and x
BATCHES = (1, 8)
AIM_BARE, AIM_RATE = 0.9, 100.0  # of the bare networks; million voxels/s of one network
MEMORY_MB = 4000
PRECISION = "bfloat16"


def write_image(path, side, n_slices):
    """Write a phantom slice again and again, with some noise that differs, as an uncompressed TIFF."""
    (plane,) = (image[0] for _, image, _ in slabs((1, min(side, 320), min(side, 320)), 1))
    whole = np.tile(plane, (-(-side // plane.shape[0]), -(-side // plane.shape[1])))[:side, :side]
    noise = np.random.default_rng(0).integers(0, 8, (n_slices, 1, side), np.uint8)
    tifffile.imwrite(path, (whole[None] // 2 + noise).astype(np.uint8), photometric="minisblack")


def end_to_end(folder, device, side):
    """Segment an image; return its receipt."""
    source = ImageFiles(image=[folder / "image.tif"], labels=None, region=None)
    settings = Segmentation(compute=PRECISION, block=(4, side, side), memory_mb=MEMORY_MB)
    out = folder / f"{time.monotonic_ns()}.ome.zarr"
    return SegmentationJob(load_ensemble(folder / "ensemble"), source, settings, device, out).run()


def bare(network, device, size, batch, seconds):
    """Return the million voxels/s of a network alone, on tiles that lie on the device."""
    x = torch.rand(batch, 1, *network.plan.read_shape((1, size, size)), device=device)

    @torch.inference_mode()
    def forward():
        with torch.autocast(device.type, torch.bfloat16):
            network(x)

    return steps_per_second(forward, device, seconds, warm_up=2) * batch * size**2 / 1e6


def monai(folder, device, seconds):
    """Return the million voxels/s of MONAI's sliding window, which needs same padding, on one slice."""
    from monai.inferers import sliding_window_inference

    same = {**NET, "padding": "same", "input_size": 256}
    network = Network(plan(Genome("same", {"net": same}).net, len(CLASSES))).placed(device).eval()
    image = torch.from_numpy(tifffile.imread(folder / "image.tif", key=0).astype(np.float32)).to(device)

    @torch.inference_mode()
    def segment():
        with torch.autocast(device.type, torch.bfloat16):
            sliding_window_inference(
                image[None, None], (256, 256), 16, lambda x: network(x[:, :, None])[:, :, 0],
                overlap=0.25, mode="gaussian",
            ).argmax(dim=1).cpu()  # fmt: skip

    return steps_per_second(segment, device, seconds, warm_up=1) * image.numel() / 1e6


def rows(run):
    """Yield the rates for one and for four networks."""
    side = TRIAL_SLICE if run.is_trial else SLICE
    with tempfile.TemporaryDirectory() as name:
        folder, rates = Path(name), {}
        write_image(folder / "image.tif", side, 4 if run.is_trial else 64)
        for n_networks in (1, 4):
            write_ensemble(folder / "ensemble", nets=[NET] * n_networks, mode="training", classes=CLASSES)
            if n_networks == 1:
                yield (best := best_bare(run, folder))
            rates[n_networks] = yield from segmented(run, folder, side, n_networks, best.value / n_networks)
        yield beside_monai(run, folder, rates[1])


def best_bare(run, folder):
    """Return the best rate of the bare network over tile sizes and batches."""
    device = run.torch_device
    network = load_ensemble(folder / "ensemble").networks[0].placed(device).eval()
    cases = [(size, batch) for size in (TRIAL_SIZES if run.is_trial else SIZES) for batch in BATCHES]
    seconds = 0.2 if run.is_trial else 1.0
    found = {case: bare(network, device, *case, seconds) for case in cases}
    size, batch = max(found, key=found.get)
    what = f"bare network of 16 kernels, {PRECISION}"
    return Row(what, found[size, batch], "Mvoxel/s", note=f"batch {batch} of {size}²")


def segmented(run, folder, side, n_networks, beside):
    """Yield rows of a segmentation, the second of two, and return its rate."""
    what = f"end to end, {n_networks} network{'s' * (n_networks > 1)} of 16 kernels"
    end_to_end(folder, run.torch_device, side)  # chooses algorithms, and fills the disk's cache
    receipt = end_to_end(folder, run.torch_device, side)
    found = receipt.voxels / receipt.seconds_computing / 1e6
    stages = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in receipt.seconds_by_stage.items())
    yield Row(what, found, "Mvoxel/s", found / beside, "the bare networks", AIM_BARE, stages)
    if n_networks == 1:
        yield Row(f"{what}: rate", found, "Mvoxel/s", aim=AIM_RATE)
    return found


def beside_monai(run, folder, ours):
    """Return the row of MONAI."""
    what = "MONAI's sliding window, 1 network of 16 kernels, same padding"
    if find_spec("monai") is None:
        return Row(what, note="skipped: MONAI isn't installed (pip install genenet[bench])")
    found = monai(folder, run.torch_device, 0.2 if run.is_trial else 3.0)
    return Row(what, found, "Mvoxel/s", found / ours, "genenet end to end")
