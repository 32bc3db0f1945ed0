"""The design choices of a network: type, default, domain; and the feasible regions that a search draws from.

The *domain* is what can be built at all. A *feasible region* is what one search draws from; it lies
within the domain. Choices are indices into an ordered tuple, so that they can be summed like integers.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from numpy.random import Generator

Level = Literal["net", "path", "stack", "layer", "edge"]
LEVELS: tuple[Level, ...] = ("net", "path", "stack", "layer", "edge")
Group = Literal["architecture", "optimisation", "regularisation"]
Number = int | float


class HyperparameterError(ValueError):
    """A name, a value or a region that isn't allowed; says what is."""


@dataclass(frozen=True)
class Interval:
    """A closed interval of floats."""

    low: float
    high: float

    def __contains__(self, value: Number) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"

    @property
    def width(self) -> float:
        """From end to end; 0 has no room."""
        return self.high - self.low

    def moved(self, value: Number, step: float) -> float:
        """Return ``value`` moved by ``step``, then clipped."""
        return self.clip(value + step)

    def draw(self, rng: Generator) -> float:
        """Draw uniformly."""
        return float(rng.uniform(self.low, self.high))

    def clip(self, value: Number) -> float:
        """Return the nearest value inside."""
        return float(min(max(value, self.low), self.high))


@dataclass(frozen=True)
class Options:
    """Integers in ascending order, such as a range."""

    values: range | tuple[int, ...]

    def __contains__(self, value: Number) -> bool:
        return value in self.values

    def __str__(self) -> str:
        if isinstance(self.values, range):
            step = f" in steps of {self.values.step}" if self.values.step > 1 else ""
            return f"{self.values[0]} to {self.values[-1]}{step}"
        return ", ".join(map(str, self.values))

    @property
    def width(self) -> int:
        """Places from end to end; 0 has no room."""
        return len(self.values) - 1

    def moved(self, value: Number, step: float) -> int:
        """Return the value ``step`` places from the nearest to ``value``; rounded away from 0, then clipped."""
        place = self.values.index(self.clip(value)) + math.copysign(math.ceil(abs(step)), step)
        return self.values[int(min(max(place, 0), self.width))]

    def draw(self, rng: Generator) -> int:
        """Draw uniformly."""
        return self.values[int(rng.integers(len(self.values)))]

    def clip(self, value: Number) -> int:
        """Return the nearest value inside; of two, the smaller."""
        if isinstance(self.values, range) and self.values.step == 1:
            return int(min(max(value, self.values[0]), self.values[-1]))
        return min(self.values, key=lambda v: (abs(v - value), v))


Region = Interval | Options


@dataclass(frozen=True)
class Hyperparameter:
    """A named design choice, read at genes of one ``level`` and settable there and above.

    ``step`` is the distance between two integers of a region: a search draws odd kernel widths only. ``group``
    says what it is for, so that groups can be varied at rates of their own.
    """

    name: str
    default: Number
    domain: Region
    level: Level
    choices: tuple[str | bool, ...] = ()
    step: int = 1
    group: Group = "architecture"

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
        """Name the choice that an index stands for, as a file may."""
        return _word(self.choices[int(value)])

    def number(self, value: Any) -> Number:
        """Turn what a file holds into a number; a choice may be named. Doesn't check the domain.

        Raises:
            HyperparameterError: If it isn't a number of this hyperparameter's type.
        """
        if self.choices and (isinstance(value, bool) or not isinstance(value, int)):
            words = [_word(choice) for choice in self.choices]
            if _word(value) not in words:
                raise HyperparameterError(f"{value!r} is none of its choices: {', '.join(words)}")
            return words.index(_word(value))
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            raise HyperparameterError(f"{value!r} is not a number")
        if self.is_float:
            return float(value)
        if not math.isfinite(value) or value != int(value):
            raise HyperparameterError(f"{value!r} is not an integer")
        return int(value)


def _word(choice: Any) -> str:
    """Name a choice as YAML and JSON write it."""
    return str(choice).lower() if isinstance(choice, bool) else str(choice)


def _integer(
    name: str, default: int, low: int, high: int, level: Level, step: int = 1, group: Group = "architecture"
) -> Hyperparameter:
    return Hyperparameter(name, default, Options(range(low, high + 1)), level, step=step, group=group)


def _float(
    name: str, default: float, low: float, high: float, level: Level, group: Group = "architecture"
) -> Hyperparameter:
    return Hyperparameter(name, default, Interval(low, high), level, group=group)


def _choice(name: str, choices: tuple[str | bool, ...], level: Level) -> Hyperparameter:
    return Hyperparameter(name, 0, Options(range(len(choices))), level, choices)


