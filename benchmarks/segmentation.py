"""Segmenting: the speed of the whole beside that of the bare networks and of MONAI; scaling; memory.

python benchmarks/segmentation.py [speed] [monai] [depth] [scaling] [memory]     (MONAI: pip install 'genenet[bench]')
python benchmarks/segmentation.py scaling --launcher "srun -n1 -c1"      the workers as Slurm jobs

All networks have random weights; time and memory don't depend on them. `memory` takes half an hour.
"""

import argparse
import functools
import json
import multiprocessing
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
import tifffile
import torch

import genenet.networks.network as network_module
from genenet.config.segmentation import Segmentation
from genenet.config.stages import ImageFiles
from genenet.core.atomic_files import write_json
from genenet.core.resources import keep_freed_memory
from genenet.ensembles.ensemble import FORMAT, load_ensemble
from genenet.genes.genome import Genome
from genenet.genes.plan import plan
from genenet.networks.network import Network, save_weights
from genenet.phantoms.phantom import slabs
from genenet.segmentation.job import SegmentationJob
from processor import bfloat16_instructions

CPU = torch.device("cpu")
THREADS = 2
ROUNDS = 3  # alternating, so that a machine that grows slower doesn't favour one
NET = {"n_convkernels": 16, "n_stacks": 2, "n_convlayers": 2, "input_size": 252}  # halo 20
CLASSES = ["background", *(f"class {i}" for i in range(1, 7))]
TILES = (84, 324, 468, 660)  # outputs along y and x of the bare network
MONAI_SLICES = 4
DEPTH_CASES = (  # kernels, tile
    *((8, (16, 64, 64)), (8, (24, 128, 128)), (16, (16, 64, 64))),
    *((16, (16, 64, 160)), (16, (64, 128, 128))),  # that were and are chosen for the default block
)
MIB = 2**20


def ensemble(folder, nets):
    """Write an ensemble of random networks."""
    members = []
    for index, net in enumerate(nets):
        genome, place = Genome(f"g{index}", {"net": net}), folder / f"members/{index:02d}"
        torch.manual_seed(index)
        genome.write(place / "genome.json")
        state = Network(plan(genome.net, len(CLASSES))).state_dict()
        save_weights(state, genome.id, place / "model.safetensors")
        members.append({"folder": f"members/{index:02d}", "run": f"r0/{index:03d}", "genome": genome.id})
    norm = {"mode": "training", "mean": 128.0, "deviation": 40.0}
    facts = {"format": FORMAT, "classes": CLASSES, "voxel_size_nm": [40.0, 10.0, 10.0], "normalisation": norm}
    write_json(folder / "ensemble.json", {**facts, "members": members})
    return folder


def volume(folder, shape):
    """Write a phantom as an uncompressed TIFF, slab by slab."""
    path = folder / "image.tif"
    if not path.exists():
        image = tifffile.memmap(path, shape=shape, dtype=np.uint8, photometric="minisblack")
        for z, voxels, _ in slabs(shape, 1):
            image.reshape(shape)[z : z + len(voxels)] = voxels
        image.flush()
    return path


def end_to_end(folder, path, shape, **settings):
    """Segment; return voxels per second of the computing (start-up apart), and the receipt."""
    out = folder / f"{time.monotonic_ns()}.ome.zarr"
    source = ImageFiles(image=[path], labels=None, region=None)
    job = SegmentationJob(load_ensemble(folder / "ensemble"), source, Segmentation(**settings), CPU, out)
    receipt = job.run()
    return np.prod(shape) / receipt["seconds_computing"], receipt


def rate(function, n_voxels, seconds=1.0):
    """Return the voxels per second of calling a function again and again."""
    function()
    began, n = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        function()
        n += 1
    return n * n_voxels / (time.monotonic() - began)


