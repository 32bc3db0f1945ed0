"""Training steps per second, beside a plain PyTorch loop, in one run: the same network, batch, patches and data.

python benchmarks/training.py [speed] [quality] [overhead] [checkpoints] [--kernels 16 64] [--seeds 3]

The plain loop is what a tutorial shows: contiguous float32 tensors, a DataLoader, torch's Adam with its defaults.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from genenet.config.training import Training
from genenet.core.resources import keep_freed_memory
from genenet.genes.baselines import UNet2015
from genenet.genes.plan import plan
from genenet.metrics.contingency import Contingency
from genenet.networks.network import Network
from genenet.phantoms.phantom import slabs
from genenet.training import checkpoint
from genenet.training.patches import class_weights
from genenet.training.prepared_images import LabelledArray
from genenet.training.trainer import Trainer
from genenet.volumes.normalisation import Normalisation
from processor import bfloat16_instructions

THREADS = 2
ROUNDS = 5  # alternating, so that a machine that grows slower doesn't favour one
SECONDS = 5  # of each round
N_CLASSES = 7
CASES = {16: (252, 4), 64: (252, 2)}  # kernels: input size, batch
QUALITY_ITERATIONS = {16: 300, 64: 100}  # kernels: iterations


def phantom(shape, seed):
    """Return a phantom as a labelled image."""
    pieces = list(slabs(shape, seed))
    image, labels = (np.concatenate([piece[i] for piece in pieces]) for i in (1, 2))
    return LabelledArray("phantom", image, labels, Normalisation.of_volume(image.mean(), image.std()))


TRAIN, VALIDATION = phantom((8, 320, 320), 1), phantom((4, 320, 320), 2)
COUNTS = np.bincount(TRAIN.labels.ravel(), minlength=N_CLASSES)


class Patches(Dataset):
    """Random crops with flips and turns, one at a time."""

    def __init__(self, network_plan, n_patches, seed):
        self.size, self.margin = network_plan.input_shape[1], network_plan.margin[1]
        self.n_patches = n_patches
        halo = ((0, 0), (self.margin, self.margin), (self.margin, self.margin))
        self.rng = np.random.default_rng(seed)
        self.image = np.pad(TRAIN.normalisation.apply(TRAIN.image, 0), halo, mode="reflect")

    def __len__(self):
        return self.n_patches

    def __getitem__(self, _):
        inner = self.size - 2 * self.margin
        z, y, x = (
            self.rng.integers(n) for n in (len(self.image), *(n - inner + 1 for n in TRAIN.labels.shape[1:]))
        )
        image = self.image[z, y : y + self.size, x : x + self.size]
        labels = TRAIN.labels[z, y : y + inner, x : x + inner]
        turns, flip = self.rng.integers(4), self.rng.integers(2) * 2 - 1
        image, labels = (np.rot90(a, turns)[:, ::flip].copy() for a in (image, labels))
        return torch.from_numpy(image)[None, None], torch.from_numpy(labels).long()[None]


class PlainLoop:
    """Train as a tutorial does."""

    def __init__(self, n_kernels, seed=0, iterations=10_000):
        self.genome, self.plan, self.batch = network_of(n_kernels)
        torch.manual_seed(seed)
        self.network = Network(self.plan)
        patches = Patches(self.plan, self.batch * iterations, seed)
        self.batches = iter(DataLoader(patches, batch_size=self.batch, num_workers=0))
        weights = torch.from_numpy(class_weights(COUNTS, 0.5))
        self.loss = torch.nn.CrossEntropyLoss(weights)
        rate = 10 ** float(self.genome.net.value("log_learning_rate"))
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=rate)

    def step(self):
        """Do one iteration."""
        images, labels = next(self.batches)
        self.optimiser.zero_grad()
        loss = self.loss(self.network(images), labels)
        loss.backward()
        self.optimiser.step()
        return loss.item()


def network_of(n_kernels):
    """Return a U-Net as genome and plan, and its batch size."""
    size, batch = CASES[n_kernels]
    genome = UNet2015(n_convkernels=n_kernels, input_size=size).genome("unet2015")
    return genome, plan(genome.net, N_CLASSES), batch


def trainer(n_kernels, seed=0, **settings):
    """Return genenet's trainer for the same job."""
    genome, network_plan, batch = network_of(n_kernels)
    values = {"iterations": 10**6, "batch_size": batch, "validation_interval": 10**6, "threads": THREADS}
    recipe = Training(**{**values, "device": "cpu", **settings})
    return Trainer(genome, network_plan, [TRAIN], [VALIDATION], COUNTS, recipe, seed, torch.device("cpu"))


