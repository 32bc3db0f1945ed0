"""A part of benchmarks/gpu.py: iterations/s beside a plain PyTorch loop, and the memory beside its estimate."""

import time

import torch

from genenet.core.resources import peak_memory
from genenet.networks.device import wait_for
from genenet.training.arithmetic import CUDA_GRAPH
from genenet.training.memory import step_bytes
from gpu_run import Row
from training import FULL_AUGMENTATION, PlainLoop, network_of, trainer

KERNELS, TRIAL_KERNELS = (16, 64), (2,)
WARM_UP = 5
SHARE = 1 / 12  # of the part's time that each variant is timed
AIM = 2.0  # times the plain loop
VARIANTS = {
    "float32": {"precision": "float32"},
    "bfloat16": {"precision": "bfloat16"},
    "bfloat16, full augmentation": {"precision": "bfloat16", "augmentation": FULL_AUGMENTATION},
}


def steps_per_second(step, device, seconds, warm_up=WARM_UP):
    """Return the calls per second of a step, after some to warm up; what a GPU has yet to do is waited for."""
    for _ in range(warm_up):
        step()
    wait_for(device)
    began, n = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        step()
        n += 1
    wait_for(device)
    return n / (time.perf_counter() - began)


def peak_bytes(device):
    """Return the most memory of the device that tensors took; on a CPU, that the process took."""
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else peak_memory()


def rows(run):
    """Yield the rates of each network in each variant, the plain loops first."""
    torch.set_num_threads(1 if run.is_trial else 4)
    for n_kernels in TRIAL_KERNELS if run.is_trial else KERNELS:
        yield from rates(run, n_kernels)


def rates(run, n_kernels):
    """Yield the rates of one network."""
    device, seconds = run.torch_device, SHARE * run.seconds / (4 if run.is_trial else 1)
    _, built, batch = network_of(n_kernels)
    name = f"U-Net of {n_kernels} kernels, batch {batch} of {built.input_shape[1]}²"
    plain = {}
    for bfloat16 in (False, True):
        loop = PlainLoop(n_kernels, device=device, bfloat16=bfloat16)
        kind = "bfloat16, channels last" if bfloat16 else "float32"
        plain[bfloat16] = steps_per_second(loop.step, device, seconds)
        yield Row(f"{name}: plain loop, {kind}", plain[bfloat16], "iterations/s")
        del loop
    for kind, settings in VARIANTS.items():
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        whole = trainer(n_kernels, threads=1, device=run.device, **settings)
        beside = plain["bfloat16" in kind]
        to, aim = ("the plain loop", AIM) if "full" not in kind else ("the plain loop without it", None)
        found = steps_per_second(whole.step, device, seconds)
        yield Row(f"{name}: genenet, {kind}", found, "iterations/s", found / beside, to, aim)
        if "full" not in kind:
            estimate, used = step_bytes(built, whole.settings, device), peak_bytes(device)
            what = f"{name}: memory at most, {kind}"
            yield Row(what, used / 1e6, "MB", used / estimate, "the estimate, images excluded")
        if kind == "bfloat16" and run.left > run.seconds / 4:
            yield replayed(whole, name, device, seconds, beside)
        del whole  # frees its memory before the next one is measured


def replayed(whole, name, device, seconds, beside):
    """Return the rate of CUDA graphs."""
    began = time.perf_counter()
    whole.learner.use(whole.learner.arithmetic.decided(CUDA_GRAPH))
    whole.step()
    wait_for(device)
    compiling = time.perf_counter() - began
    found = steps_per_second(whole.step, device, seconds)
    note = f"{compiling:.0f} s of compiling"
    return Row(
        f"{name}: genenet, bfloat16, CUDA graphs",
        found,
        "iterations/s",
        found / beside,
        "the plain loop",
        AIM,
        note,
    )
