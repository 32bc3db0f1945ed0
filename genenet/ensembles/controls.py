"""The controls of a search: the genome of the best network, and the file of a control's scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from genenet.core.atomic_files import read_json, write_json
from genenet.core.errors import InputError
from genenet.core.models import Closed
from genenet.core.paths import CONTROLS
from genenet.core.validation import validate
from genenet.ensembles.ranking import rows
from genenet.genes.genome import read_genome
from genenet.metrics.block_scores import BlockCounts, BlockScores
from genenet.metrics.scores import ClassScores
from genenet.training.outcomes import BASELINES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genenet.core.paths import ResultPaths


class ControlTraining(Closed):
    """One training of a control, and the scores of its network alone.

    Attributes:
        run: its name.
        status: that it has published; ``reason`` says why it has no weights.
        seconds: that it took.
        iterations: that it trained.
        validation: scores on the validation images.
        test: scores on the test images, if there are any.
    """

    run: str
    status: str
    reason: str = ""
    seconds: NonNegativeFloat | None = None
    iterations: NonNegativeInt | None = None
    validation: ClassScores | None = None
    test: ClassScores | None = None

    @property
    def is_ok(self) -> bool:
        """Whether there are weights."""
        return self.status == "ok"


class MeanScores(BlockScores):
    """Scores of the mean of several networks, with the counts of the means without each of them."""

    without: list[BlockCounts] = Field(default_factory=list)


class ControlFile(Closed):
    """``controls/best.json``: the scores of a control.

    Attributes:
        control: its name.
        baseline: that it trains; None for the best network of the search.
        is_long: whether it is one long training instead of several seeds.
        trainings: those that it is made of.
        validation: scores of the mean of the networks' stored probabilities of the validation images.
        test: scores of the mean of their probabilities of the test images, if there are any.
    """

    format: Literal["genenet.control/1"] = "genenet.control/1"
    control: str
    baseline: str | None = None
    is_long: bool = False
    trainings: list[ControlTraining] = Field(min_length=1)
    validation: MeanScores | None = None
    test: MeanScores | None = None

    @property
    def own_runs(self) -> list[str]:
        """Names of the trainings that are neither the search's nor a baseline's."""
        return [each.run for each in self.trainings if each.run.startswith(CONTROLS)]

    @property
    def seconds(self) -> float:
        """Seconds of all its trainings."""
        return sum(each.seconds or 0.0 for each in self.trainings)


def best_of_ranking(paths: ResultPaths, genome: str | None = None) -> str:
    """Return the best training of a genome of the search; of the genome with the id ``genome``, if it is given.

    Raises:
        InputError: If the ranking has no such training.
    """
    for row in rows(Path(paths.ranking)):
        is_network = not row["run"].startswith(BASELINES) and row["status"] == "ok"
        if is_network and genome in (None, row["genome"]):
            return row["run"]
    which = f"of genome {genome} " if genome else ""
    raise InputError(
        f"{paths.ranking}: no successful training {which}of the search; select an ensemble first"
    )


def pick_best(paths: ResultPaths, out: Path) -> None:
    """Write a copy of the best network's genome, which a control trains with other random numbers."""
    read_genome(paths.genome(best_of_ranking(paths))).write(out)


def write_control(path: Path, scores: ControlFile) -> None:
    """Write the scores of a control, atomically."""
    write_json(path, scores.model_dump(mode="json"))


def read_controls(paths: ResultPaths, names: Iterable[str]) -> list[ControlFile]:
    """Read the scores of controls; those that aren't scored yet are left out.

    Raises:
        InputError: If a file isn't JSON, or isn't such a file of this or an earlier version.
    """
    files = [Path(paths.control(name)) for name in names]
    return [validate(ControlFile, read_json(path), str(path)) for path in files if path.exists()]
