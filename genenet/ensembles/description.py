"""``ensemble.json`` and ``ensemble_strategies.json``: which networks are members, and the ensemble's scores."""

from __future__ import annotations

from operator import not_
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

from genenet.config.ensemble import Combination
from genenet.config.normalisation import NormalisationSettings
from genenet.config.selection_metrics import RANKING_METRIC, SelectionMetricName
from genenet.config.types import VoxelSize
from genenet.core.atomic_files import read_json, write_json
from genenet.core.choices import many
from genenet.core.errors import InputError
from genenet.core.models import Closed
from genenet.core.outputs import ObjectClass, Outputs
from genenet.core.paths import of_fold
from genenet.core.validation import validate
from genenet.ensembles.adapted import Adaptation
from genenet.ensembles.reference import Reference
from genenet.metrics.block_scores import BlockCounts
from genenet.metrics.intervals import ConfidenceInterval
from genenet.metrics.scores import ClassScores
from genenet.objects.tuned import TunedObjects
from genenet.volumes.normalisation import NormalisationRule

FORMAT: Literal["genenet.ensemble/1"] = "genenet.ensemble/1"
MOST_BYTES = 2**24  # of an ensemble.json


def _inside(folder: str) -> str:
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"'{folder}' leads out of the ensemble's folder")
    return folder


class EnsembleScores(ClassScores):
    """The scores of an ensemble; its squared error is that of its members less the ambiguity."""

    squared_error: float | None = None
    member_squared_error: float | None = None
    ambiguity: float | None = None


class MemberEntry(Closed):
    """A member: a folder inside the ensemble's with its genome and weights."""

    folder: Annotated[str, AfterValidator(_inside)]
    run: str
    genome: str
    validation_ari: float | None = None
    weight: NonNegativeFloat = 1.0


class NormalisationEntry(Closed):
    """How images are normalised before they enter the networks.

    Attributes:
        mode: the rule, a word or a mapping as in config.yaml.
        mean: the centre of all training images together.
        deviation: their scale.
    """

    mode: NormalisationSettings
    mean: float
    deviation: float

    @classmethod
    def of(cls, rule: NormalisationRule) -> NormalisationEntry:
        """Return the entry of a rule."""
        return cls(mode=rule.settings, mean=rule.mean, deviation=rule.deviation)

    @property
    def rule(self) -> NormalisationRule:
        """The rule of the entry."""
        return NormalisationRule(self.mode, self.mean, self.deviation)


class ClassVoxels(Closed):
    """Labelled voxels of each class, in the order of the class ids."""

    train: list[NonNegativeInt]
    validation: list[NonNegativeInt]


class Refit(Closed):
    """What became of the training of the members with training and validation images together.

    Attributes:
        images: that the new weights were trained on.
        refitted: runs of the members with new weights.
        failed: runs of the members whose refit failed, with the reason.
    """

    images: list[str]
    refitted: list[str]
    failed: dict[str, str] = Field(default_factory=dict)


class ReliabilityScores(Closed):
    """How far class probabilities are error rates; None if there were no labelled voxels.

    Attributes:
        expected_calibration_error: 0 to 1.
        brier: Brier score, 0 to 2.
        confidence: mean probability of the most probable class, of the voxels of each bin of it.
        correct: share of them whose most probable class is the true one.
        voxels: of each bin; empty bins are left out.
    """

    expected_calibration_error: float | None = None
    brier: float | None = None
    confidence: list[float] = Field(default_factory=list)
    correct: list[float] = Field(default_factory=list)
    voxels: list[NonNegativeInt] = Field(default_factory=list)


class CalibrationEntry(Closed):
    """The temperature of an ensemble, and its probabilities' reliability before and after it is applied."""

    temperature: PositiveFloat
    before: ReliabilityScores
    after: ReliabilityScores


class LeadInterval(Closed):
    """The interval of the ensemble's score minus that of a network or a baseline, by the metric of the selection.

    Attributes:
        against: the run, or the title of a baseline, whose seeds are drawn from.
        low, high: 95 % of the draws lie between them.
        n_blocks: of the validation images that were drawn from.
    """

    against: str
    low: float
    high: float
    n_blocks: NonNegativeInt

    @property
    def interval(self) -> ConfidenceInterval:
        """The interval alone."""
        return ConfidenceInterval(self.low, self.high, self.n_blocks)


