"""The GPU checks of ``genenet doctor``: is there one, does torch see it, can it compute on it?"""

from __future__ import annotations

import glob
import re
import shutil
import warnings
from typing import TYPE_CHECKING, Any

from genenet.cluster.diagnosis import Finding, ask, note, ok, problem
from genenet.core.errors import one_line
from genenet.core.resources import gpu_granted, gpus_hidden, in_job

if TYPE_CHECKING:
    from collections.abc import Iterator

Capability = tuple[int, int]
TOLERANCE = (
    1e-2  # TF32, which convolutions may use, is good to 1e-3; a GPU that computes nonsense is off by 1
)
# the matrix of builds is in pytorch's RELEASE.md: CUDA 12.6 has 5.0 to 9.0 (until torch 2.14), CUDA 13 has 7.5 on
CUDA_BUILD = (
    "install a CUDA build of torch (pytorch.org names the index of each): cu126 for GPUs from Maxwell to Hopper, "
    "cu130 from Turing on with driver 580 or newer"
)
OLD_GPU_BUILD = "take a torch below 2.14 built for CUDA 12.6 (index cu126), which still has 5.0 to 7.0"


def look_at_gpu() -> Iterator[Finding]:
    """Yield which torch this is, and whether it can use the GPU."""
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        yield _without_torch()
        return
    yield ok("torch", f"{torch.__version__}, {_build(torch)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the findings below cover what torch warns about
        if torch.cuda.is_available():
            yield from _look_closer(torch)
        else:
            yield _unseen(torch)


def _build(torch: Any) -> str:
    if torch.version.cuda:
        return f"built for CUDA {torch.version.cuda}"
    return f"built for ROCm {torch.version.hip}" if torch.version.hip else "a CPU build"


def _without_torch() -> Finding:
    text = "not installed: this environment can launch and draw, not train or segment"
    if gpu_granted():
        hint = "training needs torch: apptainer exec --nv IMAGE genenet doctor, or pip install -e ."
        return problem("torch", f"{text}, but Slurm granted this job a GPU", hint)
    hint = "as it should be where jobs run in a container: apptainer exec --nv IMAGE genenet doctor looks in there"
    return note("torch", text, hint)


def gpus_of_machine() -> list[str]:
    """GPUs that are there, whether or not torch sees them: with names if the driver answers."""
    answer = ask("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    named = [", driver ".join(line.split(", ")) for line in answer.text.splitlines() if ", " in line]
    return named if answer.ok and named else sorted(glob.glob("/dev/nvidia[0-9]*"))


def _unseen(torch: Any) -> Finding:
    there = gpus_of_machine()
    if gpu_granted():
        return problem("GPU", "Slurm granted this job one, but torch finds none" + _why(torch), _hint(torch))
    if gpus_hidden():
        return note("GPU", "CUDA_VISIBLE_DEVICES contains no GPU, so torch finds none")
    if there and in_job():
        text = f"not for this job: Slurm didn't grant it one of this node's ({there[0]})"
        return note("GPU", text, "ask for one, such as with --gpus=1")
    if there:
        return problem("GPU", f"{there[0]} is there, but torch finds none{_why(torch)}", _hint(torch))
    return note("GPU", "none; networks train on the CPU")


def _why(torch: Any) -> str:
    """Return torch's own words."""
    try:
        torch.cuda.init()
    except Exception as error:
        return f" ({one_line(error).split('. ')[0].rstrip('.')})"
    return ""


def _hint(torch: Any) -> str:
    if not torch.version.cuda and not torch.version.hip:
        return f"to train on the CPU set training.device: cpu; else {CUDA_BUILD}"
    return (
        "in a container: start it with --nv (profiles/slurm); else the driver is missing, too old for this "
        "torch, or not running: see nvidia-smi. To train on the CPU set training.device: cpu"
    )


def _look_closer(torch: Any) -> Iterator[Finding]:
    """Look at the first GPU, which is the one that genenet uses."""
    n, memory = torch.cuda.device_count(), torch.cuda.get_device_properties(0).total_memory
    others = f", and {n - 1} more, which one job doesn't use" if n > 1 else ""
    yield ok("GPU", f"{torch.cuda.get_device_name(0)}, {memory / 1e9:.0f} GB{others}")
    if torch.version.cuda:
        yield _architecture(torch.cuda.get_device_capability(0), torch.cuda.get_arch_list())
    yield _convolution(torch)
    yield _sharing()


def _sharing() -> Finding:
    """Say how the trainings of one job share the GPU (training.per_job)."""
    if shutil.which("nvidia-cuda-mps-control"):
        text = "nvidia-cuda-mps-control is here: if it runs in a job, its trainings share the GPU by CUDA MPS"
        return ok("sharing", text)
    return note("sharing", "no nvidia-cuda-mps-control here: trainings side by side take turns on the GPU")


def _architecture(capability: Capability, built: list[str]) -> Finding:
    mine = "{}.{}".format(*capability)
    if covered(capability, built):
        return ok("architecture", f"{mine}, which this torch is built for")
    text = f"{mine} isn't among those that this torch is built for: {' '.join(built)}"
    if capability >= (7, 5):
        hint = "the GPU is newer than this torch: install a newer build"
    elif capability >= (5, 0):
        hint = f"newer CUDA builds have dropped Volta (7.0) and older (images: containers/README.md); {OLD_GPU_BUILD}"
    else:
        hint = "no torch that genenet runs on still has it: ask for a newer GPU, or set training.device: cpu"
    return problem("architecture", text, hint)


def covered(capability: Capability, built: list[str]) -> bool:
    """Whether code built for these architectures runs on a GPU of this compute capability.

    Machine code (``sm_80``) runs on the same major version from its minor version on, PTX (``compute_80``)
    on anything later, and with a letter (``sm_90a``) on that very GPU (CUDA C++ Programming Guide, 3.1).
    """
    for kind, major, minor, letter in re.findall(r"\b(sm|compute)_(\d+)(\d)([a-z]?)\b", " ".join(built)):
        target = int(major), int(minor)
        if letter and letter != "f":
            fits = target == capability
        elif kind == "sm" or letter:
            fits = target[0] == capability[0] and target <= capability
        else:
            fits = target <= capability
        if fits:
            return True
    return False


def _convolution(torch: Any) -> Finding:
    topic = "convolution"
    try:
        off = _difference(torch, "cuda")
    except Exception as error:
        text = f"forward and backward failed on the GPU: {one_line(error).split(' CUDA kernel errors')[0]}"
        return problem(topic, text, "is another program using the GPU (nvidia-smi)? else see the lines above")
    if off < TOLERANCE:
        return ok(topic, f"forward and backward agree with the CPU's (relative difference {off:.0e})")
    text = f"the GPU's result is not the CPU's (relative difference {off:.0e})"
    return problem(topic, text, "don't use this GPU; tell those who run the machine")


def _difference(torch: Any, device: str) -> float:
    """Return by how much a convolution and its gradients differ from the CPU's, of the largest value."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 3, 32, 32, generator=generator)
    kernels = torch.randn(8, 3, 3, 3, generator=generator)
    here, there = _convolve(torch, image, kernels, "cpu"), _convolve(torch, image, kernels, device)
    off = [float((a - b).abs().max() / a.abs().max()) for a, b in zip(here, there, strict=True)]
    return max(off) if all(x == x for x in off) else float("inf")  # NaN is never less than anything


def _convolve(torch: Any, image: Any, kernels: Any, device: str) -> list[Any]:
    """Result (B, C, Y, X) and gradients, on the CPU."""
    x, w = (t.to(device, copy=True).requires_grad_() for t in (image, kernels))
    y = torch.nn.functional.conv2d(x, w)
    y.square().mean().backward()
    return [t.detach().cpu() for t in (y, x.grad, w.grad)]
