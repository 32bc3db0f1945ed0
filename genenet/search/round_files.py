"""The small files of a search in steps: the results of a slot of a rung, of a rung, and of a round."""

from __future__ import annotations

from collections.abc import Mapping
from operator import not_
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, NonNegativeInt

from genenet.config.selection_metrics import RANKING_METRIC, SCORES, SELECTION_METRICS, SelectionMetricName
from genenet.core.atomic_files import read_json, write_json
from genenet.core.errors import InputError
from genenet.core.models import Closed
from genenet.core.validation import validate
from genenet.training.scores import Scores, Status


class TrainingResult(Closed):
    """How a training has ended.

    Attributes:
        run: its name; None for a slot that no genome was left for.
        genome: the id of its genome.
        status: that it has published; ``empty`` without a training.
        ari: on the validation images, at the rung's end if it is a rung's.
        mean_iou: likewise; None in files of version 0.1.
        weights: SHA-256 of its weights, or of those of each fold; only in files of rounds.
    """

    run: str | None
    genome: str | None = None
    status: Status | Literal["empty"]
    ari: float | None = None
    mean_iou: float | None = None
    weights: tuple[str, ...] = Field((), exclude_if=not_)

    @classmethod
    def of(cls, run: str, scores: Scores, validation: Mapping[str, float | None]) -> TrainingResult:
        """Return the result of a training that has published these scores; ``validation`` has ARI and mean IoU."""
        of_run = {name: validation.get(name) for name in SCORES}
        return cls(run=run, genome=scores.genome, status=scores.status, **of_run)

    @property
    def is_ok(self) -> bool:
        """Whether there are weights."""
        return self.status == "ok"

    def score(self, metric: str) -> float | None:
        """Return the validation score by a metric of SELECTION_METRICS; None if there is none."""
        return SELECTION_METRICS[metric].of_scores({"ari": self.ari, "mean_iou": self.mean_iou})

    def rank_key(self, metric: str) -> tuple[bool, float, str]:
        """Return a key for sorting, best first: without weights last, and of equal scores the earlier run first."""
        score = self.score(metric)
        return not self.is_ok, 1.0 if score is None else -score, self.run or "~"


EMPTY = TrainingResult(run=None, status="empty")


class SlotFile(TrainingResult):
    """``rungs/r0/500/003.json``: the result of one slot of a rung."""

    format: Literal["genenet.slot/1"] = "genenet.slot/1"
    iterations: NonNegativeInt | None = None
    metric: SelectionMetricName = RANKING_METRIC  # by which the rung is ranked

    @classmethod
    def holding(
        cls, result: TrainingResult, iterations: int | None = None, metric: str = RANKING_METRIC
    ) -> SlotFile:
        """Return the file of a slot whose rung ends after some iterations, and is ranked by ``metric``."""
        return cls(**result.model_dump(), iterations=iterations, metric=metric)

    @property
    def result(self) -> TrainingResult:
        """How the slot's training has ended."""
        return TrainingResult(**self.model_dump(include=set(TrainingResult.model_fields)))


class RungFile(Closed):
    """``rungs/r0/500.json``: the slots of a rung, best first."""

    format: Literal["genenet.rung/1"] = "genenet.rung/1"
    slots: list[TrainingResult] = Field(min_length=1)


class RoundFile(Closed):
    """``rounds/r0.json``: all trainings of a round in their order, from which later rounds are bred."""

    format: Literal["genenet.round/1"] = "genenet.round/1"
    runs: list[TrainingResult] = Field(min_length=1)


File = TypeVar("File", SlotFile, RungFile, RoundFile)


def read_file(path: Path, model: type[File]) -> File:
    """Read one of these files.

    Raises:
        InputError: If it is missing, isn't JSON, or isn't such a file of this or an earlier version.
    """
    try:
        return validate(model, read_json(path), str(path))
    except InputError as error:
        raise InputError(f"{str(error).splitlines()[0]}; remove it and start the workflow again") from None


def write_file(path: Path, content: File) -> None:
    """Write one of these files, atomically."""
    write_json(path, content.model_dump(mode="json"))