class EnsembleDescription(Closed):
    """``ensemble.json``.

    Attributes:
        objects: the classes whose objects are told apart.
        tuned_objects: what the validation images say about the objects of each class.
        dtypes: of the training images; none if an older version made the ensemble.
        selected_on: names of the validation images.
        metric: by which the members were chosen.
        strategy: by which the members were chosen; None for an ensemble made in Python.
        class_voxels: of the training and the validation images; None if an older version made the ensemble.
        baselines: validation ARIs of the baselines, by name.
        refit: what became of the members' training on all images; scores and weights are of the networks before it.
            None if there was none.
        intervals: of the ensemble's lead over the best network and over each baseline, on the validation images.
        blocks: counts of the ensemble in the blocks of the validation images, for intervals of its lead over controls;
            None if an older version made the ensemble.
        calibration: the temperature that was fitted on the validation images; None for an ensemble made in Python or
            by an older version, whose probabilities stay as they are.
        class_priors: factors of the probabilities of the classes, which follow the temperature; none unless the
            ensemble was adapted to a volume.
        adapted: how it was adapted to a volume; the scores on the validation images are those of the networks before.
        reference: what the ensemble has seen, with which other volumes are compared; None if an older version made it.
        pair_ambiguities: how much each pair of ``runs`` disagrees on the validation images
            (``ProbabilityProducts.pair_ambiguities``); None for an ensemble made in Python or by an older version.
    """

    format: Literal["genenet.ensemble/1"] = FORMAT
    classes: list[str] = Field(min_length=1)
    objects: list[ObjectClass] = Field(default_factory=list, exclude_if=not_)
    voxel_size_nm: VoxelSize
    tuned_objects: dict[str, TunedObjects] = Field(default_factory=dict, exclude_if=not_)
    dtypes: list[str] = Field(default_factory=list)
    normalisation: NormalisationEntry
    selected_on: list[str] = Field(default_factory=list)
    validation: EnsembleScores = EnsembleScores()
    metric: SelectionMetricName = RANKING_METRIC
    strategy: str | None = None
    combination: Combination = "mean"
    class_voxels: ClassVoxels | None = None
    baselines: dict[str, float | None] = Field(default_factory=dict)
    refit: Refit | None = None
    intervals: list[LeadInterval] = Field(default_factory=list)
    blocks: BlockCounts | None = None
    calibration: CalibrationEntry | None = None
    class_priors: list[PositiveFloat] = Field(default_factory=list, exclude_if=not_)
    adapted: Adaptation | None = Field(None, exclude_if=not_)
    reference: Reference | None = None
    pair_ambiguities: list[list[NonNegativeFloat]] | None = None
    members: list[MemberEntry] = Field(min_length=1)

    @property
    def outputs(self) -> Outputs:
        """What the outputs of the members mean."""
        return Outputs(self.classes, self.objects)

    @property
    def runs(self) -> list[str]:
        """The runs that were chosen, best first. Those of a genome that was trained by folds have several members."""
        found: list[str] = []
        for run, fold in (of_fold(member.run) for member in self.members):
            if fold is None or run not in found:
                found.append(run)
        return found

    @property
    def by_run(self) -> list[MemberEntry]:
        """The members, those of the folds of a genome as one with their weight together, whose ARI isn't known."""
        found: dict[tuple[str, int | None], MemberEntry] = {}
        for index, member in enumerate(self.members):
            run, fold = of_fold(member.run)
            # in Python, genomes of several searches may have one name: only folds belong together
            key = (run, index if fold is None else None)
            weight = member.weight + (found[key].weight if key in found else 0.0)
            changes = {"run": run, "weight": weight, "validation_ari": None}
            found[key] = member if fold is None else found.get(key, member).model_copy(update=changes)
        return list(found.values())

    @property
    def n_folds(self) -> int:
        """The number of folds whose networks are the members of a run; 0 without folds."""
        return len({fold for member in self.members if (fold := of_fold(member.run)[1]) is not None})

    @property
    def size_text(self) -> str:
        """The number of its networks for people; with folds, of how many genomes they are."""
        text = many(len(self.members), "network")
        return f"{text} ({many(len(self.runs), 'genome')}, {self.n_folds} folds)" if self.n_folds else text

    @property
    def untrained_classes(self) -> dict[str, float]:
        """The classes without a voxel in training, and their share of the validation voxels; none if it isn't known."""
        if not self.class_voxels:
            return {}
        total = max(1, sum(self.class_voxels.validation))
        shares = zip(self.classes, self.class_voxels.train, self.class_voxels.validation, strict=True)
        return {name: of_validation / total for name, of_train, of_validation in shares if not of_train}

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        write_json(path, self.model_dump(mode="json"))


def read_description(path: Path) -> EnsembleDescription:
    """Read an ``ensemble.json``.

    Raises:
        InputError: If the file is missing, isn't JSON, or isn't such a file of this or an earlier version.
    """
    values = read_json(path, MOST_BYTES)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise InputError(f"{path}: not an ensemble ({FORMAT})")
    return validate(EnsembleDescription, values, str(path))


class WeightedRun(Closed):
    """A training that is a member, and its weight."""

    run: str
    weight: NonNegativeFloat


class StrategyEntry(Closed):
    """The ensemble that a strategy chooses.

    Attributes:
        chosen: whether it became the ensemble.
        seconds_per_megavoxel: time that its members took for the validation images; None if it isn't known.
    """

    strategy: str
    chosen: bool
    members: list[WeightedRun] = Field(min_length=1)
    validation: EnsembleScores
    seconds_per_megavoxel: NonNegativeFloat | None = None


class StrategiesFile(Closed):
    """``ensemble_strategies.json``: the ensembles of all strategies, side by side."""

    format: Literal["genenet.strategies/1"] = "genenet.strategies/1"
    strategies: list[StrategyEntry]

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        write_json(path, self.model_dump(mode="json"))


def read_strategies(path: Path) -> list[StrategyEntry]:
    """Read the ensembles of all strategies; none if there is no file, as older versions wrote none.

    Raises:
        InputError: If the file isn't JSON, or isn't such a file of this or an earlier version.
    """
    return validate(StrategiesFile, read_json(path), str(path)).strategies if path.exists() else []
