"""The trained network whose weights a child begins with (``search.evolution.inherit_weights``), without torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from genenet.core.paths import RunPaths
    from genenet.genes.genome import Genome
    from genenet.genes.plan import Plan


@dataclass(frozen=True)
class Parent:
    """A training of an earlier round.

    Attributes:
        run: its name, such as ``r0/003``, or that of a fold.
        genome: that was trained.
        files: that it has published.
        checksum: SHA-256 of its weights when its round was gathered.
        gathered: the file that holds the checksum.
    """

    run: str
    genome: Genome
    files: RunPaths
    checksum: str
    gathered: Path


ParentOf = Callable[["Genome", "Plan"], Parent]  # of a child's genome, and the plan of its network