def serve(connection, n_kernels, settings):
    """In a process of its own: train as asked, and say how fast. No settings: the plain loop."""
    torch.set_num_threads(THREADS)
    if settings is None:
        variant = PlainLoop(n_kernels)
    else:
        keep_freed_memory()  # as genenet train does
        variant = trainer(n_kernels, **settings)
    for _ in range(3):
        variant.step()
    connection.send(None)
    while connection.recv():
        began, n = time.monotonic(), 0
        while time.monotonic() - began < SECONDS or n < 3:
            variant.step()
            n += 1
        connection.send(n / (time.monotonic() - began))


def rates(n_kernels, variants):
    """Return the iterations per second of each variant, the median of alternating rounds."""
    context, found, connections = multiprocessing.get_context("spawn"), {name: [] for name in variants}, {}
    for name, settings in variants.items():
        connections[name], theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, n_kernels, settings), daemon=True).start()
        connections[name].recv()
    for _ in range(ROUNDS):
        for name, connection in connections.items():
            connection.send(True)
            found[name].append(connection.recv())
    for connection in connections.values():
        connection.send(False)
    return {name: statistics.median(values) for name, values in found.items()}


def speed(arguments):
    """Print steps per second and ratios, and how near the plain loop is to what the processor can do."""
    variants = {
        "plain loop": None,
        "genenet, float32": {"precision": "float32"},
        "genenet, float32, compiled": {"precision": "float32", "compile": True},
    }
    types = [torch.float32]
    if bfloat16_instructions():
        variants["genenet, bfloat16"] = {"precision": "bfloat16"}
        variants["genenet, bfloat16, compiled"] = {"precision": "bfloat16", "compile": True}
        types.append(torch.bfloat16)
    peaks = ", ".join(f"{peak(t) / 1e9:.0f} in {t}" for t in types)
    print(f"products of matrices, thousand million operations/s: {peaks}")
    for n_kernels in arguments.kernels:
        size, batch = CASES[n_kernels]
        _, network_plan, _ = network_of(n_kernels)
        operations = 3 * batch * network_plan.flops_per_voxel * network_plan.output_shape[1] ** 2
        print(
            f"U-Net of {n_kernels} kernels, batch {batch} of {size} x {size}, {operations / 1e9:.0f} such an iteration"
        )
        found = rates(n_kernels, variants)
        for name, rate in found.items():
            print(f"  {name:30} {rate:6.2f} iterations/s  {rate / found['plain loop']:5.2f}", flush=True)


def peak(dtype):
    """Return the operations per second of a large product of matrices."""
    a, b = (torch.rand(2048, 2048, dtype=dtype) for _ in range(2))
    times = []
    for _ in range(10):
        began = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - began)
    return 2 * 2048**3 / min(times)


def overhead(arguments):
    """Print which share of the time is not forward, backward and optimiser step."""
    full = {
        "elastic_voxels": 4,
        "brightness": 0.2,
        "contrast": 0.2,
        "gamma": 0.2,
        "blur_voxels": 1,
        "noise": 0.2,
        "missing_slices": 0.1,
        "shifted_slices": 0.1,
        "shifted_slices_voxels": 4,
    }
    for n_kernels in arguments.kernels:
        for name, augmentation in (("flips and turns", {}), ("full augmentation", full)):
            whole = trainer(n_kernels, augmentation=augmentation)
            outside = inside = 0.0
            learn = whole.learner.step

            def timed(*batch, learn=learn):
                nonlocal inside
                began = time.perf_counter()
                result = learn(*batch)
                inside += time.perf_counter() - began
                return result

            for _ in range(5):
                whole.step()
            whole.learner.step = timed
            began = time.perf_counter()
            while time.perf_counter() - began < 2 * SECONDS:
                whole.step()
            elapsed = time.perf_counter() - began
            outside = elapsed - inside
            print(
                f"U-Net of {n_kernels} kernels, {name}: {outside / elapsed:.1%} outside of the step",
                flush=True,
            )


