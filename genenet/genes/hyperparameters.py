"""The table of hyperparameters: the design choices of a network, each with its type, default and domain.

The *domain* is what can be built at all. A *feasible region* is what one search draws from; it lies within the
domain. Choices are indices into an ordered table, so that they can be summed like integers.

To add a hyperparameter, add an entry here, a field of the layer in ``layers.py``, and its use in
``networks/network.py``.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from genenet.core.choices import Choice, Table
from genenet.core.errors import InputError
from genenet.genes.domains import Integers, Interval, Number, Region
from genenet.genes.layer_parts import ACTIVATIONS, NORMS, PADDINGS, POOLINGS, SPATIAL_MODES

Level = Literal["net", "path", "stack", "layer", "edge"]
LEVELS: tuple[Level, ...] = ("net", "path", "stack", "layer", "edge")


LARGEST = 2**53  # integers up to it are exact as floats
UNLIMITED = 1024 * 2**6  # channels; the domains of n_convkernels and n_stacks allow no more


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
            InputError: If it isn't a number of this hyperparameter's type.
        """
        if self.choices and (isinstance(value, bool) or not isinstance(value, int)):
            words = [_word(choice) for choice in self.choices]
            if _word(value) not in words:
                raise InputError(f"{shown(value)} is none of its choices: {', '.join(words)}")
            return words.index(_word(value))
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            raise InputError(f"{shown(value)} is not a number")
        if abs(value) > LARGEST:
            raise InputError(f"{shown(value)} is too large; allowed: {self.allowed}")
        if self.is_float:
            return float(value)
        if not math.isfinite(value) or value != int(value):
            raise InputError(f"{shown(value)} is not an integer")
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

Entry = tuple[Number, Region | Iterable[str | bool], str]


def _read_at(level: Level, path: str, step: int = 1, /, **entries: Entry) -> Iterator[Hyperparameter]:
    """Yield the hyperparameters that genes of one level read, for one purpose.

    Args:
        level: of the genes.
        path: of what reads them.
        step: between two integers of a region.
        entries: by name, the default, the domain (or the choices in their order) and the text.
    """
    for name, (default, domain, text) in entries.items():
        choices = () if isinstance(domain, Region) else tuple(domain)
        yield Hyperparameter(
            name=name,
            text=text,
            path=path,
            default=default,
            domain=domain if isinstance(domain, Region) else _integers(0, len(choices) - 1),
            level=level,
            choices=choices,
            step=step,
        )


def _integers(low: int, high: int) -> Integers:
    return Integers(range(low, high + 1))


def _penalty(norm: int, what: str) -> Entry:
    text = f"log10 of the weight of the L{norm} penalty on {what}; off below -10"
    return -12.0, Interval(-20, 0), text


HYPERPARAMETERS = Table(
    "hyperparameter",
    [
        *_read_at(
            "net",
            _STACKS,
            n_stacks=(2, _integers(0, 6), "number of poolings; each halves the size"),
            n_context_stacks=(
                0,
                _integers(0, 7),
                "number of scales that are 3D, counted from the coarsest scale",
            ),
        ),
        *_read_at(
            "net",
            _PLAN,
            input_size=(128, _integers(1, 4096), "largest size of a training patch along y and x, in voxels"),
            input_depth=(
                32,
                _integers(1, 1024),
                "largest size of a training patch along z, in voxels, for networks with 3D or 2.5D layers",
            ),
        ),
        *_read_at(
            "net",
            _TRAINER,
            log_learning_rate=(-3.0, Interval(-8, 0), "log10 of the learning rate"),
            log_alpha1=(-1.0, Interval(-6, 0), "log10(1 - β1) of Adam"),
            log_alpha2=(-3.0, Interval(-8, 0), "log10(1 - β2) of Adam"),
            decay_steps=(
                10_000,
                _integers(1, 10_000_000),
                "number of iterations in which the learning rate falls by the factor decay_rate",
            ),
            decay_rate=(
                0.75,
                Interval(0.01, 1),
                "factor by which the learning rate falls in decay_steps iterations",
            ),
        ),
        *_read_at(
            "stack", _STACKS, n_convlayers=(2, _integers(1, 6), "number of convolution layers of a stack")
        ),
        *_read_at(
            "layer",
            _LAYER,
            n_convkernels=(
                32,
                _integers(1, 1024),
                "number of output channels at scale 0; it doubles at each further scale",
            ),
        ),
        *_read_at(
            "layer",
            _LAYER,
            2,
            kernel_width=(
                3,
                _integers(1, 15),
                "width of the kernel in voxels; a search draws every second one, beginning with the lowest",
            ),
        ),
        *_read_at(
            "layer",
            _LAYER,
            dropout_rate=(
                0.0,
                Interval(0, 0.9),
                "share of the layer's outputs that dropout sets to 0 during training",
            ),
            norm=(0, NORMS, "normalisation after the convolution"),
            activation=(0, ACTIVATIONS, "nonlinearity of the layer"),
            padding=(0, PADDINGS, "what surrounds the input of the convolution"),
            spatial_mode=(0, SPATIAL_MODES, "axes that the kernel extends along"),
            dilation=(1, _integers(1, 64), "distance in voxels between the taps of the kernel"),
            groups=(
                1,
                _integers(1, 1024),
                "number of groups of a grouped convolution: the largest number up to this value that divides the "
                "numbers of input and output channels",
            ),
            window_pooling=(
                0,
                _integers(0, 64),
                "dilation of a 2×2 maximum with stride 1 before the convolution; 0: no maximum",
            ),
            residual=(
                0,
                (False, True),
                "whether the convolution's input is added to its output before the activation (He et al. 2016); a 1×1 "
                "convolution adapts the channels",
            ),
        ),
        *_read_at(
            "layer",
            _PENALTY,
            log_gamma1=_penalty(1, "kernels"),
            log_gamma2=_penalty(2, "kernels"),
            log_lambda1=_penalty(1, "activations"),
            log_lambda2=_penalty(2, "activations"),
        ),
        *_read_at("edge", _LAYER, pooling=(0, POOLINGS, "how the encoder halves the size")),
        *_read_at(
            "layer",
            _LAYER,
            max_convkernels=(
                UNLIMITED,
                _integers(1, UNLIMITED),
                "largest number of output channels at any scale: n_convkernels, doubled at each scale, is cut off here",
            ),
        ),
    ],
)
REPLACED = {"batch_norm": "norm: none or batch"}  # names of earlier versions, and what to write instead


def hyperparameter(name: str) -> Hyperparameter:
    """Return the hyperparameter of this name; raises InputError, with the nearest names but without this one."""
    if name in REPLACED:
        raise InputError(f"this hyperparameter has been replaced; write {REPLACED[name]}")
    if name not in HYPERPARAMETERS:
        close = difflib.get_close_matches(name, HYPERPARAMETERS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(HYPERPARAMETERS)}"
        raise InputError(f"unknown hyperparameter; {hint}")
    return HYPERPARAMETERS[name]


def settable(h: Hyperparameter, level: Level) -> bool:
    """Say whether a gene of this level may have a delta of ``h``: where it is read, or above."""
    return LEVELS.index(level) <= LEVELS.index(h.level)
