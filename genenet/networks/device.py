"""Where a network runs: GPU or CPU, and on how many cores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from genenet.core.errors import MachineError
from genenet.core.resources import available_cores, available_memory, gpu_granted

if TYPE_CHECKING:
    from torch import Tensor

    from genenet.config.types import Precision


def choose_device(name: str) -> torch.device:
    """Return the device for ``auto``, ``cuda`` or ``cpu``.

    Raises:
        MachineError: If a GPU was asked for, or granted by Slurm to an ``auto`` job, and torch finds none.
    """
    if name == "cpu" or (name == "auto" and not gpu_granted() and not torch.cuda.is_available()):
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    who = "Slurm granted this job a GPU" if gpu_granted() else "training.device is cuda"
    raise MachineError(
        f"{who}, but torch {torch.__version__} finds none: check that the container runs with --nv, that the driver is "
        "installed and that this torch is built for CUDA; `genenet doctor` in the same job prints the details. "
        "To train on the CPU, set training.device: cpu"
    )


def set_threads(n_threads: int) -> None:
    """Let torch use exactly ``n_threads`` CPU cores; the number decides the bits of the result.

    Raises:
        MachineError: If this process may use fewer.
    """
    available = available_cores()
    if available < n_threads:
        raise MachineError(
            f"training.threads is {n_threads}, but this job may use {available} core(s): "
            f"give the job more cores, or set training.threads: {available}, which gives other bits of the same quality"
        )
    torch.set_num_threads(n_threads)


def threads_of_one_core(n_threads: int, name: str) -> ThreadPoolExecutor:
    """Return threads in each of which torch uses one core; in the thread that calls, torch uses as many as before."""
    n_before = torch.get_num_threads()
    pool = ThreadPoolExecutor(n_threads, name, _use_one_core)
    pool.submit(int).result()
    torch.set_num_threads(n_before)
    return pool


def _use_one_core() -> None:
    """Let torch use one core in this thread, also if another thread sets another number afterwards.

    A thread adopts the number that any thread set last when it needs it for the first time; asking for it here is that
    first time.
    """
    torch.set_num_threads(1)
    torch.get_num_threads()


def compute_type(precision: Precision, device: torch.device) -> torch.dtype | None:
    """Return the type for autocast, or None for plain float32; ``auto`` takes bfloat16 where it is faster."""
    return torch.bfloat16 if resolved(precision, device) == "bfloat16" else None


def resolved(precision: Precision, device: torch.device) -> Literal["float32", "bfloat16"]:
    """Return what ``auto`` means on a device; other precisions stay."""
    if precision == "auto":
        return "bfloat16" if is_faster_in_bfloat16(device) else "float32"
    return precision


def is_faster_in_bfloat16(device: torch.device) -> bool:
    """Say whether bfloat16 is faster: on GPUs since Ampere, on CPUs with AMX, and on AMD's with AVX512-BF16.

    Intel's AVX512-BF16 alone multiplies no faster than its float32, and converting costs (docs/benchmarks.md).
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    flags = processor()
    return "amx_bf16" in flags or {"avx512_bf16", "AuthenticAMD"} <= flags


def tf32_uses(device: torch.device) -> list[str]:
    """Return which operations in float32 a GPU computes in TF32, whose fractions have 10 bits instead of 23."""
    if device.type != "cuda":
        return []
    used = {
        "convolutions": torch.backends.cudnn.allow_tf32,
        "matrix products": torch.backends.cuda.matmul.allow_tf32,
    }
    return [name for name, is_used in used.items() if is_used]


def processor() -> set[str]:
    """Return the words of /proc/cpuinfo, among them the flags and the vendor."""
    try:
        return set(Path("/proc/cpuinfo").read_text().split())
    except OSError:  # not Linux
        return set()


# torch on a GPU and on the CPU, its C++, and NVIDIA's libraries
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "bad_alloc", "alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an exception means that the machine or the GPU is out of memory."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY)


def free_memory(device: torch.device) -> float:
    """Return the bytes that a GPU has free, or that torch holds for this process without using them."""
    if device.type != "cuda":
        return available_memory()
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def give_back_unused(device: torch.device) -> None:
    """Let other processes use the memory of a GPU that torch holds for this process without using it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def wait_for(device: torch.device) -> None:
    """Wait until a device has done all that it was asked for, to measure how long that takes."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor from the CPU to a device.

    A copy from ordinary memory to a GPU waits for everything that the GPU still has to do. A copy from pinned memory
    doesn't wait, and torch reuses the pinned memory once the copy is done.
    """
    if device.type != "cuda" or not tensor.numel():
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
