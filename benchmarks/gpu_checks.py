"""A part of benchmarks/gpu.py: does a GPU compute what the CPU computes, and does a training survive there.

Each check is a function of a device. It returns a line about what it found, and raises AssertionError if the device
doesn't do what it should. The tests in tests/unit/training/test_gpu_checks.py call the same functions.
"""

import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

import torch

from genenet.genes.genome import Genome
from genenet.genes.plan import plan
from genenet.networks.device import is_out_of_memory, wait_for
from genenet.networks.network import Network
from genenet.training import checkpoint, compile_trial
from genenet.training.feed import AHEAD, Feed, HostPatches
from genenet.training.resident import ResidentPatches
from gpu_run import Row
from tests.support.trainers import tensors, train, trainer, weights

CPU = torch.device("cpu")
# Largest difference of a network's outputs from those of the CPU in float32, as a share of the largest output
TOLERANCES = {"float32": 1e-4, "TF32": 1e-2, "bfloat16": 5e-2}
# Smallest cosine between the weights of two trainings that should be alike up to the order of sums
ALIKE = 0.99
RECIPE = {
    "loss": {"kind": "dice_cross_entropy", "border_weight": 5},
    "sampling": {"rare_classes": 0.3},
    "augmentation": {
        "elastic_voxels": 2, "rotation_degrees": 20, "contrast": 0.2, "curves": 0.3, "blur_voxels": 0.5, "noise": 0.1,
        "random_convolutions": 0.3,
    },
    "optimiser": {"kind": "adamw", "weight_decay": 0.01, "gradient_clip": 1.0, "ema_decay": 0.9},
    "schedule": {"kind": "one_cycle"},
}  # fmt: skip
GENOME = {"norm": 1, "dropout_rate": 0.1, "log_lambda2": -3, "log_learning_rate": -1.5}


def forward_is_that_of_the_cpu(device):
    """A U-Net with random weights, in float32, TF32 and bfloat16."""
    torch.manual_seed(0)
    net = {"n_convkernels": 16, "n_stacks": 2, "n_convlayers": 2, "input_size": 92}
    network = Network(plan(Genome("u", {"net": net}).net, 7)).eval()
    images = torch.randn(2, 1, *network.plan.input_shape)
    with torch.inference_mode():
        expected = network(images)
        network.placed(device)
        found = {}
        for name, tolerance in TOLERANCES.items():
            autocast = torch.autocast(device.type, torch.bfloat16, enabled=name == "bfloat16")
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=name == "TF32"), autocast:
                logits = network(images.to(device)).float().cpu()
            found[name] = ((logits - expected).abs().max() / expected.abs().max()).item()
            assert found[name] <= tolerance, f"{name}: {found[name]:.1e} is above {tolerance:.0e}"
    return ", ".join(f"{name} {value:.1e} (at most {TOLERANCES[name]:.0e})" for name, value in found.items())


def cosine(one, other):
    """Return the cosine between the weights of two trainings."""
    return torch.nn.functional.cosine_similarity(weights(one), weights(other), dim=0).item()


def same_seed_twice_trains_alike(device):
    """How equal two trainings with one seed are."""
    one, two = (train(trainer(GENOME, device.type, **RECIPE)) for _ in range(2))
    difference, alike = (weights(one) - weights(two)).abs().max().item(), cosine(one, two)
    assert alike > ALIKE, f"cosine {alike:.4f}"
    return "bit for bit" if difference == 0 else f"largest difference {difference:.1e}, cosine {alike:.6f}"


def training_is_that_of_the_cpu(device):
    """A training without noise, whose random numbers depend on the kind of device."""
    one, two = (train(trainer(device=name)) for name in ("cpu", device.type))
    alike = cosine(one, two)
    assert alike > ALIKE, f"cosine {alike:.4f}"
    return f"cosine {alike:.6f}"


def resumed_training_ends_alike(device):
    """A training that continues from a checkpoint, beside one that wasn't interrupted."""
    whole, first, second = (trainer(GENOME, device.type, **RECIPE) for _ in range(3))
    train(whole)
    for _ in first.run(until=7):
        pass
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pt"
        checkpoint.save(path, {"fingerprint": "f", **first.state()})
        second.restore(checkpoint.load(path, "f"))
    assert second.iteration == 7
    train(second)
    differences = [
        (tensors(second)[name] - tensor).abs().max().item() for name, tensor in tensors(whole).items()
    ]
    assert cosine(whole, second) > ALIKE
    return "bit for bit" if max(differences) == 0 else f"largest difference {max(differences):.1e}"


