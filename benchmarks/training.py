"""Training steps per second, beside a plain PyTorch loop, in one run: the same network, batch, patches and data.

python benchmarks/training.py [speed] [quality] [overhead] [checkpoints] [--kernels 16 64] [--seeds 3]

The plain loop is what a tutorial shows: contiguous float32 tensors, a DataLoader, torch's Adam with its defaults.
"""

import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import yaml
from torch.utils.data import DataLoader, IterableDataset

from bench_data import phantom
from bench_tools import alternating, bfloat16_instructions, mean_and_spread, parser, precisions, rate, timed
from genenet.core.resources import keep_freed_memory
from genenet.genes.baselines import BASELINES
from genenet.genes.plan import plan
from genenet.networks.network import Network
from genenet.training import checkpoint
from genenet.training.patches import class_weights

CPU = torch.device("cpu")
THREADS = 2
ROUNDS, SECONDS = 5, 5  # number of rounds, length of each
CASES = {16: (252, 4), 64: (252, 2)}  # kernels: input size, batch
TRIAL_CASE = 188, 1  # of any other number of kernels, to try a program
QUALITY_ITERATIONS = {16: 300, 64: 100}  # kernels: iterations
DATA = phantom(validation_shape=(4, 320, 320))
(TRAIN,) = DATA.train
FULL_AUGMENTATION = yaml.safe_load("""
{elastic_voxels: 4, brightness: 0.2, contrast: 0.2, gamma: 0.2, blur_voxels: 1, noise: 0.2,
 missing_slices: 0.1, shifted_slices: 0.1, shifted_slices_voxels: 4}
""")


class Patches(IterableDataset):
    """Random crops with flips and turns, one at a time, without an end."""

    def __init__(self, network_plan, seed):
        self.size, self.margin = network_plan.input_shape[1], network_plan.margin[1]
        halo = ((0, 0), (self.margin, self.margin), (self.margin, self.margin))
        self.rng = np.random.default_rng(seed)
        self.image = np.pad(TRAIN.normalisation.apply(TRAIN.image, 0), halo, mode="reflect")

    def __iter__(self):
        inner = self.size - 2 * self.margin
        starts = (len(self.image), *(n - inner + 1 for n in TRAIN.labels.shape[1:]))
        while True:
            z, y, x = (self.rng.integers(n) for n in starts)
            image = self.image[z, y : y + self.size, x : x + self.size]
            labels = TRAIN.labels[z, y : y + inner, x : x + inner]
            turns, flip = self.rng.integers(4), self.rng.integers(2) * 2 - 1
            image, labels = (np.rot90(a, turns)[:, ::flip].copy() for a in (image, labels))
            yield torch.from_numpy(image)[None, None], torch.from_numpy(labels).long()[None]


class PlainLoop:
    """Train as a tutorial does; in bfloat16, with autocast and channels last."""

    def __init__(self, n_kernels, seed=0, device=CPU, bfloat16=False):
        genome, self.plan, batch = network_of(n_kernels)
        torch.manual_seed(seed)
        self.device, self.bfloat16 = device, bfloat16
        self.network = Network(self.plan).to(device)
        if bfloat16:
            self.network = self.network.to(memory_format=torch.channels_last)
        self.batches = iter(DataLoader(Patches(self.plan, seed), batch_size=batch, num_workers=0))
        weights = torch.from_numpy(class_weights(DATA.counts, 0.5))
        self.loss = torch.nn.CrossEntropyLoss(weights.to(device))
        learning_rate = 10 ** float(genome.net.value("log_learning_rate"))
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=learning_rate)

    def step(self):
        """Do one iteration."""
        images, labels = (tensor.to(self.device) for tensor in next(self.batches))
        self.optimiser.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            loss = self.loss(self.network(images), labels)
        loss.backward()
        self.optimiser.step()
        return loss.item()


