"""The trained network whose weights a training begins with, without torch.

It is a parent in the same search (``search.evolution.inherit_weights``), or the network of the same genome in another
search (``training.start``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genenet.core.outputs import other_classes

if TYPE_CHECKING:
    from pathlib import Path

    from genenet.core.outputs import Outputs
    from genenet.genes.genome import Genome
    from genenet.genes.plan import Plan


@dataclass(frozen=True)
class Origin:
    """The other search that a network comes from.

    Attributes:
        folder: its results, or an ensemble.
        outputs: of its networks.
        iterations: that the weights were trained for; None if it isn't known.
        seen: returns which of some images, by name, its networks may have learned from.
    """

    folder: Path
    outputs: Outputs
    iterations: int | None
    seen: Callable[[list[str]], list[str]]


@dataclass(frozen=True)
class Parent:
    """A trained network.

    Attributes:
        run: the name of its training, such as ``r0/003``, or that of a fold.
        genome: that was trained.
        weights: the file of its weights; its scores are beside it, unless it has an origin.
        checksum: SHA-256 of its weights when ``gathered`` was written.
        gathered: the file that holds the checksum.
        origin: the other search that it comes from; None if it was trained in this one.
    """

    run: str
    genome: Genome
    weights: Path
    checksum: str
    gathered: Path
    origin: Origin | None = None

    def other_classes(self, outputs: Outputs) -> str:
        """Return that a training can't use its last layer, since its classes are others; an empty text if it can."""
        return other_classes(self.origin.outputs, outputs) if self.origin else ""


ParentOf = Callable[["Genome", "Plan"], Parent]  # of a child's genome, and the plan of its network
StartOf = Callable[
    ["Genome"], Parent | None
]  # the network of the same genome in another search, if there is one
