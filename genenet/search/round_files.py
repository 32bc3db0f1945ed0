"""The small files of a search in steps: the results of a slot of a rung, of a rung, and of a round."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, NonNegativeInt

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
    """

    run: str | None
    genome: str | None = None
    status: Status | Literal["empty"]
    ari: float | None = None

    @classmethod
    def of(cls, run: str, scores: Scores, ari: float | None) -> TrainingResult:
        """Return the result of a training that has published these scores."""
        return cls(run=run, genome=scores.genome, status=scores.status, ari=ari)

    @property
    def is_ok(self) -> bool:
        """Whether there are weights."""
        return self.status == "ok"

    @property
    def rank_key(self) -> tuple[bool, float, str]:
        """For sorting, best first: without weights last, and of equal ARIs the earlier run first."""
        return not self.is_ok, 1.0 if self.ari is None else -self.ari, self.run or "~"


EMPTY = TrainingResult(run=None, status="empty")


class SlotFile(TrainingResult):
    """``rungs/r0/500/003.json``: the result of one slot of a rung."""

    format: Literal["genenet.slot/1"] = "genenet.slot/1"
    iterations: NonNegativeInt | None = None

    @classmethod
    def holding(cls, result: TrainingResult, iterations: int | None = None) -> SlotFile:
        """Return the file of a slot whose rung ends after some iterations."""
        return cls(**result.model_dump(), iterations=iterations)

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
