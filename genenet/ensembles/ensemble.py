"""From scored trainings to an ensemble: the ranking, the best-k curve, the members in one folder."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genenet.config.ensemble import COMBINATIONS, STRATEGIES
from genenet.core.atomic_files import atomic_path, read_json, write_csv, write_json
from genenet.core.errors import InputError, naming
from genenet.ensembles.anytime import moments, write_moments
from genenet.ensembles.strategies import choose_all, write_strategies
from genenet.genes.genome import read_genome
from genenet.genes.plan import Plan, plan
from genenet.metrics.ambiguity import Decomposition
from genenet.metrics.contingency import scores
from genenet.networks.tile_sizes import block_shape
from genenet.training.outcome_reader import read_outcomes
from genenet.training.prepare import open_prepared

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from genenet.config.segmentation import Segmentation
    from genenet.config.stages import SelectSettings
    from genenet.core.geometry import Triple
    from genenet.core.paths import ResultPaths
    from genenet.ensembles.curve import Point
    from genenet.networks.network import Network
    from genenet.networks.predictor import Predictor
    from genenet.training.outcomes import Outcome
    from genenet.volumes.normalisation import NormalisationRule

FORMAT = "genenet.ensemble/1"
DESCRIPTION = "ensemble.json"
GENOME, WEIGHTS = "genome.json", "model.safetensors"  # of a member


def select(paths: ResultPaths, runs: Sequence[str], settings: SelectSettings) -> None:
    """Rank ``runs``, compare the strategies and write ``ensemble/``, ``ranking.csv``, ``ensemble_curve.csv``.

    Raises:
        InputError: If fewer trainings than ``ensemble.minimum`` were successful.
    """
    outcomes = read_outcomes(paths, runs)
    candidates = [o for o in outcomes if o.is_ok and not o.is_baseline]
    _require(candidates, outcomes, settings.ensemble.minimum, paths)
    train, validation = (
        open_prepared(Path(paths.data("train"))),
        open_prepared(Path(paths.data("validation"))),
    )
    curve, ensembles = choose_all(paths, candidates, validation, settings.ensemble)
    strategy = settings.ensemble.strategy
    chosen = ensembles[strategy]
    write_ranking(Path(paths.ranking), outcomes)
    _write_curve(Path(paths.curve), candidates[: len(curve)], curve)
    write_strategies(Path(paths.strategies), ensembles, strategy)
    genomes, size = [o for o in outcomes if not o.is_baseline], len(ensembles["best_n"].members)
    found = moments(paths, genomes, validation, size, settings.ensemble.combination)
    write_moments(Path(paths.anytime), found)
    description = {
        "format": FORMAT,
        "classes": train.classes,
        "voxel_size_nm": list(train.voxel_size_nm),
        "dtypes": sorted({image.image.dtype.name for image in train.images}),
        "normalisation": {"mode": settings.normalisation, "mean": train.mean, "deviation": train.deviation},
        "selected_on": [image.name for image in validation.images],
        "validation": scores(chosen.point.contingency) | chosen.point.decomposition.as_dict(),
        "strategy": strategy,
        "combination": "weighted" if STRATEGIES[strategy].gives_weights else settings.ensemble.combination,
        "baselines": {
            o.run.removeprefix("baselines/"): o.ranked_ari for o in outcomes if o.is_baseline and o.is_ok
        },
    }
    members = [Member.of(paths, outcome, weight) for outcome, weight in chosen.members]
    write_ensemble(Path(paths.ensemble), members, description)


def _require(candidates: list[Outcome], outcomes: list[Outcome], minimum: int, paths: ResultPaths) -> None:
    if len(candidates) >= minimum:
        return
    failed = [o for o in outcomes if not o.is_ok and not o.is_baseline]
    reasons = "; ".join(f"{o.run} {o.status} ({o.reason}; log: {paths.train_log(o.run)})" for o in failed[:3])
    raise InputError(
        f"{paths.results}: {len(candidates)} trainings were successful, ensemble.minimum is {minimum}: "
        f"{reasons}{' …' if len(failed) > 3 else ''}"
    )


def write_ranking(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write a CSV row for every run, best first."""
    columns = ("rank", "run", "name", "genome", "status", "validation_ari", "mean_iou", "accuracy")
    more = ("n_parameters", "iterations", "seconds", "reason")
    rows = []
    for rank, o in enumerate(outcomes, start=1):
        name = o.scores.name if o.scores else None
        row = [rank, o.run, name, o.genome, o.status, o.ari, o.mean_iou, o.accuracy]
        rows.append([*row, o.n_parameters, o.iterations, o.seconds, o.reason or None])
    write_csv(path, (*columns, *more), rows)


def _write_curve(path: Path, ranked: Sequence[Outcome], curve: Sequence[Point]) -> None:
    rows = [
        (
            n,
            o.run,
            p.contingency.adjusted_rand_index,
            p.contingency.mean_iou,
            *p.decomposition.as_dict().values(),
        )
        for n, (o, p) in enumerate(zip(ranked, curve, strict=True), 1)
    ]
    columns = ("size", "added", "validation_ari", "mean_iou", *Decomposition().as_dict())
    write_csv(path, columns, rows)