def network_of(n_kernels):
    """Return a U-Net as genome and plan, and its batch size."""
    size, batch = CASES.get(n_kernels, TRIAL_CASE)
    genome = BASELINES["unet2015"].genome(n_convkernels=n_kernels, input_size=size)
    return genome, plan(genome.net, DATA.n_classes), batch


def trainer(n_kernels, seed=0, **settings):
    """Return genenet's trainer for the same job."""
    genome, _, batch = network_of(n_kernels)
    forever = {"iterations": 10**6, "validation_interval": 10**6}
    return DATA.trainer(genome, seed, **{**forever, "batch_size": batch, "threads": THREADS, **settings})


def variants(compiled=False):
    """Return what is compared: settings of genenet by name, none for the plain loop."""
    found = {"plain loop": None}
    for precision in precisions():
        found[f"genenet, {precision}"] = {"precision": precision}
        if compiled:
            found[f"genenet, {precision}, compiled"] = {"precision": precision, "compile": True}
    return found


_trained = {}  # what a process of `rates` trains, by name


def prepare(n_kernels, settings):
    """In a process of its own: make a variant and warm it up. No settings: the plain loop."""
    torch.set_num_threads(THREADS)
    if settings is None:
        _trained["variant"] = PlainLoop(n_kernels)
    else:
        keep_freed_memory()  # as genenet train does
        _trained["variant"] = trainer(n_kernels, **settings)
    for _ in range(3):
        _trained["variant"].step()


def steps_per_second():
    """In the same process: return the iterations per second of the variant."""
    return rate(_trained["variant"].step, SECONDS, least=3)


def rates(n_kernels):
    """Return the iterations per second of each variant; each keeps a process of its own, since compiling is slow."""
    with ExitStack() as stack:
        pools = {}
        for name, settings in variants(compiled=True).items():
            pools[name] = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn")))
            pools[name].submit(prepare, n_kernels, settings).result()
        measures = {name: lambda p=pool: p.submit(steps_per_second).result() for name, pool in pools.items()}
        return alternating(ROUNDS, measures)


def speed(options):
    """Print steps per second and ratios, and how near the plain loop is to what the processor can do."""
    types = [getattr(torch, precision) for precision in precisions()]
    peaks = ", ".join(f"{matrix_operations(t) / 1e9:.0f} in {t}" for t in types)
    print(f"products of matrices, thousand million operations/s: {peaks}")
    for n_kernels in options.kernels:
        size, batch = CASES[n_kernels]
        _, built, _ = network_of(n_kernels)
        operations = 3 * batch * built.flops_per_voxel * built.output_shape[1] ** 2 / 1e9
        network = f"U-Net of {n_kernels} kernels, batch {batch} of {size} x {size}"
        print(f"{network}, {operations:.0f} thousand million operations an iteration")
        found = rates(n_kernels)
        for name, value in found.items():
            print(f"  {name:30} {value:6.2f} iterations/s  {value / found['plain loop']:5.2f}", flush=True)


def matrix_operations(dtype):
    """Return the operations per second of a large product of matrices."""
    a, b = (torch.rand(2048, 2048, dtype=dtype) for _ in range(2))
    return 2 * 2048**3 / min(timed(torch.matmul, a, b) for _ in range(10))


def overhead(options):
    """Print the share of the time that is spent outside of forward, backward and optimiser step."""
    for n_kernels in options.kernels:
        for name, augmentation in (("flips and turns", {}), ("full augmentation", FULL_AUGMENTATION)):
            whole = trainer(n_kernels, augmentation=augmentation)
            for _ in range(5):
                whole.step()
            inside = []
            whole.learner.step = recording_time(whole.learner.step, inside)
            elapsed = 0.0
            while elapsed < 2 * SECONDS:
                elapsed += timed(whole.step)
            outside = 1 - sum(inside) / elapsed
            print(f"U-Net of {n_kernels} kernels, {name}: {outside:.1%} outside of the step", flush=True)


