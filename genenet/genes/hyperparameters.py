"""The table of hyperparameters: the design choices of a network, each with its type, default and domain.

The *domain* is what can be built at all. A *feasible region* is what one search draws from; it lies within the
domain. Choices are indices into an ordered table, so that they can be summed like integers.

To add a hyperparameter, add an entry here, a field of the layer in ``layers.py``, and its use in
``networks/network.py``.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from genenet.core.choices import Choice, Table
from genenet.genes.domains import Integers, Interval, Number, Region
from genenet.genes.layer_parts import ACTIVATIONS, NORMS, PADDINGS, POOLINGS, SPATIAL_MODES

Level = Literal["net", "path", "stack", "layer", "edge"]
LEVELS: tuple[Level, ...] = ("net", "path", "stack", "layer", "edge")


LARGEST = 2**53  # integers up to it are exact as floats


class HyperparameterError(ValueError):
    """A name, a value or a region that isn't allowed; the message says what is."""


@dataclass(frozen=True, kw_only=True)
class Hyperparameter(Choice):
    """A named design choice, read at genes of one ``level`` and settable there and above.

    Attributes:
        path: what reads it.
        default: a root value that a genome doesn't name. It is never changed, since ids leave it out.
        domain: values that can be built.
        level: of the genes that read it.
        choices: what the values stand for, if they are indices.
        step: the distance between two integers of a region: a search draws odd kernel widths only.
    """

    default: Number
    domain: Region
    level: Level
    choices: tuple[str | bool, ...] = ()
    step: int = 1

    @property
    def is_float(self) -> bool:
        """Whether values are floats; integers and choices sum as integers."""
        return isinstance(self.domain, Interval)

    @property
    def allowed(self) -> str:
        """The domain in words."""
        if self.choices:
            return ", ".join(f"{i} ({_word(c)})" for i, c in enumerate(self.choices))
        return str(self.domain)

    def word(self, value: Number) -> str:
        """Return the name of the choice with this index, as a file may contain it."""
        return _word(self.choices[int(value)])

    def number(self, value: Any) -> Number:
        """Convert a value from a file to a number; choices may be given by name. Doesn't check the domain.

        Raises:
            HyperparameterError: If it isn't a number of this hyperparameter's type.
        """
        if self.choices and (isinstance(value, bool) or not isinstance(value, int)):
            words = [_word(choice) for choice in self.choices]
            if _word(value) not in words:
                raise HyperparameterError(f"{shown(value)} is none of its choices: {', '.join(words)}")
            return words.index(_word(value))
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            raise HyperparameterError(f"{shown(value)} is not a number")
        if abs(value) > LARGEST:
            raise HyperparameterError(f"{shown(value)} is too large; allowed: {self.allowed}")
        if self.is_float:
            return float(value)
        if not math.isfinite(value) or value != int(value):
            raise HyperparameterError(f"{shown(value)} is not an integer")
        return int(value)


def shown(value: Any) -> str:
    """Write a value of a file for a message, not too long."""
    text = repr(value) if not isinstance(value, int) or abs(value) < LARGEST else "an integer of many digits"
    return text if len(text) <= 60 else f"{text[:60]}…"


def _word(choice: Any) -> str:
    """Name a choice as YAML and JSON write it."""
    return str(choice).lower() if isinstance(choice, bool) else str(choice)


_STACKS = "genenet.genes.gene_graph:StackGene"
_PLAN = "genenet.genes.plan:plan"
_LAYER = "genenet.networks.network:ConvLayer"
_PENALTY = "genenet.networks.network:Network.penalty"
_TRAINER = "genenet.training.trainer:Trainer"


def _integer(
    name: str, text: str, path: str, default: int, low: int, high: int, level: Level, step: int = 1
) -> Hyperparameter:
    domain = Integers(range(low, high + 1))
    return Hyperparameter(
        name=name, text=text, path=path, default=default, domain=domain, level=level, step=step
    )


def _float(
    name: str, text: str, path: str, default: float, low: float, high: float, level: Level
) -> Hyperparameter:
    return Hyperparameter(
        name=name, text=text, path=path, default=default, domain=Interval(low, high), level=level
    )


def _choice(name: str, text: str, choices: Iterable[str | bool], level: Level) -> Hyperparameter:
    words = tuple(choices)
    domain = Integers(range(len(words)))
    return Hyperparameter(
        name=name, text=text, path=_LAYER, default=0, domain=domain, level=level, choices=words
    )


