"""Optimiser, learning rate, clipping, averaged weights, patience."""

import io
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import lr_scheduler

from genenet.config.optimisers import OPTIMISERS, Optimiser
from genenet.config.schedules import SCHEDULES, Schedule
from genenet.training.optimisation import (
    WeightAverage,
    clip_gradient,
    is_patient,
    make_optimiser,
)
from genenet.training.schedules import TrainingStep, learning_rate
from tests.support.examples import examples

BETAS = (0.9, 0.99)
KINDS = list(OPTIMISERS)
DECAY = (0.7, 40)


def toy():
    """A small network with batch normalisation, in the layout that trainings use.

    Without a bias before it: its gradient would be zero but for rounding, and Adam divides by its size.
    """
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 5, 3, bias=False), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 2, 3))
    return network.to(memory_format=torch.channels_last)


class Toy:
    """A training of the toy: which of two textures is it?"""

    def __init__(self, recipe, rate=0.02):
        self.recipe, self.network, self.losses = recipe, toy(), []
        self.optimiser = make_optimiser(self.network.parameters(), recipe, rate, BETAS, torch.device("cpu"))
        self.average = WeightAverage(self.network, recipe.ema_decay) if recipe.ema_decay else None

    def step(self):
        torch.manual_seed(len(self.losses))
        labels = torch.randint(2, (8,))
        images = torch.randn(8, 1, 9, 9) * (0.5 + labels.view(-1, 1, 1, 1))
        loss = nn.functional.cross_entropy(self.network(images).mean((2, 3)), labels)
        self.optimiser.zero_grad()
        loss.backward()
        clip_gradient(self.network.parameters(), self.recipe.gradient_clip)
        self.optimiser.step()
        if self.average:
            self.average.update(self.network)
        self.losses.append(loss.item())

    def tensors(self):
        average = self.average.state_dict()["tensors"] if self.average else {}
        return [*self.network.state_dict().values(), *average.values()]