_ALL = (
    # the net
    _integer("n_stacks", 2, 0, 6, "net"),  # none: the bottom stack alone
    _integer("n_context_stacks", 0, 0, 7, "net"),  # how many scales, from the bottom up, are 3d
    _integer("input_size", 128, 1, 4096, "net"),  # voxels along y and x
    _integer("input_depth", 32, 1, 1024, "net"),  # voxels along z, of networks with 3d or 2.5d layers
    _float("log_learning_rate", -3.0, -8, 0, "net", group="optimisation"),
    _float("log_alpha1", -1.0, -6, 0, "net", group="optimisation"),  # log10(1 - beta1) of Adam
    _float("log_alpha2", -3.0, -8, 0, "net", group="optimisation"),  # log10(1 - beta2)
    _integer("decay_steps", 10_000, 1, 10_000_000, "net", group="optimisation"),
    _float("decay_rate", 0.75, 0.01, 1, "net", group="optimisation"),  # factor every decay_steps iterations
    # stacks
    _integer("n_convlayers", 2, 1, 6, "stack"),
    # convolution layers
    _integer("n_convkernels", 32, 1, 1024, "layer"),  # at scale 0; doubled at each scale
    _integer("kernel_width", 3, 1, 15, "layer", step=2),
    _float("dropout_rate", 0.0, 0, 0.9, "layer", group="regularisation"),
    _choice("norm", ("none", "batch"), "layer"),
    _choice("activation", ("relu", "leaky_relu", "elu", "gelu", "tanh"), "layer"),
    _choice("padding", ("valid", "same"), "layer"),
    _choice("spatial_mode", ("2d", "3d", "2.5d"), "layer"),
    _integer("dilation", 1, 1, 64, "layer"),  # of the kernel
    _integer("groups", 1, 1, 1024, "layer"),  # of channels that a convolution keeps apart, at most
    _integer("window_pooling", 0, 0, 64, "layer"),  # dilation of a 2×2 maximum of stride 1; 0 is none
    _choice("residual", (False, True), "layer"),
    # log10 of the weights of penalties; below -10 is off
    _float("log_gamma1", -12.0, -20, 0, "layer", group="regularisation"),  # L1 of kernels
    _float("log_gamma2", -12.0, -20, 0, "layer", group="regularisation"),  # L2 of kernels
    _float("log_lambda1", -12.0, -20, 0, "layer", group="regularisation"),  # L1 of activations
    _float("log_lambda2", -12.0, -20, 0, "layer", group="regularisation"),  # L2 of activations
    # edges
    _choice("pooling", ("max", "conv"), "edge"),
)
HYPERPARAMETERS: dict[str, Hyperparameter] = {h.name: h for h in _ALL}
REPLACED = {"batch_norm": "norm: none or batch"}  # names of earlier versions, and what to write instead


def hyperparameter(name: str) -> Hyperparameter:
    """Return the hyperparameter of this name; raises HyperparameterError, with the nearest names."""
    if name in REPLACED:
        raise HyperparameterError(f"{name}: this hyperparameter has been replaced; write {REPLACED[name]}")
    if name not in HYPERPARAMETERS:
        close = difflib.get_close_matches(name, HYPERPARAMETERS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(HYPERPARAMETERS)}"
        raise HyperparameterError(f"{name}: unknown hyperparameter; {hint}")
    return HYPERPARAMETERS[name]


def settable(h: Hyperparameter, level: Level) -> bool:
    """Say whether a gene of this level may have a delta of ``h``: where it is read, or above."""
    return LEVELS.index(level) <= LEVELS.index(h.level)


def read_region(level: Level | str, name: str, value: Any) -> Region:
    """Read a feasible region: a number, ``[low, high]``, or for choices a name or a list of names.

    At level ``net`` it holds values, within the domain; at the others deltas.

    Raises:
        HyperparameterError: If the name is unknown, not settable at this level, or the region isn't feasible.
    """
    at = f"{level}.{name}"
    try:
        h = hyperparameter(name)
    except HyperparameterError as error:
        raise HyperparameterError(f"{level}.{error}") from None
    if not settable(h, level):  # type: ignore[arg-type]
        raise HyperparameterError(
            f"{at}: is read at {h.level} genes; a region below them would have no effect"
        )
    try:
        region = _region(h, value, is_value=level == "net")
    except HyperparameterError as error:
        raise HyperparameterError(f"{at}: {error}") from None
    return region


def _region(h: Hyperparameter, value: Any, is_value: bool) -> Region:
    numbers = [h.number(v) for v in (value if isinstance(value, list) else [value])]
    if not numbers or (len(numbers) > 2 and not h.choices):
        raise HyperparameterError(f"{value!r} is not a region; give a number or [low, high]")
    if numbers != sorted(numbers):
        raise HyperparameterError(f"{value!r} is not a region: the first must be the lowest")
    outside = [n for n in numbers if n not in h.domain] if is_value else []
    if outside:
        raise HyperparameterError(f"{outside[0]:g} is outside of what can be built: {h.allowed}")
    if h.is_float:
        return Interval(float(numbers[0]), float(numbers[-1]))
    if h.choices and is_value:
        return Options(tuple(int(n) for n in numbers))
    if (numbers[-1] - numbers[0]) % h.step or (not is_value and numbers[0] % h.step):
        raise HyperparameterError(f"{value!r} must go in steps of {h.step}")
    return Options(range(int(numbers[0]), int(numbers[-1]) + 1, h.step))