def checkpoints(arguments):
    """Print how long a checkpoint takes, into the folder for temporary files, and which share of the time that is."""
    for n_kernels in arguments.kernels:
        whole = trainer(n_kernels)
        for _ in range(2):
            whole.step()
        whole.validate()
        times = []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "checkpoint.pt"
            for _ in range(ROUNDS):
                began = time.perf_counter()
                checkpoint.save(path, {"fingerprint": "f", **whole.state()})
                times.append(time.perf_counter() - began)
            megabytes = path.stat().st_size / 1e6
        least, median = min(times), statistics.median(times)
        interval = max(checkpoint.SECONDS, median / checkpoint.SHARE)
        print(
            f"U-Net of {n_kernels} kernels: {megabytes:.0f} MB in {median:.2f} s (at least {least:.2f} s) "
            f"every {interval:.0f} s: {median / interval:.2%} of the time",
            flush=True,
        )


def score(whole):
    """Return the validation ARI of a trainer's network."""
    table = Contingency.empty(N_CLASSES)
    with whole.learner.evaluated():
        for z, probabilities in whole.predict(VALIDATION):
            table.add(VALIDATION.labels[z : z + 1], probabilities.argmax(axis=0))
    return table.adjusted_rand_index


def quality(arguments):
    """Print the validation ARI of each variant after the same iterations, seed by seed, and how they differ."""
    variants = {"plain loop": None, "genenet, float32": {"precision": "float32"}}
    if bfloat16_instructions():
        variants["genenet, bfloat16"] = {"precision": "bfloat16"}
    for n_kernels in arguments.kernels:
        iterations = QUALITY_ITERATIONS[n_kernels]
        print(f"U-Net of {n_kernels} kernels, {iterations} iterations, ARI of {', '.join(variants)}")
        found = []
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            found.append([learned(n_kernels, seed, iterations, each) for each in variants.values()])
            print(f"  seed {seed}: {' '.join(f'{value:.3f}' for value in found[-1])}", flush=True)
        plain, *others = zip(*found, strict=True)
        print(f"  plain loop: {mean_and_spread(plain)}")
        for name, values in zip(list(variants)[1:], others, strict=True):
            differences = [value - beside for value, beside in zip(values, plain, strict=True)]
            print(f"  {name}: {mean_and_spread(values)}, less the plain loop {mean_and_spread(differences)}")


def mean_and_spread(values):
    """Return mean and standard deviation as text."""
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def learned(n_kernels, seed, iterations, settings):
    """Train; return the validation ARI of the network. No settings: the plain loop.

    The learning rate falls to 0 as a cosine does: at a constant one, the ARI of the last iterations varies by 0.05.
    """
    fall = {"iterations": iterations, "schedule": {"kind": "cosine"}}
    whole = trainer(n_kernels, seed, **fall, **(settings or {"precision": "float32"}))
    if settings:
        for _ in range(iterations):
            whole.step()
        return score(whole)
    variant = PlainLoop(n_kernels, seed, iterations)
    variant.network.load_state_dict(whole.network.state_dict())  # both begin with the same weights
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(variant.optimiser, iterations)
    for _ in range(iterations):
        variant.step()
        schedule.step()
    whole.network.load_state_dict(variant.network.state_dict())  # and are scored by the same program
    return score(whole)


PARTS = {"speed": speed, "overhead": overhead, "checkpoints": checkpoints, "quality": quality}


def main():
    """Run what is asked for, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    parser.add_argument(
        "--kernels", type=int, nargs="+", choices=CASES, default=list(CASES), help="of the U-Nets"
    )
    parser.add_argument("--first-seed", type=int, default=0, help="of quality")
    parser.add_argument("--seeds", type=int, default=3, help="how many, of quality")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    torch.set_num_threads(THREADS)
    print("bfloat16 in hardware:", ", ".join(bfloat16_instructions()) or "no")
    for part in arguments.parts:
        PARTS[part](arguments)


if __name__ == "__main__":
    main()
