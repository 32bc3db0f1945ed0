"""How a training computes: chosen once, by a trial if need be, and kept in the checkpoint."""

import copy
import os
import subprocess
import sys

import pytest
import torch

from genenet.config.training import Training
from genenet.networks import device as devices
from genenet.training import arithmetic, checkpoint, compile_trial, learner
from genenet.training.arithmetic import CUDA_GRAPH, Arithmetic
from genenet.training.compile_trial import Measured, choose
from genenet.training.provenance import made_with
from tests.support.configs import ROOT
from tests.support.trainers import tensors, train, trainer, weights

CPU, GPU = torch.device("cpu"), torch.device("cuda")
UNDECIDED = Arithmetic("float32", None)


def trial(plain, compiled, iterations):
    return choose({"no": plain, CUDA_GRAPH: compiled}.__getitem__, iterations)


@pytest.mark.parametrize(
    ("compiled", "iterations", "chosen", "said"),
    [
        (Measured(30, 0.002), 100_000, CUDA_GRAPH, "takes 5.0 ms, compiled 2.0 ms after 30 s of compiling"),
        (Measured(30, 0.002), 20_000, "no", "5.0 ms, 100 s in all, too few"),  # isn't even tried
        (Measured(300, 0.002), 100_000, "no", "after 300 s"),  # compiling takes all that it saves
        (Measured(30, 0.0049), 100_000, "no", "compiled 4.9 ms"),
        (Measured(30, 0.006), 100_000, "no", "compiled 6.0 ms"),
    ],
)
def test_the_whole_training_must_be_faster(compiled, iterations, chosen, said):
    found = trial(Measured(0.1, 0.005), compiled, iterations)
    assert found.compiled == chosen
    assert said in found.reason


@pytest.mark.parametrize("error", [RuntimeError("Cannot find a working triton"), MemoryError("no room")])
def test_what_can_not_be_compiled_is_not(error):
    def measure(compiled):
        if compiled == CUDA_GRAPH:
            raise error
        return Measured(0.1, 0.01)

    found = choose(measure, 10**6)
    assert found.compiled == "no"
    assert f"compiling failed ({error})" in found.reason


def test_an_error_of_the_uncompiled_network_is_raised():
    def measure(_):
        raise MemoryError("no room")

    with pytest.raises(MemoryError):
        choose(measure, 10**6)


@pytest.mark.parametrize("chosen", ["no", CUDA_GRAPH])
def test_a_trial_changes_nothing_of_the_training(chosen, monkeypatch, caplog):
    """On the CPU, which computes what a GPU would replay without a graph."""
    caplog.set_level("INFO")
    monkeypatch.setattr(compile_trial, "WORTH", -1.0)
    monkeypatch.setattr(compile_trial, "GAIN", -1e9 if chosen == CUDA_GRAPH else 1e9)
    genome = {"norm": 1, "dropout_rate": 0.2, "log_lambda2": -3}
    recipe = {"optimiser": {"kind": "adamw", "ema_decay": 0.9}, "iterations": 6, "deep_supervision": True}
    plain, tried = trainer(genome, **recipe), trainer(genome, **recipe)
    tried.learner.use(UNDECIDED)
    train(plain), train(tried)
    assert tried.learner.arithmetic == Arithmetic("float32", chosen)
    assert caplog.text.count(f"compile: auto chose {chosen}: a step takes") == 1
    assert all(torch.equal(tensor, tensors(tried)[name]) for name, tensor in tensors(plain).items())


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.gpu
def test_a_gpu_replays_what_it_computes_uncompiled(monkeypatch):
    monkeypatch.setattr(compile_trial, "WORTH", -1.0)
    monkeypatch.setattr(compile_trial, "GAIN", -1e9)
    genome = {"log_lambda2": -1, "log_gamma1": -3, "n_stacks": 2, "input_size": 60}
    plain, replayed = (trainer(genome, "cuda", iterations=3, compile=c) for c in (False, "auto"))
    train(plain), train(replayed)
    assert replayed.learner.replays
    assert torch.allclose(weights(plain), weights(replayed), atol=1e-3)


def test_on_the_cpu_auto_compiles_nothing_and_tries_nothing(monkeypatch):
    monkeypatch.setattr(compile_trial, "choose", None)
    plain, auto = train(trainer(iterations=5)), train(trainer(iterations=5, compile="auto"))
    assert auto.learner.arithmetic == Arithmetic("float32", "no")
    assert torch.equal(weights(plain), weights(auto))


def test_a_gpu_leaves_it_to_a_trial(monkeypatch):
    monkeypatch.setattr(arithmetic, "resolved", lambda precision, device: "bfloat16")
    of = {c: Arithmetic.of(Training(compile=c), GPU).compiled for c in (False, True, "auto")}
    assert of == {False: "no", True: "default", "auto": None}


@pytest.mark.parametrize("began", ["bfloat16", "float32"])
def test_a_training_that_continues_on_another_processor_keeps_its_precision(began, tmp_path, monkeypatch):
    def on(processor):
        monkeypatch.setattr(devices, "is_faster_in_bfloat16", lambda device: processor == "bfloat16")
        return trainer(precision="auto")

    other = "float32" if began == "bfloat16" else "bfloat16"
    whole, first, second = train(on(began)), on(began), on(other)
    assert second.learner.arithmetic.precision == other
    for _ in first.run(until=10):
        pass
    checkpoint.save(tmp_path / "c.pt", {"fingerprint": "f", **first.state()})
    second.restore(checkpoint.load(tmp_path / "c.pt", "f"))
    assert second.learner.arithmetic.precision == began
    train(second)
    assert torch.equal(weights(whole), weights(second))


