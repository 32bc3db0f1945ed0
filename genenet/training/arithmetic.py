"""How a training computes: its floating-point type, and whether its network is compiled. It is chosen once.

The choice is made when the training begins and is kept in its checkpoint. A training that continues on another
processor keeps it, so only the processors' rounding makes a difference.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch

from genenet.networks.device import resolved, tf32_uses

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from genenet.config.training import Training

# Modes of torch.compile, which are its own names; reduce-overhead replays the kernels of a step as one CUDA graph
Compiled = Literal["no", "default", "reduce-overhead"]
CUDA_GRAPH: Compiled = "reduce-overhead"


@dataclass(frozen=True)
class Arithmetic:
    """What a training computes with.

    Attributes:
        precision: of the forward and backward pass.
        compiled: mode of torch.compile; None: a trial at the start of the training has yet to decide.
    """

    precision: Literal["float32", "bfloat16"]
    compiled: Compiled | None

    @classmethod
    def of(cls, settings: Training, device: torch.device) -> Arithmetic:
        """Return the choice for a training that begins on a device."""
        compiled: Compiled | None = "default" if settings.compile else "no"
        if settings.compile == "auto":  # on the CPU, compiled trainings are slower (docs/benchmarks.md)
            compiled = "no" if device.type == "cpu" else None
        return cls(resolved(settings.precision, device), compiled)

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Arithmetic:
        """Return the choice that a checkpoint holds."""
        return cls(**state)

    def state(self) -> dict[str, Any]:
        """Return the choice for a checkpoint."""
        return asdict(self)

    def decided(self, compiled: Compiled) -> Arithmetic:
        """Return the choice after the trial."""
        return replace(self, compiled=compiled)

    @property
    def type(self) -> torch.dtype | None:
        """The type for autocast; None for plain float32."""
        return torch.bfloat16 if self.precision == "bfloat16" else None

    @property
    def is_graph(self) -> bool:
        """Whether steps are replayed as a CUDA graph."""
        return self.compiled == CUDA_GRAPH

    def forward(self, module: nn.Module) -> Callable[[Tensor], list[Tensor]]:
        """Return what computes a module's output: itself, or compiled."""
        if self.compiled in (None, "no"):
            return module
        return torch.compile(module, dynamic=False, mode=self.compiled)

    def text(self, device: torch.device) -> str:
        """Describe it for the log and the scores, TF32 of a GPU included."""
        uses = tf32_uses(device)
        parts = [
            self.precision,
            *([f"TF32 for {' and '.join(uses)}" if uses else "no TF32"] if device.type == "cuda" else []),
            *([f"compiled ({self.compiled})"] if self.compiled not in (None, "no") else []),
        ]
        return ", ".join(parts)