def patches_cut_on_the_device_are_those_of_numpy(device):
    """All three ways to get patches, also in three dimensions."""
    largest = 0.0
    for genome in ({}, {"spatial_mode": "3d", "input_depth": 12}):
        sampler = trainer({"input_size": 24, **genome}).sampler
        expected, resident, copied = (
            Feed(HostPatches(sampler), CPU, 0),
            Feed(ResidentPatches(sampler, device), device, AHEAD),
            Feed(HostPatches(sampler), device, AHEAD),
        )
        for iteration in range(10):
            images, labels, _ = expected.batch(iteration)
            for feed in (resident, copied):
                on_device = feed.batch(iteration)
                assert on_device[0].device.type == device.type
                assert torch.equal(on_device[1].cpu(), labels)
                largest = max(largest, (on_device[0].cpu() - images).abs().max().item())
    assert largest < 1e-5, f"grey values differ by {largest:.1e}"
    return "bit for bit" if largest == 0 else f"grey values within {largest:.1e}"


@contextmanager
def no_waiting(device):
    """Make everything an error that waits for the GPU."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def steps_do_not_wait(device):
    """Steps between two readings of the loss launch work only, with all augmentations."""
    for recipe in ({}, RECIPE):
        t = trainer(GENOME, device.type, iterations=100, **recipe)
        for _ in range(5):
            t.step()
        t.check_losses()
        wait_for(device)
        with no_waiting(device):
            for _ in range(10):
                t.step()
        t.check_losses()
    return (
        "10 steps of two recipes launch work only"
        if device.type == "cuda"
        else "nothing to wait for on a CPU"
    )


@contextmanager
def too_little_memory(t, share, needed):
    """Leave a share of the memory that a step needs; on a CPU, let whole batches or halves fail."""
    if t.device.type == "cuda":
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(share * needed / total)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return
    forward, most = t.learner.forward, share * t.settings.batch_size

    def limited(images):
        if len(images) > most:
            raise RuntimeError("can't allocate memory")
        return forward(images)

    with mock.patch.object(t.learner, "forward", limited):
        yield


def out_of_memory_is_survived(device):
    """A batch that doesn't fit is computed in halves; what doesn't fit either is recognised."""
    on_gpu = device.type == "cuda"
    size = {"n_convkernels": 64, "input_size": 300} if on_gpu else {}
    t = trainer({**size, "norm": 1, "log_lambda2": -3}, device.type, batch_size=16 if on_gpu else 4)
    needed = 0
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        t.step()
        torch.cuda.empty_cache()
        needed = torch.cuda.max_memory_allocated()
    with too_little_memory(t, 0.75, needed):
        t.step()
    assert t.learner.parts == 2
    try:
        with too_little_memory(t, 0.1, needed):
            t.step()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    else:
        raise AssertionError("a tenth of the memory was enough")
    return "halves are computed; less is recognised as out of memory"


def cuda_graphs_learn_the_same(device):
    """``compile: auto``, made to choose CUDA graphs; penalties of activations and deep supervision included."""
    genome = {"log_lambda2": -1, "log_gamma1": -3, "n_stacks": 2, "input_size": 60}
    settings = {"iterations": 5, "deep_supervision": True}
    plain = train(trainer(genome, device.type, **settings))
    replayed = trainer(genome, device.type, compile="auto", **settings)
    with mock.patch.object(compile_trial, "WORTH", -1.0), mock.patch.object(compile_trial, "GAIN", -1e9):
        train(replayed)
    difference = (weights(plain) - weights(replayed)).abs().max().item()
    assert difference < 1e-3, f"weights differ by {difference:.1e}"
    chosen = replayed.learner.arithmetic.compiled
    assert chosen == ("no" if device.type == "cpu" else "reduce-overhead"), chosen
    return f"{chosen}, weights within {difference:.1e}"


CHECKS = [
    forward_is_that_of_the_cpu,
    patches_cut_on_the_device_are_those_of_numpy,
    training_is_that_of_the_cpu,
    same_seed_twice_trains_alike,
    resumed_training_ends_alike,
    steps_do_not_wait,
    out_of_memory_is_survived,
    cuda_graphs_learn_the_same,  # takes longest
]


def checked(check, device):
    """Return the row of a check."""
    what = check.__name__.replace("_", " ")
    try:
        return Row(what, note=check(device))
    except Exception as error:  # a check that fails in any way is a result
        return Row(what, note=f"FAILED: {type(error).__name__}: {error}", failed=True)


def rows(run):
    """Yield a row for each check."""
    torch.set_num_threads(1)
    yield from map(partial(checked, device=run.torch_device), CHECKS)