def test_what_a_trial_decided_is_kept_and_not_tried_again(tmp_path, monkeypatch):
    first, second = trainer(compile="auto"), trainer(compile="auto")
    first.learner.use(Arithmetic("float32", CUDA_GRAPH))
    for _ in first.run(until=3):
        pass
    checkpoint.save(tmp_path / "c.pt", {"fingerprint": "f", **first.state()})
    second.learner.use(UNDECIDED)
    second.restore(checkpoint.load(tmp_path / "c.pt", "f"))
    monkeypatch.setattr(compile_trial, "choose", None)
    train(second)
    assert second.learner.arithmetic == Arithmetic("float32", CUDA_GRAPH)


def test_a_checkpoint_of_an_earlier_version_continues_with_what_the_settings_say():
    begun, continues = trainer(), trainer()
    for _ in begun.run(until=5):
        pass
    state = copy.deepcopy(begun.state())
    del state["learner"]["arithmetic"]
    continues.restore(state)
    assert continues.learner.arithmetic == Arithmetic("float32", "no")
    assert torch.equal(weights(train(begun)), weights(train(continues)))


def test_halves_are_not_replayed_as_a_graph(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda module, **_: ("compiled", module))
    t = trainer()
    t.learner.device = GPU  # nothing is computed there
    t.learner.use(Arithmetic("float32", CUDA_GRAPH))
    assert t.learner.replays
    assert t.learner.forward == ("compiled", t.learner.supervised)
    t.learner.parts = 2
    t.learner.use(t.learner.arithmetic)
    assert not t.learner.replays
    assert t.learner.forward is t.learner.supervised


def test_when_a_graph_runs_out_of_memory_its_own_is_freed_before_the_halves(monkeypatch):
    """On the CPU, with a graph whose batch doesn't fit."""
    t, happened = trainer(batch_size=4), []

    def replayed(_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: happened.append("replay"))
    monkeypatch.setattr(learner, "forget_compiled", lambda: happened.append("free"))
    forget_batch = t.learner._forget_batch
    monkeypatch.setattr(t.learner, "_forget_batch", lambda: (happened.append("halves"), forget_batch()))
    t.learner.use(Arithmetic("float32", CUDA_GRAPH))
    t.learner.replays, t.learner.forward = True, replayed
    t.step(), t.step()
    assert happened == ["replay", "free", "halves"]
    assert t.learner.parts == 2
    assert not t.learner.replays


def test_a_training_that_continues_where_nothing_compiles_is_computed_uncompiled(
    tmp_path, monkeypatch, caplog
):
    """On the CPU, with a forward pass that fails as on a node without a compiler."""
    genome = {"norm": 1, "dropout_rate": 0.2}
    whole, first, second = (trainer(genome, compile="auto") for _ in range(3))
    first.learner.use(Arithmetic("float32", CUDA_GRAPH))
    for _ in first.run(until=10):
        pass
    checkpoint.save(tmp_path / "c.pt", {"fingerprint": "f", **first.state()})
    second.restore(checkpoint.load(tmp_path / "c.pt", "f"))
    supervised = second.learner.supervised

    def fails(images):
        supervised(images)  # changes the running statistics of the norms
        raise RuntimeError("Cannot find a working triton installation")

    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: None)
    second.learner.replays, second.learner.forward = True, fails
    train(whole), train(second)
    assert not second.learner.replays
    assert caplog.text.count("compile: auto chose reduce-overhead for this training, but") == 1
    assert "fails on this node (Cannot find a working triton installation)" in caplog.text
    assert all(torch.equal(tensor, tensors(second)[name]) for name, tensor in tensors(whole).items())
    assert Arithmetic.restored(second.state()["learner"]["arithmetic"]).compiled == CUDA_GRAPH


WITHOUT_COMPILER = """
import torch
from genenet.training.arithmetic import CUDA_GRAPH, Arithmetic
from tests.support.trainers import train, trainer

t = trainer(iterations=3)
t.learner.use(Arithmetic("float32", CUDA_GRAPH))
torch.compiler.cudagraph_mark_step_begin = lambda: None
t.learner.replays, t.learner.forward = True, t.learner.arithmetic.forward(t.learner.supervised)
train(t)
assert not t.learner.replays
"""


@pytest.mark.slow
@pytest.mark.process
def test_torch_itself_finds_no_compiler(tmp_path):
    nowhere = {"CXX": str(tmp_path / "c++"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_COMPILER],
        cwd=ROOT,
        env={**os.environ, **nowhere},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "but that fails on this node (InvalidCxxCompiler: No working C++ compiler found" in done.stderr


def test_an_error_that_has_nothing_to_do_with_compiling_is_raised(monkeypatch):
    t = trainer()
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: None)

    def fails(_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(t.learner.supervised, "forward", fails)
    t.learner.replays, t.learner.forward = True, fails
    with pytest.raises(RuntimeError, match="illegal memory access"):
        t.step()
    assert not t.learner.replays


@pytest.mark.parametrize("must_replay", [True, False])
def test_a_trial_learns_that_a_graph_fails(must_replay, monkeypatch):
    t = trainer()
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: None)
    t.learner.replays, t.learner.forward, t.learner.must_replay = True, None, must_replay
    if must_replay:
        with pytest.raises(TypeError):
            t.step()
    else:
        t.step()
    assert t.iteration == (0 if must_replay else 1)


def test_scores_say_what_was_computed_in(monkeypatch):
    assert made_with(CPU, Arithmetic("bfloat16", "no"))["arithmetic"] == "bfloat16"
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    chosen = Arithmetic("float32", CUDA_GRAPH)
    assert chosen.text(GPU) == "float32, TF32 for convolutions, compiled (reduce-overhead)"
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert chosen.text(GPU) == "float32, no TF32, compiled (reduce-overhead)"
