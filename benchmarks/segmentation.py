"""Segmenting: the speed of the whole beside the bare networks and MONAI; stages; scaling; bfloat16; memory.

python benchmarks/segmentation.py [speed] [stages] [monai] [depth] [scaling] [labels] [memory]
python benchmarks/segmentation.py scaling --launcher "srun -n1 -c1"      the workers as Slurm jobs

All networks have random weights, except in ``labels``; time and memory don't depend on them. ``monai`` needs MONAI (pip
install genenet[bench]). ``memory`` takes half an hour, and ``labels`` trains; they run only if they are named.
"""

import os
import shlex
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import tifffile
import torch

from bench_tools import GENENET, alternating, in_process, parser, peak_memory, precisions, rate
from genenet.core.resources import keep_freed_memory
from genenet.ensembles.ensemble import load_ensemble
from genenet.genes.genome import Genome
from genenet.genes.plan import plan
from genenet.networks import modules as network_modules
from genenet.networks.network import Network
from genenet.phantoms.phantom import CLASSES
from genenet.segmentation.receipts import read_receipt
from segmentation_stages import labels, stages
from segmentation_tools import CPU, NET, ROUNDS, THREADS, end_to_end, inputs
from tests.support.ensembles import write_ensemble

TILES = (84, 324, 468, 660)  # outputs of the bare network along y and x
MONAI_SLICES = 4
DEPTH_CASES = (  # kernels, tile
    *((8, (16, 64, 64)), (8, (24, 128, 128)), (16, (16, 64, 64))),
    *((16, (16, 64, 160)), (16, (64, 128, 128))),  # chosen for the default block: before, and now
)


