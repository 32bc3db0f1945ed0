"""All ways to choose an ensemble, side by side: members, scores on the validation images, price."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.random import PCG64, SeedSequence

from genenet.config.types import EnsembleStrategy
from genenet.core.atomic_files import read_json, write_json
from genenet.ensembles.curve import best_size, curve_of, open_run, points_of
from genenet.ensembles.selection import Moments, greedy, sample, weighted
from genenet.metrics.ambiguity import member_weights
from genenet.metrics.contingency import scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.config.ensemble import Ensemble
    from genenet.core.paths import ResultPaths
    from genenet.ensembles.curve import Point
    from genenet.training.outcomes import Outcome
    from genenet.training.prepare import Prepared

FORMAT = "genenet.strategies/1"
POOL = 3  # times max_size networks that greedy and weighted choose from
STREAM = 5  # of the random numbers that greedy uses


@dataclass(frozen=True)
class Ensembled:
    """An ensemble that a strategy has chosen.

    Attributes:
        strategy: its name.
        members: with their weights, the heaviest first.
        point: what it is worth on the validation images.
    """

    strategy: EnsembleStrategy
    members: list[tuple[Outcome, float]]
    point: Point

    @property
    def seconds_per_megavoxel(self) -> float | None:
        """Time that its members took for the validation images; None if one doesn't say."""
        each = [outcome.seconds_per_megavoxel for outcome, _ in self.members]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known) if len(known) == len(each) else None

    def as_dict(self, is_chosen: bool) -> dict[str, Any]:
        """Return what the file holds."""
        price = self.seconds_per_megavoxel
        return {
            "strategy": self.strategy,
            "chosen": is_chosen,
            "members": [{"run": outcome.run, "weight": weight} for outcome, weight in self.members],
            "validation": scores(self.point.contingency) | self.point.decomposition.as_dict(),
            "seconds_per_megavoxel": None if price is None else round(price, 4),
        }


def choose_all(
    paths: ResultPaths, candidates: Sequence[Outcome], validation: Prepared, settings: Ensemble
) -> tuple[list[Point], dict[EnsembleStrategy, Ensembled]]:
    """Return the best-k curve, and the ensemble of each strategy.

    Args:
        paths: of the search.
        candidates: trainings with weights, best first.
        validation: images that the probabilities are of.
        settings: sizes, and how the members of best_n are combined.
    """
    pool = candidates[: POOL * settings.max_size]
    labels, n_classes = [image.labels for image in validation.images], len(validation.classes)
    with ExitStack() as stack:
        files = [open_run(paths.run(outcome.run), validation, stack) for outcome in pool]
        n = settings.max_size
        curve = curve_of(labels, files[:n], [o.ari for o in pool[:n]], n_classes, settings.combination)
        size = best_size(curve, settings.size)
        shares = member_weights(settings.combination, [o.ari for o in pool[:size]])
        found = {"best_n": dict(enumerate(shares))}
        most = n if settings.size == "auto" else settings.size
        rng = np.random.Generator(PCG64(SeedSequence(0, spawn_key=(STREAM,))))
        found["greedy"] = greedy(sample(labels, files, rng), most, rng)
        found["weighted"] = weighted(Moments.of(labels, files), most)
        points = {"best_n": curve[size - 1]}
        for name in ("greedy", "weighted"):
            chosen = found[name]
            arrays, weights = [files[i] for i in chosen], list(chosen.values())
            (points[name],) = points_of(labels, arrays, weights, n_classes, [len(weights)])
    return curve, {
        name: Ensembled(name, [(pool[i], weight) for i, weight in found[name].items()], points[name])
        for name in get_args(EnsembleStrategy)
    }


def write_strategies(path: Path, found: dict[EnsembleStrategy, Ensembled], chosen: EnsembleStrategy) -> None:
    """Write the ensembles of all strategies."""
    entries = [each.as_dict(name == chosen) for name, each in found.items()]
    write_json(path, {"format": FORMAT, "strategies": entries})


def read_strategies(path: Path) -> list[dict[str, Any]]:
    """Read them; none if there is no file, as an earlier version left it."""
    return list(read_json(path)["strategies"]) if path.exists() else []
