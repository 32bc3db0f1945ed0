"""The same code on a GPU, where there is one; on the CPU the tests themselves are tried."""

import shutil

import pytest
import torch

from genenet.networks.device import compute_type, is_out_of_memory
from genenet.training import checkpoint
from tests.support import runs
from tests.support.trainers import tensors, train, trainer, weights

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
NO_COMPILER = pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler, g++")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])]
RECIPE = {
    "loss": {"kind": "dice_cross_entropy", "border_weight": 5},
    "sampling": {"rare_classes": 0.3},
    "augmentation": {"elastic_voxels": 2, "contrast": 0.2, "gamma": 0.2, "blur_voxels": 0.5, "noise": 0.1},
    "optimiser": {"kind": "adamw", "weight_decay": 0.01, "gradient_clip": 1.0, "ema_decay": 0.9},
    "schedule": {"kind": "one_cycle"},
}
GENOME = {"norm": 1, "dropout_rate": 0.1, "log_lambda2": -3, "log_learning_rate": -1.5}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_whole_recipe_learns(device, precision):
    t = train(trainer(GENOME, device, iterations=60, precision=precision, **RECIPE))
    assert t.history[-1].training_loss < 0.8 * t.history[0].training_loss
    for name, tensor in tensors(t).items():
        assert tensor.device.type == device, name
        assert tensor.dtype in (torch.float32, torch.int64), name
    kernel = t.network.layers["decode_stack1_layer0"].conv.weight
    memory_format = t.network.modules_of.memory_format(t.device, to_train=True)
    assert kernel.is_contiguous(memory_format=memory_format)
    assert memory_format == torch.channels_last or device == "cpu"
    assert t.learner.type == compute_type(precision, t.device)


@pytest.mark.parametrize("device", DEVICES)
def test_a_resumed_training_goes_on(device, tmp_path):
    undisturbed, first, second = (trainer(GENOME, device, **RECIPE) for _ in range(3))
    train(undisturbed)
    steps = first.run()
    for _ in range(7):
        next(steps)
    checkpoint.save(tmp_path / "checkpoint.pt", {"fingerprint": "f", **first.state()})
    second.restore(checkpoint.load(tmp_path / "checkpoint.pt", "f"))
    assert second.iteration == 7
    train(second)
    # a GPU adds up in any order
    close = {"rtol": 0, "atol": 0} if device == "cpu" else {"rtol": 1e-2, "atol": 1e-3}
    for name, tensor in tensors(undisturbed).items():
        torch.testing.assert_close(tensors(second)[name], tensor, **close, msg=name)
    assert [r.iteration for r in second.history] == [r.iteration for r in undisturbed.history]


@pytest.mark.slow
@NO_COMPILER
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of torch's own compiler
def test_compiled_it_learns_the_same(device):
    """Penalties of activations included, which the network keeps aside while it computes, and deep supervision."""
    genome = {"log_lambda2": -1, "log_gamma1": -3, "n_stacks": 2, "input_size": 60}
    compiled, plain = (
        train(trainer(genome, device, iterations=3, compile=c, deep_supervision=True)) for c in (True, False)
    )
    assert torch.allclose(weights(compiled), weights(plain), atol=1e-3)


@pytest.mark.gpu
@NO_GPU
def test_a_gpu_learns_what_the_cpu_learns():
    on_cpu, on_gpu = (train(trainer(device=device)) for device in ("cpu", "cuda"))
    assert torch.nn.functional.cosine_similarity(weights(on_cpu), weights(on_gpu), dim=0) > 0.99


@pytest.mark.gpu
@NO_GPU
def test_a_loss_that_is_not_finite_is_found_with_its_iteration():
    from genenet.training.trainer import Diverged

    t = trainer({"log_learning_rate": 0}, "cuda", iterations=100, optimiser={"kind": "sgd"})
    t.base_rate = 1e30
    with pytest.raises(Diverged, match=r"the loss was (nan|inf) at iteration \d\b"):
        train(t)


@pytest.mark.gpu
@NO_GPU
def test_a_batch_that_does_not_fit_on_the_gpu_is_done_in_halves():
    genome = {"n_convkernels": 64, "input_size": 300, "norm": 1, "log_lambda2": -3}
    t = trainer(genome, "cuda", batch_size=16)
    torch.cuda.reset_peak_memory_stats()
    t.step()
    torch.cuda.empty_cache()
    needed, all_ = torch.cuda.max_memory_allocated(), torch.cuda.get_device_properties(0).total_memory
    try:
        torch.cuda.set_per_process_memory_fraction(0.75 * needed / all_)
        t.step()
        assert t.learner.parts == 2
        torch.cuda.set_per_process_memory_fraction(0.1 * needed / all_)
        with pytest.raises(RuntimeError) as caught:
            t.step()
        assert is_out_of_memory(caught.value)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.process
@pytest.mark.parametrize("device", DEVICES)
def test_the_command_trains_there_and_says_how_much_memory_it_took(device, tmp_path):
    done = runs.run([*runs.make(tmp_path, device=device, precision="auto"), "--out", tmp_path / "run"])
    assert done.returncode == 0, done.stderr
    assert "MB at most, images included" in done.stderr
    assert (tmp_path / "run/scores.json").exists()