def bare(network, size, precision, together):
    """Return the million voxels/s of a network on tiles of ``size``: all cores on one tile, or a tile on each."""
    x = torch.rand(1, 1, *network.plan.read_shape((1, size, size)))

    @torch.inference_mode()
    def forward():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision != "float32"):
            network(x)

    forward()
    if together:
        return rate(forward, 1) * size**2 / 1e6
    with ThreadPoolExecutor(THREADS, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        rates = [pool.submit(rate, forward, 1) for _ in range(THREADS)]
        found = sum(r.result() for r in rates)
    torch.set_num_threads(THREADS)
    return found * size**2 / 1e6


def speed(folder):
    """Print the rate of the whole beside that of the bare networks at their best tile size."""
    block = (4, 1280, 1280)
    for n_members, precision in (*((1, each) for each in precisions()), (4, "float32")):
        inputs(folder, (16, 1280, 1280), [NET] * n_members)
        network = load_ensemble(folder / "ensemble").networks[0].placed(CPU).eval()
        measures = {
            f"bare, tiles of {size:4}, {how:20}": partial(bare, network, size, precision, together)
            for size in TILES
            for together, how in ((True, "2 cores on a tile"), (False, "a tile on each core"))
        }
        receipts = []
        whole = partial(end_to_end, folder, receipts, compute=precision, block=block)
        medians = alternating(ROUNDS, {**measures, "genenet": whole})
        networks = {name: value / n_members for name, value in medians.items() if name != "genenet"}
        best = max(networks.values())
        print(f"{n_members} networks, {precision}: million voxels/s, ratio to the best of the bare networks")
        for name, value in {**networks, "genenet": medians["genenet"]}.items():
            print(f"  {name:43} {value:6.2f}  {value / best:5.2f}")
        print(f"  computed for each voxel written: {receipts[-1].voxels_computed_for_each}", flush=True)


def monai(folder):
    """Print genenet's rate beside that of MONAI's sliding window with the same architecture.

    MONAI runs in a process of its own, with torch as it comes; genenet segments three blocks, so that reading
    and writing overlap with computing.
    """
    path = inputs(folder, (48, 1280, 1280), [NET])
    ours = {f"genenet, {p}": partial(end_to_end, folder, [], compute=p) for p in precisions()}
    medians = alternating(ROUNDS, {"MONAI, float32": partial(in_process, monai_rate, path), **ours})
    for name, value in medians.items():
        print(f"  {name:20} {value:6.2f} million voxels/s  {value / medians['MONAI, float32']:5.2f}")


def monai_rate(path):
    """Return MONAI's million voxels per second on the first slices of a file, which are read before."""
    from monai.inferers import sliding_window_inference

    torch.set_num_threads(THREADS)
    net = {**NET, "padding": "same", "input_size": 256}  # MONAI needs an output as large as the input
    network = Network(plan(Genome("same", {"net": net}).net, len(CLASSES))).eval()
    image = torch.from_numpy(tifffile.imread(path, key=range(MONAI_SLICES)).astype(np.float32))

    @torch.inference_mode()
    def segment():
        for plane in image:
            sliding_window_inference(
                plane[None, None], (256, 256), 4, lambda x: network(x[:, :, None])[:, :, 0],
                overlap=0.25, mode="gaussian",
            ).argmax(dim=1)  # fmt: skip

    segment()
    return rate(segment, 1) * image.numel() / 1e6


def depth(folder):
    """Print the rate of bare 3D networks with genenet's convolution, and with torch's as it comes."""
    functions = {"torch's": torch.nn.Conv3d.forward, "genenet's": network_modules.Conv3d.forward}
    for n_kernels, shape in DEPTH_CASES:
        net = {**NET, "n_convkernels": n_kernels, "spatial_mode": "3d", "input_depth": 60}
        network = (
            load_ensemble(write_ensemble(folder, nets=[net], classes=CLASSES)).networks[0].placed(CPU).eval()
        )
        found = alternating(ROUNDS, {n: partial(depth_rate, network, shape, f) for n, f in functions.items()})
        slow, fast = found.values()
        rates = f"torch's {slow:.2f}, genenet's {fast:.2f} million voxels/s"
        print(f"  {n_kernels:2} kernels, tiles of {shape}: {rates}, ratio {fast / slow:.2f}", flush=True)


@torch.inference_mode()
def depth_rate(network, shape, convolve):
    """Return the million voxels/s of a network on one tile, with some convolution."""
    x = torch.rand(1, *network.plan.read_shape(shape))
    with mock.patch.object(network_modules.Conv3d, "forward", convolve):
        network.planes(x)
        return rate(partial(network.planes, x), 3) * np.prod(shape) / 1e6


def scaling(folder, launcher=""):
    """Print how much time b blocks take on w processes of one core each, beside b / w blocks on one.

    ``launcher`` is a command that starts each process; without one they are local processes.
    """
    path = inputs(folder, (32, 640, 640), [NET])
    times = {}
    for n_workers in (1, THREADS):
        command = [*shlex.split(launcher), *GENENET, "segment", "--ensemble", folder / "ensemble", path]
        command += ["--out", folder / f"{n_workers}.ome.zarr", "--block", "2x640x640", "--threads", "1"]
        receipts = {f"{i}/{n_workers}": folder / f"{i}.json" for i in range(1, n_workers + 1)}
        began = time.monotonic()
        jobs = [
            subprocess.Popen([*command, "--part", part, "--receipt", path], stderr=subprocess.DEVNULL)
            for part, path in receipts.items()
        ]
        assert [job.wait() for job in jobs] == [0] * n_workers
        whole = time.monotonic() - began
        computing = max(read_receipt(path).seconds_computing for path in receipts.values())
        times[n_workers] = computing
        start_up = f"start-up {whole - computing:.1f} s"
        print(f"  {n_workers} workers: computing {computing:.1f} s, {start_up}", flush=True)
    print(f"  ratio to blocks / workers: {times[THREADS] * THREADS / times[1]:.2f}")


def memory(folder):
    """Print the peak of anonymous memory for a whole volume and for a quarter of its slices."""
    nets = [{**NET, "n_convkernels": n, "n_stacks": s} for n, s in ((4, 1), (4, 2), (6, 2), (4, 3))]
    peaks = {}
    for n_slices in (62, 250):
        place = folder / str(n_slices)
        place.mkdir()
        path, store = inputs(place, (n_slices, 2000, 2000), nets), place / "out.ome.zarr"
        began = time.monotonic()
        segment = ["segment", "--ensemble", place / "ensemble", path, "--out", store]
        peaks[n_slices] = peak_of_command(*segment)
        seconds = time.monotonic() - began
        print(f"  {n_slices} slices: {peaks[n_slices]:.0f} MiB at most, {seconds:.0f} s", flush=True)
        export = peak_of_command("export", store, "--tiff", place / "out.tif")
        print(f"  its export and pyramid: {export:.0f} MiB at most", flush=True)
    print(f"  ratio {peaks[250] / peaks[62]:.3f}")


def peak_of_command(*arguments):
    """Run a command of genenet; return the peak of its anonymous memory in MiB."""
    process = subprocess.Popen([*GENENET, *arguments], stderr=subprocess.DEVNULL)
    with peak_memory(process.pid, 0.02) as peak:
        assert process.wait() == 0
    return peak[0]


PARTS = {
    "speed": speed,
    "stages": stages,
    "monai": monai,
    "depth": depth,
    "scaling": scaling,
    "labels": labels,
    "memory": memory,
}


def main():
    """Run the parts that are asked for."""
    arguments = parser(__doc__)
    arguments.add_argument("parts", nargs="*", default=["speed", "stages", "monai", "depth", "scaling"])
    arguments.add_argument("--launcher", default="", help="command that starts each worker of scaling")
    options = arguments.parse_args()
    keep_freed_memory()
    torch.set_num_threads(THREADS)
    os.environ["OMP_NUM_THREADS"] = str(THREADS)
    for part in options.parts:
        print(part, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            more = {"launcher": options.launcher} if part == "scaling" else {}
            PARTS[part](Path(folder), **more)


if __name__ == "__main__":
    main()
