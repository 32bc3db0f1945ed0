"""Steps of learning: the recipe's options in the trainer, precision, batches in halves."""

import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

import runs
from genenet.config import Training
from genenet.device import compute_type, is_faster_in_bfloat16
from genenet.genome import Genome
from genenet.images import LabelledArray
from genenet.inference import Normalisation
from genenet.plan import plan
from genenet.training import Trainer

CPU = torch.device("cpu")


def trainer(genome=None, iterations=20, **values):
    g = Genome("t", {"net": {**runs.GENOME, "dropout_rate": 0, "batch_norm": 0, **(genome or {})}})
    image, labels = runs.blobs((1, 40, 40), 3)
    data = [LabelledArray("a", image, labels, Normalisation.of_volume(image.mean(), image.std()))]
    defaults = {"batch_size": 4, "threads": 1, "validation_interval": 5, "precision": "float32"}
    settings = Training(iterations=iterations, device="cpu", **{**defaults, **values})
    counts = np.bincount(labels.ravel(), minlength=3)
    return Trainer(g, plan(g.net, 3), data, data, counts, settings, 0, CPU)


def run(t):
    for _ in t.run():
        pass
    return t


def weights(t):
    return torch.cat([p.detach().flatten() for p in t.network.parameters()])


@pytest.mark.parametrize("loss", [{}, {"kind": "focal"}, {"border_weight": 5}])
def test_two_halves_are_the_whole_batch_up_to_rounding(loss):
    genome = {"log_lambda2": -2, "log_gamma2": -3}
    whole, halves = (trainer(genome, loss=loss) for _ in range(2))
    halves.learner.parts = 2
    for _ in range(3):
        batch = whole.sampler.batch(0)
        images, labels = torch.from_numpy(batch.images), torch.from_numpy(batch.labels)
        weights_ = None if batch.weights is None else torch.from_numpy(batch.weights)
        losses = [t.learner._gradient(images, labels, weights_, 1) for t in (whole, halves)]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
    for a, b in zip(whole.network.parameters(), halves.network.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-3, atol=1e-6)


TOO_LARGE = """
    import resource, sys
    sys.path.insert(0, {folder!r})
    from test_learning import trainer
    t = trainer({{"n_convkernels": 32, "input_size": 300, "batch_norm": 1}}, batch_size={batch})
    t.step()
    limit = {limit}
    if limit:
        used = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if "VmSize" in line)
        resource.setrlimit(resource.RLIMIT_AS, (used + (limit << 20),) * 2)
    t.step()
    print(t.learner.parts)
"""


def largest(batch, limit=0):
    code = textwrap.dedent(TOO_LARGE).format(folder=str(runs.Path(__file__).parent), batch=batch, limit=limit)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_batch_that_does_not_fit_in_memory_is_done_in_halves():
    done = largest(batch=8, limit=640)
    assert done.stdout == "2\n", done.stderr
    assert largest(batch=8).stdout == "1\n"


def test_a_half_that_does_not_fit_either_is_an_error():
    done = largest(batch=8, limit=100)
    assert done.returncode == 1
    assert "memory" in done.stderr.splitlines()[-1]


def test_bfloat16_learns_like_float32():
    rough, exact = run(trainer(precision="bfloat16")), run(trainer())
    assert not torch.equal(weights(rough), weights(exact))
    assert torch.nn.functional.cosine_similarity(weights(rough), weights(exact), dim=0) > 0.999
    assert all(p.dtype == torch.float32 for p in rough.network.parameters())


def test_auto_is_bfloat16_where_the_hardware_computes_it():
    assert compute_type("float32", CPU) is None
    assert compute_type("bfloat16", CPU) == torch.bfloat16
    assert compute_type("auto", CPU) == (torch.bfloat16 if is_faster_in_bfloat16(CPU) else None)


def test_averaged_weights_are_validated_and_kept():
    t = run(trainer(optimiser={"ema_decay": 0.9}, stopping={"weights": "last"}))
    average = {name: tensor.clone() for name, tensor in t.learner.average.tensors.items()}
    own = t.network.state_dict()
    assert not torch.equal(average["head.weight"], own["head.weight"])
    assert all(torch.equal(t.best[name], average[name]) for name in average)


def test_without_patience_left_it_ends():
    t = run(trainer({"log_learning_rate": -8}, iterations=1000, stopping={"patience": 2}))
    assert t.iteration == 15  # the first validation, and two that are no better
    assert t.is_done


def test_last_weights_are_those_of_the_last_iteration():
    last = run(trainer({"log_learning_rate": -1}, stopping={"weights": "last"}))
    assert last.chosen_row is last.history[-1]
    before = weights(last)
    last.use_best()
    assert torch.equal(weights(last), before)


def test_the_schedule_and_the_optimiser_are_the_configs():
    t = trainer(schedule={"kind": "cosine"}, optimiser={"kind": "sgd"})
    t.iteration = 10
    assert t.current_learning_rate() == pytest.approx(t.base_rate / 2)
    assert isinstance(t.learner.optimiser, torch.optim.SGD)


def test_augmentation_and_border_weights_change_what_is_learnt_and_are_the_same_again():
    plain = weights(run(trainer()))
    for recipe in (
        {"augmentation": {"noise": 0.5}},
        {"loss": {"border_weight": 10}},
        {"sampling": {"rare_classes": 1}},
    ):
        changed = weights(run(trainer(**recipe)))
        assert not torch.equal(changed, plain)
        assert torch.equal(changed, weights(run(trainer(**recipe))))


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler, g++, on the CPU")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of torch's own compiler
def test_compiled_it_learns_the_same():
    compiled, plain = run(trainer(iterations=3, compile=True)), run(trainer(iterations=3))
    assert torch.allclose(weights(compiled), weights(plain), atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu_it_learns_what_it_learns_on_the_cpu():
    on_cpu = trainer()
    g = Genome("t", {"net": {**runs.GENOME, "dropout_rate": 0, "batch_norm": 0}})
    settings = on_cpu.settings.model_copy(update={"device": "cuda"})
    data = on_cpu.validation
    counts = np.bincount(data[0].labels.ravel(), minlength=3)
    on_gpu = Trainer(g, plan(g.net, 3), data, data, counts, settings, 0, torch.device("cuda"))
    a, b = weights(run(on_cpu)), weights(run(on_gpu)).cpu()
    assert torch.nn.functional.cosine_similarity(a, b, dim=0) > 0.99
