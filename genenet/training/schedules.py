"""Learning-rate schedules: the rate of a step from the step alone, so that a resumed training needs no state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genenet.config.schedules import Schedule, WarmUp
    from genenet.core.choices import NoOptions

RISE = 0.3  # share of a cycle in which the learning rate rises
START = 25.0  # the cycle begins at base / START …
END = 25e4  # … and ends at base / END


@dataclass(frozen=True)
class TrainingStep:
    """A step of a training, and what schedules are made from.

    Attributes:
        iteration: of the step, from 0 on. After the last one, schedules that depend on the end stay at their end.
        iterations: of the whole training.
        base: the genome's learning rate: the first of exponential and cosine, the highest of one_cycle.
        decay_rate: factor by which exponential falls …
        decay_steps: … in this many steps.
    """

    iteration: int
    iterations: int
    base: float
    decay_rate: float = 1.0
    decay_steps: int = 1


def learning_rate(schedule: Schedule, step: TrainingStep) -> float:
    """Return the learning rate of a step."""
    return float(schedule.entry.function()(step, schedule.options))


def exponential(step: TrainingStep, options: WarmUp) -> float:
    """Fall by ``decay_rate`` every ``decay_steps`` iterations, continuously."""
    share = step.decay_rate ** (step.iteration / step.decay_steps)
    return step.base * options.rise(step.iteration) * float(share)


def cosine(step: TrainingStep, options: WarmUp) -> float:
    """Fall to 0 along half a cosine (Loshchilov and Hutter 2017, eq. 5, without restarts)."""
    share = _half_cosine(1.0, 0.0, step.iteration / step.iterations)
    return step.base * options.rise(step.iteration) * share


def one_cycle(step: TrainingStep, _: NoOptions) -> float:
    """Rise from 1/25 to 1 in the first 30 %, then fall to 1/25e4, both along half a cosine (Smith and Topin 2019).

    Adam's betas and the momentum of SGD stay as they are.
    """
    top = RISE * step.iterations - 1
    if step.iteration < top:
        return step.base * _half_cosine(1 / START, 1.0, step.iteration / top)
    after = (step.iteration - top) / (step.iterations - 1 - top)
    return step.base * _half_cosine(1.0, 1 / END, after)


def constant(step: TrainingStep, options: WarmUp) -> float:
    """Stay at the base."""
    return step.base * options.rise(step.iteration)


def _half_cosine(first: float, last: float, share: float) -> float:
    """Go from ``first`` to ``last`` along half a cosine, as ``share`` goes from 0 to 1; stay at ``last`` after 1."""
    return last + (first - last) * (1 + math.cos(math.pi * min(1.0, share))) / 2