def bare(network, size, precision, together):
    """Return the rate of a network on tiles of ``size``: all cores on one tile, or a tile for each."""
    x = torch.rand(1, 1, *network.plan.read_shape((1, size, size)))

    @torch.inference_mode()
    def forward():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision != "float32"):
            network(x)

    if together:
        return rate(forward, size**2)
    with ThreadPoolExecutor(THREADS, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        rates = [pool.submit(rate, forward, size**2) for _ in range(THREADS)]
        found = sum(r.result() for r in rates)
    torch.set_num_threads(THREADS)
    return found


def precisions():
    """Return the precisions that this processor computes in."""
    return ("float32", "bfloat16") if bfloat16_instructions() else ("float32",)


def speed(folder):
    """Print the whole's rate beside that of the bare networks at their best tile size."""
    shape, block = (16, 1280, 1280), (4, 1280, 1280)
    path = volume(folder, shape)
    for n_members, precision in (*((1, each) for each in precisions()), (4, "float32")):
        ensemble(folder / "ensemble", [NET] * n_members)
        network = load_ensemble(folder / "ensemble").networks[0].placed(CPU).eval()
        found = {(size, together): [] for size in TILES for together in (True, False)}
        wholes = []
        for _ in range(ROUNDS):
            for size, together in found:
                found[size, together].append(bare(network, size, precision, together) / n_members)
            whole, receipt = end_to_end(folder, path, shape, compute=precision, block=block)
            wholes.append(whole)
        medians = {key: statistics.median(values) for key, values in found.items()}
        best = max(medians, key=medians.get)
        print(f"{n_members} networks, {precision}: million voxels/s, ratio to the best of the bare networks")
        for (size, together), value in medians.items():
            how = "2 cores on a tile" if together else "a tile on each core"
            print(f"  bare, tiles of {size:4}, {how:20} {value / 1e6:6.2f}  {value / medians[best]:5.2f}")
        whole = statistics.median(wholes)
        print(f"  genenet {' ' * 34} {whole / 1e6:6.2f}  {whole / medians[best]:5.2f}")
        print(f"  computed for each voxel written: {receipt['voxels_computed_for_each']}", flush=True)


def monai(folder):
    """Print genenet's rate beside that of MONAI's sliding window with the same architecture.

    MONAI runs in a process of its own, with torch as it comes; genenet segments three blocks, so that reading
    and writing overlap with computing.
    """
    shape = (48, 1280, 1280)
    path = volume(folder, shape)
    ensemble(folder / "ensemble", [NET])
    found = {"MONAI, float32": [], **{f"genenet, {precision}": [] for precision in precisions()}}
    for _ in range(ROUNDS):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            found["MONAI, float32"].append(pool.submit(monai_rate, path).result())
        for precision in precisions():
            found[f"genenet, {precision}"].append(end_to_end(folder, path, shape, compute=precision)[0])
    medians = {name: statistics.median(values) for name, values in found.items()}
    for name, value in medians.items():
        print(
            f"  {name:20} {value / 1e6:6.2f} million voxels/s  {value / medians['MONAI, float32']:5.2f}",
            flush=True,
        )


def monai_rate(path):
    """Return MONAI's rate on the first slices of a file, the file already read."""
    from monai.inferers import sliding_window_inference

    torch.set_num_threads(THREADS)
    net = {**NET, "padding": "same", "input_size": 256}  # as MONAI needs it: as large out as in
    network = Network(plan(Genome("same", {"net": net}).net, len(CLASSES))).eval()
    image = torch.from_numpy(tifffile.imread(path, key=range(MONAI_SLICES)).astype(np.float32))

    @torch.inference_mode()
    def segment():
        for plane in image:
            sliding_window_inference(
                plane[None, None], (256, 256), 4, lambda x: network(x[:, :, None])[:, :, 0],
                overlap=0.25, mode="gaussian",
            ).argmax(dim=1)  # fmt: skip

    return rate(segment, image.numel(), 1)


def depth(folder):
    """Print the rate of bare 3D networks with genenet's convolution, and with torch's as it comes."""
    for n_kernels, shape in DEPTH_CASES:
        net = {**NET, "n_convkernels": n_kernels, "spatial_mode": "3d", "input_depth": 60}
        network = load_ensemble(ensemble(folder, [net])).networks[0].placed(CPU).eval()
        x = torch.rand(network.plan.read_shape(shape))
        theirs, ours = torch.nn.Conv3d.forward, network_module.Conv3d.forward
        found = {"torch's": [], "genenet's": []}
        with torch.inference_mode():
            for _ in range(ROUNDS):
                for name, function in (("torch's", theirs), ("genenet's", ours)):
                    with mock.patch.object(network_module.Conv3d, "forward", function):
                        found[name].append(rate(functools.partial(network.planes, x), np.prod(shape), 3))
        medians = {name: statistics.median(values) for name, values in found.items()}
        slow, fast = medians.values()
        print(
            f"  {n_kernels:2} kernels, tiles of {shape}: torch's {slow / 1e6:.2f}, genenet's {fast / 1e6:.2f} "
            f"million voxels/s, ratio {fast / slow:.2f}",
            flush=True,
        )


def scaling(folder, launcher=""):
    """Print how much time b blocks take on w processes of one core each, beside b / w blocks on one.

    ``launcher`` is what starts each; without one they are local processes.
    """
    shape = (32, 640, 640)
    path = volume(folder, shape)
    ensemble(folder / "ensemble", [NET])
    times = {}
    for n_workers in (1, THREADS):
        out = folder / f"{n_workers}.ome.zarr"
        command = [*shlex.split(launcher), sys.executable, "-m", "genenet", "segment"]
        command += ["--ensemble", folder / "ensemble", path]
        command += ["--out", out, "--block", "2x640x640", "--threads", "1"]
        began = time.monotonic()
        jobs = [
            subprocess.Popen(
                [*command, "--part", f"{i}/{n_workers}", "--receipt", folder / f"{i}.json"],
                stderr=subprocess.DEVNULL,
            )
            for i in range(1, n_workers + 1)
        ]
        for job in jobs:
            assert job.wait() == 0
        whole = time.monotonic() - began
        receipts = [json.loads((folder / f"{i}.json").read_text()) for i in range(1, n_workers + 1)]
        computing = max(r["seconds_computing"] for r in receipts)
        times[n_workers] = computing
        print(
            f"  {n_workers} workers: computing {computing:.1f} s, start-up {whole - computing:.1f} s",
            flush=True,
        )
    print(f"  ratio to blocks / workers: {times[THREADS] * THREADS / times[1]:.2f}")


def memory(folder):
    """Print the peak of anonymous memory for a whole volume and for a quarter of its slices."""
    nets = [{**NET, "n_convkernels": n, "n_stacks": s} for n, s in ((4, 1), (4, 2), (6, 2), (4, 3))]
    peaks = {}
    for depth in (62, 250):
        place = folder / str(depth)
        place.mkdir()
        path = volume(place, (depth, 2000, 2000))
        command = [
            sys.executable,
            "-m",
            "genenet",
            "segment",
            "--ensemble",
            ensemble(place / "ensemble", nets),
            path,
        ]
        began = time.monotonic()
        job = subprocess.Popen([*command, "--out", place / "out.ome.zarr"], stderr=subprocess.DEVNULL)
        peaks[depth] = peak_anonymous(job)
        print(
            f"  {depth} slices: {peaks[depth] / MIB:.0f} MiB at most, {time.monotonic() - began:.0f} s",
            flush=True,
        )
        job = subprocess.Popen(
            [sys.executable, "-m", "genenet", "export", place / "out.ome.zarr", "--tiff", place / "out.tif"]
        )
        print(f"  its export and pyramid: {peak_anonymous(job) / MIB:.0f} MiB at most", flush=True)
    print(f"  ratio {peaks[250] / peaks[62]:.3f}")


def peak_anonymous(process):
    """Wait for a process; return the most anonymous memory that it was seen to have, in bytes."""
    peak, status = 0, Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        try:
            lines = status.read_text().splitlines()
        except OSError:
            break
        peak = max([peak, *(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))])
        time.sleep(0.02)
    assert process.wait() == 0
    return peak


def main():
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parts = {"speed": speed, "monai": monai, "depth": depth, "scaling": scaling, "memory": memory}
    parser.add_argument("parts", nargs="*", default=["speed", "monai", "depth", "scaling"])
    parser.add_argument("--launcher", default="", help="what starts each worker of scaling")
    options = parser.parse_args()
    parts["scaling"] = functools.partial(scaling, launcher=options.launcher)
    keep_freed_memory()
    torch.set_num_threads(THREADS)
    os.environ["OMP_NUM_THREADS"] = str(THREADS)
    for part in options.parts:
        print(part, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            parts[part](Path(folder))


if __name__ == "__main__":
    main()
