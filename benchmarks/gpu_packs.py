"""A part of benchmarks/gpu.py: packs of 1, 2, 4 and 8 trainings side by side on one device, a process each."""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context

import torch

from genenet.networks.device import wait_for
from gpu_run import Row
from training import trainer

SIZES, TRIAL_SIZES = (1, 2, 4, 8), (1, 2)
N_KERNELS, TRIAL_KERNELS = 16, 2
AIM = 3.0  # times the trainings per hour of one at a time
START = 0.5  # seconds until all members of a pack begin

_trainers = []  # of this process: one


def prepare(n_kernels, device, index):
    """In a process of its own: make a trainer and warm it up."""
    torch.set_num_threads(1)
    whole = trainer(n_kernels, index, threads=1, device=device, precision="bfloat16")
    for _ in range(5):
        whole.step()
    wait_for(whole.device)
    _trainers.append(whole)


def steps(start, seconds):
    """In the same process: train from a moment on, for some time; return the iterations per second."""
    (whole,) = _trainers
    time.sleep(max(0.0, start - time.time()))
    began, n = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        whole.step()
        n += 1
    wait_for(whole.device)
    return n / (time.perf_counter() - began)


def rows(run):
    """Yield the iterations/s of all members of each pack together."""
    sizes, n_kernels = (TRIAL_SIZES, TRIAL_KERNELS) if run.is_trial else (SIZES, N_KERNELS)
    context = get_context("spawn")  # children of this process, which are ended with it
    with ExitStack() as stack:
        members = [stack.enter_context(ProcessPoolExecutor(1, context)) for _ in range(sizes[-1])]
        ready = [m.submit(prepare, n_kernels, run.device, i) for i, m in enumerate(members)]
        for each in ready:
            each.result()
        seconds = max(0.5, min(10.0, run.left / (3 * len(sizes))))
        alone = None
        for size in sizes:
            start = time.time() + START
            found = sum(f.result() for f in [m.submit(steps, start, seconds) for m in members[:size]])
            alone = alone or found
            what = f"U-Net of {n_kernels} kernels, bfloat16: {size} training{'s' * (size > 1)} at a time"
            aim = AIM if size == SIZES[-1] else None
            note = f"{os.cpu_count()} cores"
            yield Row(what, found, "iterations/s in all", found / alone, "one at a time", aim, note)