@dataclass(frozen=True)
class Member:
    """A trained network that becomes a member of an ensemble.

    Attributes:
        run: its name.
        genome_id: the id of its genome.
        ari: on the validation images.
        weight: of its probabilities in the ensemble's mean.
        write: writes GENOME and WEIGHTS into a new folder.
    """

    run: str
    genome_id: str
    ari: float
    weight: float
    write: Callable[[Path], None]

    @classmethod
    def of(cls, paths: ResultPaths, outcome: Outcome, weight: float) -> Member:
        """Return the member that a training of a search becomes."""

        def copy(folder: Path) -> None:
            shutil.copyfile(paths.genome(outcome.run), folder / GENOME)
            shutil.copyfile(paths.run(outcome.run).weights, folder / WEIGHTS)

        return cls(outcome.run, outcome.genome, outcome.ranked_ari, weight, copy)

    def entry(self, folder: str) -> dict[str, Any]:
        """Return what ensemble.json says of the member."""
        return {
            "folder": folder,
            "run": self.run,
            "genome": self.genome_id,
            "validation_ari": self.ari,
            "weight": self.weight,
        }


def write_ensemble(folder: Path, members: Sequence[Member], description: dict[str, Any]) -> None:
    """Write an ensemble's folder: its members, best first, and ensemble.json."""
    with atomic_path(folder) as new:
        entries = []
        for index, member in enumerate(members):
            entries.append(member.entry(f"members/{index:02d}"))
            place = new / entries[-1]["folder"]
            place.mkdir(parents=True)
            member.write(place)
        write_json(new / DESCRIPTION, {**description, "members": entries})


@dataclass(frozen=True)
class LoadedEnsemble:
    """An ensemble's folder, read: what segmenting needs."""

    folder: Path
    classes: list[str]
    voxel_size_nm: tuple[float, float, float]
    normalisation: NormalisationRule
    networks: list[Network]
    weights: list[float] | None  # of the members; None: all alike
    combination: str
    fingerprint: str  # of members and normalisation
    dtypes: list[str]  # of the training images; empty if an older version made the ensemble

    @property
    def plans(self) -> list[Plan]:
        """The networks' plans."""
        return [network.plan for network in self.networks]

    def block(self, settings: Segmentation) -> Triple:
        """Return the voxels written in one piece, z, y, x: those asked for, or what suits the networks."""
        return settings.block or block_shape(self.plans)

    def predictor(self, device: torch.device, settings: Segmentation | None = None) -> Predictor:
        """Return the networks, ready to predict; they are on the device from then on."""
        from genenet.config.segmentation import Segmentation as Defaults
        from genenet.networks.device import compute_type
        from genenet.networks.predictor import Predictor
        from genenet.networks.symmetry import Turn, symmetries

        wanted = settings or Defaults()
        has_depth = any(plan.has_depth for plan in self.plans)
        return Predictor(
            [network.without_norms() for network in self.networks],
            device,
            weights=self.weights,
            combination="vote" if COMBINATIONS[self.combination].votes else "mean",
            turns=symmetries(has_depth) if wanted.turns else (Turn(),),
            disagreement=wanted.disagreement,
            type=compute_type(wanted.compute, device),
            memory_bytes=wanted.memory_mb * 1e6,
            tile=wanted.tile,
            blended=wanted.blend,
        )


def load_ensemble(folder: Path) -> LoadedEnsemble:
    """Read an ensemble with its networks, on the CPU.

    Raises:
        InputError: If it isn't an ensemble, or a member's weights don't match its genome.
    """
    from genenet.networks.network import Network
    from genenet.networks.weights import load_weights
    from genenet.volumes.normalisation import NormalisationRule

    description = read_json(folder / DESCRIPTION)
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise InputError(f"{folder / DESCRIPTION}: not an ensemble ({FORMAT})")
    digest = hashlib.sha256((folder / DESCRIPTION).read_bytes())
    networks = []
    for entry in description["members"]:
        place = folder / entry["folder"]
        genome = read_genome(place / GENOME)
        with naming(place / GENOME):
            network = Network(plan(genome.net, len(description["classes"])))
        load_weights(network, genome, place / WEIGHTS)
        digest.update((place / WEIGHTS).read_bytes())
        networks.append(network)
    z, y, x = description["voxel_size_nm"]
    rule = NormalisationRule(**description["normalisation"])
    combination = description.get("combination", "mean")
    return LoadedEnsemble(
        folder,
        description["classes"],
        (z, y, x),
        rule,
        networks,
        weights=[m["weight"] for m in description["members"]] if combination == "weighted" else None,
        combination=combination,
        fingerprint=digest.hexdigest(),
        dtypes=description.get("dtypes", []),
    )
