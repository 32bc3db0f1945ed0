"""How a training changes its weights: optimisers, gradient clipping, weight averaging, and early stopping."""

from __future__ import annotations

import inspect
import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Adam, AdamW, Optimizer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor, nn
    from torch.nn import Parameter

    from genenet.config.optimisers import Optimiser as OptimiserSettings
    from genenet.config.optimisers import SGDOptions
    from genenet.core.choices import NoOptions

Groups = list[dict[str, Any]]  # parameters, with the options of each group


@dataclass(frozen=True)
class Tuning:
    """Arguments of all optimisers, besides their own options.

    Attributes:
        learning_rate: of the first step.
        betas: of Adam, from the genome.
        fused: whether torch has fused kernels for the device.
    """

    learning_rate: float
    betas: tuple[float, float]
    fused: bool


def make_optimiser(
    parameters: Iterable[Parameter],
    settings: OptimiserSettings,
    learning_rate: float,
    betas: tuple[float, float],
    device: torch.device,
) -> Optimizer:
    """Return the optimiser.

    ``weight_decay`` w applies to kernels only, as is usual, not to biases and the parameters of normalisation layers:
    those don't make a network more complex. With adam and sgd, w times the weight is added to the gradient (L2); with
    adamw, learning rate times w times the weight is subtracted from the weight, outside of Adam's scaling (Loshchilov
    and Hutter 2019).

    Fused kernels are fastest on the CPU, too: on two cores a step of AdamW takes 1.5 ms for 2 million weights (3 ms
    without) and 44 ms for 31 million (220 ms or more without); for SGD they make little difference.
    """
    kernels: list[Parameter] = []
    others: list[Parameter] = []
    for parameter in parameters:
        (kernels if parameter.ndim > 1 else others).append(parameter)
    groups = [
        {"params": group, "weight_decay": decay}
        for group, decay in ((kernels, settings.weight_decay), (others, 0.0))
    ]
    tuning = Tuning(learning_rate, betas, fused=device.type in ("cpu", "cuda"))
    optimiser: Optimizer = settings.entry.function()(groups, tuning, settings.options)
    return optimiser


class WithoutCompiler(Optimizer):
    """An optimiser whose methods don't import torch's compiler.

    torch's own methods import it when they are first called, only to be left out of what it compiles. That takes as
    long as importing torch itself, about two seconds for each process that trains, and 70 MB.
    """

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)


class QuickAdam(WithoutCompiler, Adam):
    """Adam."""

    step = torch.no_grad()(inspect.unwrap(Adam.step))


class QuickAdamW(WithoutCompiler, AdamW):
    """AdamW."""

    step = torch.no_grad()(inspect.unwrap(AdamW.step))


class QuickSGD(WithoutCompiler, SGD):
    """SGD."""

    step = torch.no_grad()(inspect.unwrap(SGD.step))


def adam(groups: Groups, tuning: Tuning, _: NoOptions) -> Optimizer:
    """Return Adam (Kingma and Ba 2015)."""
    return QuickAdam(groups, lr=tuning.learning_rate, betas=tuning.betas, fused=tuning.fused)


def adamw(groups: Groups, tuning: Tuning, _: NoOptions) -> Optimizer:
    """Return Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""
    return QuickAdamW(groups, lr=tuning.learning_rate, betas=tuning.betas, fused=tuning.fused)


def sgd(groups: Groups, tuning: Tuning, options: SGDOptions) -> Optimizer:
    """Return stochastic gradient descent, with Nesterov momentum if it has any."""
    momentum = options.momentum
    return QuickSGD(
        groups, lr=tuning.learning_rate, momentum=momentum, nesterov=momentum > 0, fused=tuning.fused
    )


def restore_optimiser(optimiser: Optimizer, state: dict[str, Any]) -> None:
    """Load a state that was saved with weights of any memory format.

    Fused kernels walk through a weight and its moments in the order of memory without checking that it is the same
    for both, so the moments are copied into the weight's format.
    """
    optimiser.load_state_dict(state)
    for parameter, values in optimiser.state.items():
        for name, value in values.items():
            if torch.is_tensor(value) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)


def clip_gradient(parameters: Iterable[Parameter], largest: float | None) -> None:
    """Scale all gradients by one factor if their joint norm is above ``largest``."""
    if largest is not None:
        clip_grad_norm_(parameters, largest)


class WeightAverage:
    """The exponential moving average of a module's weights (Polyak and Juditsky 1992; Tarvainen and Valpola 2017).

    The running statistics of batch normalisation are averaged as well, since they belong to the weights of their time.
    Integers, such as its count of batches, are copied. At the beginning the decay is lower, (1 + n) / (10 + n) after n
    updates; otherwise the initial random weights would stay in the average for long.

    torch's ``AveragedModel`` isn't used: it copies the module, which isn't possible while the module holds activations
    and would not be the module that was compiled, and it waits for the GPU at each update.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        """Begin with the module's weights as they are."""
        self.decay, self.updates = decay, 0
        self.tensors = _copies(module)

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Add the module's weights to the average; to be called once after each step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        state = module.state_dict()
        floats = [name for name, tensor in state.items() if tensor.is_floating_point()]
        # All of them with a few launches on a GPU; on the CPU this is lerp_ of each
        torch._foreach_lerp_(
            [self.tensors[name] for name in floats], [state[name] for name in floats], 1 - decay
        )
        for name in state.keys() - set(floats):
            self.tensors[name].copy_(state[name])
        self.updates += 1

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Give the module the averaged weights for a while; afterwards it has its own again, bit for bit."""
        own = _copies(module)
        try:
            module.load_state_dict(self.tensors)
            yield
        finally:
            module.load_state_dict(own)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint: a number, and the tensors themselves, not copies."""
        return {"updates": self.updates, "tensors": self.tensors}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state, also one of another device."""
        self.updates = state["updates"]
        for name, tensor in self.tensors.items():
            tensor.copy_(state["tensors"][name])


def _copies(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def is_patient(scores: Sequence[float], patience: int | None) -> bool:
    """Return whether training should continue after validations with these scores.

    It ends after ``patience`` validations in a row without a better score; nan is never better. Without a patience it
    always continues.
    """
    best, since = -math.inf, 0
    for score in scores:
        best, since = (score, 0) if score > best else (best, since + 1)
    return patience is None or since < patience
