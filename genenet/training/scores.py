"""``scores.json``, in which a training publishes how it ended: the last of its files to be written."""

from __future__ import annotations

from operator import not_
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from genenet.core.atomic_files import read_json, write_json
from genenet.core.models import Closed
from genenet.core.validation import validate
from genenet.metrics.instance_scores import InstanceScores
from genenet.metrics.scores import ClassScores

FORMAT: Literal["genenet.scores/1"] = "genenet.scores/1"
Status = Literal["ok", "diverged", "out_of_memory", "infeasible", "failed", "unfinished"]


class MadeWith(Closed):
    """Versions and hardware of a training."""

    genenet: str
    torch: str
    numpy: str
    python: str
    device: str
    # precision, TF32, compilation; not written by earlier versions
    arithmetic: str | None = Field(None, exclude_if=not_)
    container: str | None = None
    container_commit: str | None = None


class PredictionTime(Closed):
    """The time that a network took for the validation images, with writing; other programs hardly count on a CPU."""

    seconds: NonNegativeFloat
    voxels: NonNegativeInt


class Inherited(Closed):
    """The weights that a training began with (``search.evolution.inherit_weights``, ``training.start``).

    The numbers of convolution layers, the last one included, say how these began
    (:mod:`genenet.genes.inheritance`); ``fresh`` is at random.

    Attributes:
        run: the training whose weights they were.
        genome: of that training.
        iterations: that these weights had been trained for, those of earlier ancestors included; None if it isn't
            known, as that of an ensemble's members.
        start: the results of another search, or the ensemble, that ``run`` was trained in; None: this search.
        new_head: whether the last layer began with random weights, since the other search has other classes.
    """

    run: str
    genome: str
    iterations: NonNegativeInt | None
    start: str | None = Field(None, exclude_if=not_)
    new_head: bool = Field(False, exclude_if=not_)
    copied: NonNegativeInt = 0
    widened: NonNegativeInt = 0
    narrowed: NonNegativeInt = 0
    inserted: NonNegativeInt = 0
    fresh: NonNegativeInt = 0

    @property
    def is_whole(self) -> bool:
        """Whether the network of another search was taken over with its last layer, so that it can predict."""
        return self.start is not None and not self.new_head

    @property
    def source(self) -> str:
        """The training, and the folder of its search if that is another one."""
        return f"{self.run} in {self.start}" if self.start else self.run

    @property
    def text(self) -> str:
        """The numbers of layers in words."""
        names = ("copied", "widened", "narrowed", "inserted", "fresh")
        counts = {name: getattr(self, name) for name in names}
        return "layers " + ", ".join(f"{name} {n}" for name, n in counts.items() if n)


class Scores(Closed):
    """How a training has ended, and the scores of its network on the validation images.

    A training without weights has a ``reason`` and no validation. Fields that are None by default weren't written by
    every version, or not for every status.

    Attributes:
        name: of the genome.
        genome: its id.
        n_parameters: None if the network can't be built.
        volumes: names of the validation images.
        fingerprint: of all that the weights depend on.
        iterations: that were trained; ``best_iteration`` is the one whose weights were kept.
        seconds: that they took.
        inherited: the weights that the training began with; None: random ones.
        folds: how many trainings these are the scores of, each on the part that it hasn't learned from; None: of one.
            ``iterations`` and ``best_iteration`` are then their means, ``seconds`` is their sum.
        objects: scores of the objects of each class that are told apart, with thresholds of a coarse grid.
    """

    format: Literal["genenet.scores/1"] = FORMAT
    name: str = ""
    genome: str = ""
    n_parameters: NonNegativeInt | None = None
    volumes: list[str] = Field(default_factory=list)
    fingerprint: str | None = None
    status: Status
    reason: str | None = None
    iterations: NonNegativeInt | None = None
    best_iteration: NonNegativeInt | None = None
    seconds: NonNegativeFloat | None = None
    prediction: PredictionTime | None = None
    made_with: MadeWith | None = None
    validation: ClassScores | None = None
    folds: PositiveInt | None = Field(None, exclude_if=not_)
    inherited: Inherited | None = Field(None, exclude_if=not_)
    objects: dict[str, InstanceScores] = Field(default_factory=dict, exclude_if=not_)

    @model_validator(mode="after")
    def _ok_has_scores(self) -> Self:
        if self.is_ok and self.validation is None:
            raise ValueError("status is ok, but validation is missing")
        return self

    @property
    def is_ok(self) -> bool:
        """Whether there are weights."""
        return self.status == "ok"

    @property
    def iterations_of_weights(self) -> int:
        """The iterations that its weights were trained for, those of its ancestors included; 0 without weights."""
        return (self.iterations or 0) + ((self.inherited.iterations or 0) if self.inherited else 0)

    @property
    def ari(self) -> float | None:
        """ARI on the validation images; None without weights, and where it isn't defined."""
        return self.validation.ari if self.is_ok and self.validation else None

    @property
    def metrics(self) -> dict[str, float | None]:
        """All scores on the validation images, by name; none without weights."""
        return self.validation.metrics if self.is_ok and self.validation else {}

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        write_json(path, self.model_dump(mode="json"))


def read_scores(path: Path) -> Scores:
    """Read a training's scores.

    Raises:
        InputError: If the file is missing, isn't JSON, or isn't such a file of this or an earlier version.
    """
    return scores_of(read_json(path), str(path))


def scores_of(values: Any, source: str) -> Scores:
    """Check what a ``scores.json`` holds; ``source`` is named in errors (InputError)."""
    return validate(Scores, values, source)