def recording_time(function, seconds):
    """Return the function, which then appends the time of each call to ``seconds``."""

    def call(*arguments):
        began = time.perf_counter()
        result = function(*arguments)
        seconds.append(time.perf_counter() - began)
        return result

    return call


def save_checkpoint(path, whole):
    """Save a checkpoint, as a training does."""
    checkpoint.save(path, {"fingerprint": "f", **whole.state()})


def checkpoints(options):
    """Print how long a checkpoint takes in the folder for temporary files, and its share of the time."""
    for n_kernels in options.kernels:
        whole = trainer(n_kernels)
        for _ in range(2):
            whole.step()
        whole.validate()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "checkpoint.pt"
            save = partial(save_checkpoint, path, whole)
            times = [timed(save) for _ in range(ROUNDS)]
            megabytes = path.stat().st_size / 1e6
        least, median = min(times), statistics.median(times)
        interval = max(checkpoint.SECONDS, median / checkpoint.SHARE)
        took = f"{megabytes:.0f} MB in {median:.2f} s (at least {least:.2f} s) every {interval:.0f} s"
        print(f"U-Net of {n_kernels} kernels: {took}: {median / interval:.2%} of the time", flush=True)


def quality(options):
    """Print the validation ARI of each variant after the same iterations, seed by seed, and their differences."""
    names = variants()
    for n_kernels in options.kernels:
        iterations = QUALITY_ITERATIONS[n_kernels]
        print(f"U-Net of {n_kernels} kernels, {iterations} iterations, ARI of {', '.join(names)}")
        found = []
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            found.append([learned(n_kernels, seed, iterations, settings) for settings in names.values()])
            print(f"  seed {seed}: {' '.join(f'{value:.3f}' for value in found[-1])}", flush=True)
        plain, *others = zip(*found, strict=True)
        print(f"  plain loop: {mean_and_spread(plain)}")
        for name, values in zip(list(names)[1:], others, strict=True):
            differences = [value - beside for value, beside in zip(values, plain, strict=True)]
            beside = f"minus the plain loop {mean_and_spread(differences)}"
            print(f"  {name}: {mean_and_spread(values)}, {beside}")


def learned(n_kernels, seed, iterations, settings):
    """Train; return the validation ARI of the network. No settings: the plain loop.

    The learning rate falls to 0 as a cosine: at a constant rate the ARI of the last iterations varies by 0.05.
    """
    fall = {"iterations": iterations, "schedule": {"kind": "cosine"}}
    whole = trainer(n_kernels, seed, **fall, **(settings or {"precision": "float32"}))
    if settings:
        for _ in range(iterations):
            whole.step()
        return score(whole)
    variant = PlainLoop(n_kernels, seed)
    variant.network.load_state_dict(whole.network.state_dict())  # both start from the same weights
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(variant.optimiser, iterations)
    for _ in range(iterations):
        variant.step()
        schedule.step()
    whole.network.load_state_dict(variant.network.state_dict())  # and are scored by the same program
    return score(whole)


def score(whole):
    """Return the validation ARI of a trainer's network."""
    whole.validate()
    return whole.history[-1].validation_ari


PARTS = {"speed": speed, "overhead": overhead, "checkpoints": checkpoints, "quality": quality}


def main():
    """Run the parts that are asked for, or all."""
    arguments = parser(__doc__)
    arguments.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; default: all")
    arguments.add_argument("--kernels", type=int, nargs="+", choices=CASES, default=list(CASES))
    arguments.add_argument("--first-seed", type=int, default=0, help="of quality")
    arguments.add_argument("--seeds", type=int, default=3, help="number of seeds of quality")
    options = arguments.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        arguments.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    torch.set_num_threads(THREADS)
    print("bfloat16 in hardware:", ", ".join(bfloat16_instructions()) or "no")
    for part in options.parts or PARTS:
        PARTS[part](options)


if __name__ == "__main__":
    main()
