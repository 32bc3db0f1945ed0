"""``training.compile: auto``: a short trial at the start of a training decides whether its network is compiled.

In small networks a GPU takes less time for a kernel than the CPU for launching it. torch.compile in the mode
reduce-overhead merges kernels and replays all of them as one CUDA graph, which takes one launch. Compiling takes longer
than a short training can gain, and needs a compiler, so both ways are tried.
"""

from __future__ import annotations

import copy
import logging
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from genenet.core.errors import one_line
from genenet.networks.device import wait_for
from genenet.training.arithmetic import CUDA_GRAPH

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from genenet.training.arithmetic import Compiled
    from genenet.training.learner import Learner

WARM_UP = 4  # steps: torch compiles in the first, warms up in the second and records the graph in the third
STEPS = 20  # that are timed …
SECONDS = 2.0  # … or as many as this time allows
WORTH = 120.0  # seconds; of shorter trainings, compiling would take too large a share
GAIN = 0.05  # share of the training's time that compiling must save

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """How long the steps of a training take.

    Attributes:
        before: seconds until steps take equally long, compiling included.
        step: seconds of each later step.
    """

    before: float
    step: float


@dataclass(frozen=True)
class Decision:
    """What a trial decided, and why, for the log."""

    compiled: Compiled
    reason: str


def choose(measure: Callable[[Compiled], Measured], iterations: int) -> Decision:
    """Decide whether to compile.

    Args:
        measure: times the steps of a mode; whatever it raises for a compiled mode decides against that mode.
        iterations: that the training has to do.
    """
    plain = measure("no")
    whole, step = plain.step * iterations, f"a step takes {plain.step * 1e3:.1f} ms"
    if whole < WORTH:
        return Decision("no", f"{step}, {whole:.0f} s in all, too few for compiling to pay")
    try:
        compiled = measure(CUDA_GRAPH)
    except Exception as error:  # of Dynamo, Inductor, Triton, the C++ compiler, or out of memory
        return Decision("no", f"{step}, and compiling failed ({one_line(error)})")
    saved = (plain.step - compiled.step) * iterations - compiled.before
    figures = f"{step}, compiled {compiled.step * 1e3:.1f} ms after {compiled.before:.0f} s of compiling"
    return Decision(CUDA_GRAPH if saved > GAIN * whole else "no", figures)


def decide(
    learner: Learner,
    batch: tuple[Tensor, Tensor, Tensor | None],
    learning_rate: float,
    iterations: int,
) -> Compiled:
    """Try the first step of a training again and again with copies of its learner, which itself doesn't change."""

    def measure(compiled: Compiled) -> Measured:
        copied = copy.deepcopy(learner)
        copied.must_replay = True
        copied.use(learner.arithmetic.decided(compiled))
        return _timed(lambda: copied.step(*batch, learning_rate, 0), learner.device)

    choice = choose(measure, iterations)
    if choice.compiled == "no":
        forget_compiled()
    log.info("compile: auto chose %s: %s", choice.compiled, choice.reason)
    return choice.compiled


def _timed(step: Callable[[], object], device: torch.device) -> Measured:
    began = time.perf_counter()
    for _ in range(WARM_UP):
        step()
    wait_for(device)
    warm, n = time.perf_counter(), 0
    while n < STEPS and time.perf_counter() - warm < SECONDS:
        step()
        wait_for(device)
        n += 1
    return Measured(warm - began, (time.perf_counter() - warm) / n)


def forget_compiled() -> None:
    """Free the memory of compiled networks and their CUDA graphs, if there are any."""
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()
