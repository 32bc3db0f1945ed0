"""What a training came to, read from its files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genenet.core.atomic_files import read_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.core.paths import ResultPaths


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    run: str  # r0/000 or baselines/unet2015
    scores: dict[str, Any]

    @property
    def is_baseline(self) -> bool:
        """Baselines are ranked, never members."""
        return self.run.startswith("baselines/")

    @property
    def is_ok(self) -> bool:
        """Whether there are weights."""
        return bool(self.scores["status"] == "ok")

    @property
    def ari(self) -> float:
        """ARI on the validation images; -1 without one, so that it comes last."""
        ari = self.scores["validation"]["ari"] if self.is_ok else None
        return -1.0 if ari is None else float(ari)

    @property
    def seconds_per_megavoxel(self) -> float | None:
        """Time that its network took for the validation images; None if it wasn't measured."""
        measured = self.scores.get("prediction") or {}
        return measured["seconds"] / measured["voxels"] * 1e6 if measured.get("voxels") else None


def read_outcomes(paths: ResultPaths, runs: Sequence[str]) -> list[Outcome]:
    """Read the scores of all runs, best first; the successful before the others."""
    outcomes = [Outcome(run, read_json(paths.run(run).scores)) for run in runs]
    return sorted(outcomes, key=lambda o: (not o.is_ok, -o.ari, o.run))