def through_a_file(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_falls(kind):
    training = Toy(Optimiser(kind=kind, gradient_clip=1.0, weight_decay=1e-4))
    for _ in range(60):
        training.step()
    assert sum(training.losses[-10:]) < 0.7 * sum(training.losses[:10])


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_training_ends_as_an_undisturbed_one(kind):
    recipe = Optimiser(kind=kind, gradient_clip=0.5, weight_decay=0.01, ema_decay=0.9)
    undisturbed, first, second = Toy(recipe), Toy(recipe), Toy(recipe, rate=0.5)
    for _ in range(12):
        undisturbed.step()
    for _ in range(5):
        first.step()
    parts = ("network", "optimiser", "average")
    state = through_a_file({name: getattr(first, name).state_dict() for name in parts})
    for name in parts:
        getattr(second, name).load_state_dict(state[name])
    second.losses = list(first.losses)
    for _ in range(7):
        second.step()
    assert second.losses == undisturbed.losses
    assert second.average.updates == 12
    assert all(torch.equal(a, b) for a, b in zip(second.tensors(), undisturbed.tensors(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_the_fused_kernels_compute_what_the_plain_ones_do(kind):
    """Also where weights are channels last."""
    recipe = Optimiser(kind=kind, weight_decay=0.1)
    fused, plain = Toy(recipe), Toy(recipe)
    for group in plain.optimiser.param_groups:
        group["fused"], group["foreach"] = False, False
    for _ in range(3):
        fused.step()
        plain.step()
    for a, b in zip(fused.tensors(), plain.tensors(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_kinds_are_those_of_torch(kind):
    """Bit for bit."""
    ours, theirs = Toy(Optimiser(kind=kind, weight_decay=0.1)), Toy(Optimiser(kind=kind))
    groups = [
        {"params": group["params"], "weight_decay": other["weight_decay"]}
        for group, other in zip(theirs.optimiser.param_groups, ours.optimiser.param_groups, strict=True)
    ]
    torchs = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[kind]
    options = {"momentum": 0.9, "nesterov": True} if kind == "sgd" else {"betas": BETAS}
    assert isinstance(ours.optimiser, torchs)
    assert kind != "adam" or not isinstance(ours.optimiser, torch.optim.AdamW)
    theirs.optimiser = torchs(groups, lr=0.02, fused=True, **options)
    for _ in range(4):
        ours.step()
        theirs.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.tensors(), theirs.tensors(), strict=True))
    assert str(ours.optimiser.state_dict()) == str(theirs.optimiser.state_dict())


def test_the_settings_reach_the_optimiser():
    assert all(g["betas"] == BETAS for g in Toy(Optimiser()).optimiser.param_groups)
    for momentum in (0.0, 0.8):
        groups = Toy(Optimiser(kind="sgd", momentum=momentum)).optimiser.param_groups
        assert all(g["momentum"] == momentum and g["nesterov"] == (momentum > 0) for g in groups)


@pytest.mark.parametrize("kind", KINDS)
def test_weight_decay_is_of_kernels_only(kind):
    """One step with no gradient: adamw and sgd shrink kernels by rate * decay, adam moves them by the rate."""
    options = {"momentum": 0} if kind == "sgd" else {}
    training = Toy(Optimiser(kind=kind, weight_decay=0.5, **options), rate=0.1)
    before = {name: p.detach().clone() for name, p in training.network.named_parameters()}
    for parameter in training.network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    training.optimiser.step()
    for name, parameter in training.network.named_parameters():
        kernel = (
            before[name] * (1 - 0.1 * 0.5) if kind != "adam" else before[name] - 0.1 * before[name].sign()
        )
        expected = kernel if parameter.ndim == 4 else before[name]
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-4, atol=1e-5)


def rates(schedule, iterations, base=0.3):
    return [rate(i, schedule, iterations, base) for i in range(iterations)]


def rate(iteration, schedule, iterations=50, base=0.3):
    return learning_rate(schedule, TrainingStep(iteration, iterations, base, *DECAY))


@pytest.mark.parametrize(
    ("kind", "scheduler"),
    [
        ("cosine", lambda o: lr_scheduler.CosineAnnealingLR(o, 50)),
        ("one_cycle", lambda o: lr_scheduler.OneCycleLR(o, 0.3, total_steps=50)),
        ("exponential", lambda o: lr_scheduler.ExponentialLR(o, DECAY[0] ** (1 / DECAY[1]))),
        ("constant", lambda o: lr_scheduler.ConstantLR(o, factor=1)),
    ],
)
def test_schedules_are_those_of_torch(kind, scheduler):
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    theirs, expected = scheduler(optimiser), []
    for _ in range(50):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        theirs.step() if len(expected) < 50 else None
    assert rates(Schedule(kind=kind), 50) == pytest.approx(expected, rel=1e-9)


def test_ends_of_the_schedules():
    assert rate(50, Schedule(kind="cosine")) == 0
    assert rates(Schedule(kind="one_cycle"), 50)[0] == pytest.approx(0.3 / 25)
    for iteration in (49, 50, 60):
        end = rate(iteration, Schedule(kind="one_cycle"))
        assert end == pytest.approx(0.3 / 25e4)
    assert rates(Schedule(), 41)[40] == pytest.approx(0.3 * DECAY[0])


def test_warm_up_multiplies():
    for kind in ("exponential", "cosine", "constant"):
        plain, warm = rates(Schedule(kind=kind), 20), rates(Schedule(kind=kind, warm_up_iterations=4), 20)
        factors = [w / p for w, p in zip(warm, plain, strict=True)]
        assert factors == pytest.approx([0.25, 0.5, 0.75] + [1.0] * 17)


@given(
    st.sampled_from(list(SCHEDULES)),
    st.integers(1, 200),
    st.integers(0, 50),
)
def test_a_rate_is_never_above_the_base(kind, iterations, warm_up):
    schedule = Schedule(kind=kind, **({} if kind == "one_cycle" else {"warm_up_iterations": warm_up}))
    assert all(0 < each <= 0.3 * (1 + 1e-12) for each in rates(schedule, iterations))


def test_clipping_keeps_the_direction():
    parameters = [nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2, 2))]

    def clipped(largest):
        for i, parameter in enumerate(parameters):
            parameter.grad = torch.full_like(parameter, 3.0 + i)
        clip_gradient(iter(parameters), largest)
        return torch.cat([p.grad.flatten() for p in parameters])

    plain = clipped(None)
    assert plain.tolist() == [3.0] * 3 + [4.0] * 4
    assert clipped(1000.0).equal(plain)
    assert clipped(0.5).norm().item() == pytest.approx(0.5, rel=1e-5)
    torch.testing.assert_close(clipped(0.5), plain * 0.5 / plain.norm(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("decay", [0.15, 0.5, 0.999])
def test_the_average_is_the_closed_form(decay):
    network = toy()
    average = WeightAverage(network, decay)
    seen = [{k: v.double() for k, v in network.state_dict().items()}]
    for i in range(8):
        with torch.no_grad():
            network(torch.randn(2, 1, 9, 9) + i)  # moves the running statistics
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.update(network)
        seen.append({k: v.double() for k, v in network.state_dict().items()})
    decays = [min(decay, (1 + n) / (10 + n)) for n in range(8)]
    shares = [math.prod(decays)] + [(1 - d) * math.prod(decays[n + 1 :]) for n, d in enumerate(decays)]
    assert sum(shares) == pytest.approx(1)
    for name, tensor in average.tensors.items():
        expected = sum(share * weights[name] for share, weights in zip(shares, seen, strict=True))
        if not tensor.is_floating_point():
            expected = seen[-1][name]
        torch.testing.assert_close(tensor.double(), expected, rtol=1e-5, atol=1e-5)
    assert average.tensors["1.num_batches_tracked"].item() == 8


def test_averaged_weights_are_lent_and_taken_back():
    training = Toy(Optimiser(ema_decay=0.9))
    for _ in range(4):
        training.step()
    own = {k: v.clone() for k, v in training.network.state_dict().items()}
    averaged = {k: v.clone() for k, v in training.average.tensors.items()}
    assert not all(own[k].equal(averaged[k]) for k in own)
    with training.average.applied(training.network):
        assert all(v.equal(averaged[k]) for k, v in training.network.state_dict().items())
    assert all(v.equal(own[k]) for k, v in training.network.state_dict().items())
    # fails, after the first layers, in training mode, changed the running statistics
    training.network[3].register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), training.average.applied(training.network):
        training.network(torch.randn(2, 1, 9, 9))
    assert all(v.equal(own[k]) for k, v in training.network.state_dict().items())
    assert all(v.equal(averaged[k]) for k, v in training.average.tensors.items())
    assert all(
        p.is_contiguous(memory_format=torch.channels_last)
        for p in training.network[3].parameters()
        if p.ndim == 4
    )


@pytest.mark.parametrize(
    ("scores", "patience", "expected"),
    [
        ([], 1, True),
        ([0.1], 1, True),
        ([0.1, 0.2, 0.15], None, True),
        ([0.1, 0.2, 0.15], 1, False),
        ([0.1, 0.2, 0.15], 2, True),
        ([0.2, 0.2, 0.2], 2, False),
        ([math.nan, math.nan], 2, False),
        ([math.nan, -0.1], 1, True),
        ([0.3, math.nan, 0.4], 2, True),
        ([0.3, math.nan, math.nan], 2, False),
    ],
)
def test_patience(scores, patience, expected):
    assert is_patient(scores, patience) is expected


@examples(50)
@given(st.lists(st.sampled_from([math.nan, 0.1, 0.2, 0.3, 0.4]), max_size=8), st.integers(1, 5))
def test_patience_ends_when_the_last_scores_bring_nothing(scores, patience):
    def best(part):
        return max((s for s in part if not math.isnan(s)), default=-math.inf)

    late = len(scores) >= patience and best(scores[-patience:]) <= best(scores[:-patience])
    assert is_patient(scores, patience) is not late
