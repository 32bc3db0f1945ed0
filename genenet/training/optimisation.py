"""How a training's weights move: optimiser, learning rate, clipping, averaging, and when no more is to be gained."""

from __future__ import annotations

import math
from contextlib import contextmanager
from inspect import unwrap
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Adam, AdamW, Optimizer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor, nn
    from torch.nn import Parameter

    from genenet.config import training

RISE = 0.3  # share of a cycle in which the learning rate rises
START = 25.0  # the cycle begins at base / START …
END = 25e4  # … and ends at base / END


def make_optimiser(
    parameters: Iterable[Parameter],
    settings: training.Optimiser,
    learning_rate: float,
    betas: tuple[float, float],
    device: torch.device,
) -> Optimizer:
    """Return the optimiser. ``betas`` are those of adam and adamw; sgd takes its momentum from the settings.

    ``weight_decay`` w holds for kernels only, not for biases and what normalisation learns, as is usual: these
    don't make a network more complex. In adam and sgd it adds w times the weight to the gradient (L2); in adamw
    it takes learning rate times w off the weight, past Adam's scaling (Loshchilov and Hutter 2019).

    Fused kernels are the fastest on the CPU, too: with two cores, AdamW takes 1.5 ms a step for 2 million weights
    (3 ms otherwise) and 44 ms for 31 million (220 ms or more); SGD differs little.
    """
    kernels: list[Parameter] = []
    others: list[Parameter] = []
    for parameter in parameters:
        (kernels if parameter.ndim > 1 else others).append(parameter)
    groups = [
        {"params": group, "weight_decay": decay}
        for group, decay in ((kernels, settings.weight_decay), (others, 0.0))
    ]
    fused = device.type in ("cpu", "cuda")
    if settings.kind == "sgd":
        momentum = settings.momentum
        return EagerSGD(groups, lr=learning_rate, momentum=momentum, nesterov=momentum > 0, fused=fused)
    kind = EagerAdamW if settings.kind == "adamw" else EagerAdam
    return kind(groups, lr=learning_rate, betas=betas, fused=fused)


class Eager(Optimizer):
    """An optimiser of torch without torch's compiler, whose import takes a quarter of a training's start-up.

    torch wraps these methods so that its compiler, which it imports for that, leaves them alone. Networks may be
    compiled; optimisers aren't.
    """

    add_param_group = unwrap(Optimizer.add_param_group)
    load_state_dict = unwrap(Optimizer.load_state_dict)
    state_dict = unwrap(Optimizer.state_dict)
    zero_grad = unwrap(Optimizer.zero_grad)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Do one step by the gradients that there are."""
        unwrap(super().step)(self, closure)


class EagerAdam(Eager, Adam):
    """See Eager and torch's Adam."""


class EagerAdamW(Eager, AdamW):
    """See Eager and torch's AdamW."""


class EagerSGD(Eager, SGD):
    """See Eager and torch's SGD."""


def restore_optimiser(optimiser: Optimizer, state: dict[str, Any]) -> None:
    """Load a state, whatever memory format the weights had where it was made.

    Fused kernels go through a weight and its moments in the order of memory, and don't ask whether it is the same.
    """
    optimiser.load_state_dict(state)
    for parameter, values in optimiser.state.items():
        for name, value in values.items():
            if torch.is_tensor(value) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)


def learning_rate(
    iteration: int, base: float, schedule: training.Schedule, iterations: int, decay: tuple[float, int]
) -> float:
    """Return the learning rate of a step; of the step alone, so that a resumed training needs no state.

    Args:
        iteration: of the step, from 0 on; beyond the last one, schedules that end stay at their end.
        base: the genome's learning rate: the first of exponential and cosine, the highest of one_cycle.
        schedule: exponential (by ``decay``); cosine to 0 (Loshchilov and Hutter 2017, eq. 5, without
            restarts); one_cycle (Smith and Topin 2019): by cosines from 1/25 up to base in the first 30 % and
            down to 1/25e4, with Adam's betas and the momentum left alone; constant.
        iterations: of the whole training.
        decay: rate, and the number of steps in which exponential falls by it.
    """
    warm_up = schedule.warm_up_iterations
    rise = min(1.0, (iteration + 1) / warm_up) if warm_up else 1.0
    return base * rise * _share_of_base(iteration, schedule, iterations, decay)


def _share_of_base(
    iteration: int, schedule: training.Schedule, iterations: int, decay: tuple[float, int]
) -> float:
    if schedule.kind == "exponential":
        rate, steps = decay
        return float(rate ** (iteration / steps))
    if schedule.kind == "cosine":
        return _cosine(1.0, 0.0, iteration / iterations)
    if schedule.kind == "one_cycle":
        return _one_cycle(iteration, iterations)
    return 1.0


def _one_cycle(iteration: int, iterations: int) -> float:
    top = RISE * iterations - 1
    if iteration < top:
        return _cosine(1 / START, 1.0, iteration / top)
    return _cosine(1.0, 1 / END, (iteration - top) / (iterations - 1 - top))


def _cosine(first: float, last: float, share: float) -> float:
    """Go from ``first`` to ``last`` along half a cosine, as ``share`` goes from 0 to 1."""
    return last + (first - last) * (1 + math.cos(math.pi * min(1.0, share))) / 2


def clip_gradient(parameters: Iterable[Parameter], largest: float | None) -> None:
    """Shrink all gradients alike, if the norm of all of them together is more than ``largest``."""
    if largest is not None:
        clip_grad_norm_(parameters, largest)


class WeightAverage:
    """The exponential moving average of a module's weights (Polyak and Juditsky 1992; Tarvainen and Valpola 2017).

    Batch normalisation's running statistics are averaged, too: they belong to the weights of their time.
    Integers, such as its count of batches, are copied. Early averages forget faster, with a decay of
    (1 + n) / (10 + n) after n updates, or the first random weights would stay in them for long.

    It isn't torch's ``AveragedModel``: that one copies the module, which can't be copied while it holds
    activations, and is another one than was compiled; and it waits for the GPU at each update.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        """Begin with the module's weights as they are."""
        self.decay, self.updates = decay, 0
        self.tensors = _copies(module)

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take the module's weights in; once after each step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                self.tensors[name].lerp_(tensor, 1 - decay)
            else:
                self.tensors[name].copy_(tensor)
        self.updates += 1

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Lend the averaged weights to the module; after that, it has its own again, bit for bit."""
        own = _copies(module)
        try:
            module.load_state_dict(self.tensors)
            yield
        finally:
            module.load_state_dict(own)

    def state_dict(self) -> dict[str, Any]:
        """Return all that a checkpoint needs: a number and the tensors themselves, not copies."""
        return {"updates": self.updates, "tensors": self.tensors}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, also of another device."""
        self.updates = state["updates"]
        for name, tensor in self.tensors.items():
            tensor.copy_(state["tensors"][name])


def _copies(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def is_patient(scores: Sequence[float], patience: int | None) -> bool:
    """Whether to go on after validations with these scores: False after ``patience`` in a row without a better one.

    NaN is never better. Without a patience, always True.
    """
    best, since = -math.inf, 0
    for score in scores:
        best, since = (score, 0) if score > best else (best, since + 1)
    return patience is None or since < patience