HYPERPARAMETERS = Table(
    "hyperparameter",
    [
        # the net
        _integer("n_stacks", "number of poolings; each halves the size", _STACKS, 2, 0, 6, "net"),
        _integer(
            "n_context_stacks",
            "number of scales that are 3D, counted from the lowest scale",
            _STACKS,
            0,
            0,
            7,
            "net",
        ),
        _integer(
            "input_size",
            "largest size of a training patch along y and x, in voxels",
            _PLAN,
            128,
            1,
            4096,
            "net",
        ),
        _integer(
            "input_depth",
            "largest size of a training patch along z, in voxels, for networks with 3D or 2.5D layers",
            _PLAN,
            32,
            1,
            1024,
            "net",
        ),
        _float("log_learning_rate", "log10 of the learning rate", _TRAINER, -3.0, -8, 0, "net"),
        _float("log_alpha1", "log10(1 - β1) of Adam", _TRAINER, -1.0, -6, 0, "net"),
        _float("log_alpha2", "log10(1 - β2) of Adam", _TRAINER, -3.0, -8, 0, "net"),
        _integer(
            "decay_steps",
            "number of iterations in which the learning rate falls by the factor decay_rate",
            _TRAINER,
            10_000,
            1,
            10_000_000,
            "net",
        ),
        _float(
            "decay_rate",
            "factor by which the learning rate falls in decay_steps iterations",
            _TRAINER,
            0.75,
            0.01,
            1,
            "net",
        ),
        # stacks
        _integer("n_convlayers", "number of convolution layers of a stack", _STACKS, 2, 1, 6, "stack"),
        # convolution layers
        _integer(
            "n_convkernels",
            "number of output channels at scale 0; it doubles at each further scale",
            _LAYER,
            32,
            1,
            1024,
            "layer",
        ),
        _integer(
            "kernel_width",
            "width of the kernel in voxels; searches draw odd widths only",
            _LAYER,
            3,
            1,
            15,
            "layer",
            step=2,
        ),
        _float(
            "dropout_rate",
            "share of the layer's outputs that dropout sets to 0 during training",
            _LAYER,
            0.0,
            0,
            0.9,
            "layer",
        ),
        _choice("norm", "normalisation after the convolution", NORMS, "layer"),
        _choice("activation", "nonlinearity of the layer", ACTIVATIONS, "layer"),
        _choice("padding", "what surrounds the input of the convolution", PADDINGS, "layer"),
        _choice("spatial_mode", "axes that the kernel extends along", SPATIAL_MODES, "layer"),
        _integer("dilation", "distance in voxels between the taps of the kernel", _LAYER, 1, 1, 64, "layer"),
        _integer(
            "groups",
            "number of groups of a grouped convolution: the largest number up to this value that divides the "
            "numbers of input and output channels",
            _LAYER,
            1,
            1,
            1024,
            "layer",
        ),
        _integer(
            "window_pooling",
            "dilation of a 2×2 maximum with stride 1 before the convolution; 0: no maximum",
            _LAYER,
            0,
            0,
            64,
            "layer",
        ),
        _choice(
            "residual",
            "whether the convolution's input is added to its output before the activation (He et al. 2016); a 1×1 "
            "convolution adapts the channels",
            (False, True),
            "layer",
        ),
        # penalties: kernels as sums, activations as means
        _float(
            "log_gamma1",
            "log10 of the weight of the L1 penalty on kernels; off below -10",
            _PENALTY,
            -12.0,
            -20,
            0,
            "layer",
        ),
        _float(
            "log_gamma2",
            "log10 of the weight of the L2 penalty on kernels; off below -10",
            _PENALTY,
            -12.0,
            -20,
            0,
            "layer",
        ),
        _float(
            "log_lambda1",
            "log10 of the weight of the L1 penalty on activations; off below -10",
            _PENALTY,
            -12.0,
            -20,
            0,
            "layer",
        ),
        _float(
            "log_lambda2",
            "log10 of the weight of the L2 penalty on activations; off below -10",
            _PENALTY,
            -12.0,
            -20,
            0,
            "layer",
        ),
        # edges
        _choice("pooling", "how the encoder halves the size", POOLINGS, "edge"),
    ],
)
REPLACED = {"batch_norm": "norm: none or batch"}  # names of earlier versions, and what to write instead


def hyperparameter(name: str) -> Hyperparameter:
    """Return the hyperparameter of this name; raises HyperparameterError, with the nearest names."""
    if name in REPLACED:
        raise HyperparameterError(f"{name}: this hyperparameter has been replaced; write {REPLACED[name]}")
    if name not in HYPERPARAMETERS:
        close = difflib.get_close_matches(name, HYPERPARAMETERS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(HYPERPARAMETERS)}"
        raise HyperparameterError(f"{name[:60]}: unknown hyperparameter; {hint}")
    return HYPERPARAMETERS[name]


def settable(h: Hyperparameter, level: Level) -> bool:
    """Say whether a gene of this level may have a delta of ``h``: where it is read, or above."""
    return LEVELS.index(level) <= LEVELS.index(h.level)
