"""The files that a training publishes in its folder, whether it was successful or not."""

from __future__ import annotations

import logging
import time
from dataclasses import astuple, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from genenet.core.atomic_files import write_csv
from genenet.core.errors import InputError
from genenet.core.outputs import Outputs
from genenet.metrics.contingency import Contingency, scores
from genenet.networks.weights import save_weights
from genenet.training.object_images import network_objects
from genenet.training.probabilities import write_probabilities
from genenet.training.provenance import made_with
from genenet.training.scores import Scores, read_scores
from genenet.training.trainer import Row, Trainer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import torch

    from genenet.core.paths import RunPaths
    from genenet.genes.genome import Genome
    from genenet.genes.plan import Plan
    from genenet.training.prepared import Prepared
    from genenet.training.prepared_images import LabelledArray
    from genenet.training.scores import Status

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Began:
    """The moment at which something began, by the clock and by the processor's time of this process."""

    wall: float = field(default_factory=time.monotonic)
    processor: float = field(default_factory=time.process_time)

    def seconds(self, device: torch.device) -> float:
        """Return the time since; on a CPU at most the processor's, so that other programs on its cores hardly count."""
        wall = time.monotonic() - self.wall
        return min(wall, time.process_time() - self.processor) if device.type == "cpu" else wall


@dataclass(frozen=True)
class Publication:
    """The files of a training that has ended; ``scores.json`` comes last.

    Attributes:
        files: where they are written.
        genome: that was trained; None if it can't be read.
        plan: of its network; None if it can't be built.
        validation: the prepared images; None if they can't be read.
        fingerprint: of all that the weights depend on.
    """

    files: RunPaths
    genome: Genome | None = None
    plan: Plan | None = None
    validation: Prepared | None = None
    fingerprint: str | None = None

    def iterations(self) -> int:
        """Return after how many iterations weights of this fingerprint were published; 0 if none were."""
        try:
            published = read_scores(self.files.scores)
        except InputError:  # missing, or damaged
            return 0
        return (published.iterations or 0) if published.fingerprint == self.fingerprint else 0

    def success(self, trainer: Trainer) -> None:
        """Publish the best weights, and their scores on the validation images."""
        assert self.genome is not None
        assert self.validation is not None
        trainer.use_best()
        outputs = self.validation.outputs
        contingency = Contingency.empty(len(outputs.classes))

        def scored(image: LabelledArray) -> Iterator[tuple[int, Any]]:
            for z, probabilities in trainer.predict(image):
                contingency.add(image.labels[z : z + 1], outputs.semantic(probabilities).argmax(axis=0))
                yield z, probabilities

        save_weights(trainer.network.state_dict(), self.genome.id, self.files.weights)
        began = Began()
        write_probabilities(
            self.files.validation,
            self.validation.checksum,
            outputs,
            ((image.image.shape, scored(image)) for image in trainer.validation),
        )
        predicting = {
            "seconds": round(began.seconds(trainer.device), 4),
            "voxels": sum(image.image.size for image in trainer.validation),
        }
        write_history(self.files.history, trainer.history)
        self.write_scores(
            "ok",
            iterations=trainer.iteration,
            best_iteration=trainer.chosen_row.iteration,
            seconds=round(trainer.seconds, 1),
            prediction=predicting,  # of the validation images, writing included
            made_with=made_with(trainer.device, trainer.learner.arithmetic),
            inherited=trainer.inherited,
            objects=network_objects(self.files.validation, self.validation),
            validation=scores(contingency),
        )

    def failure(self, status: Status, reason: str, history: Sequence[Row] = ()) -> None:
        """Publish that there are no weights, and why."""
        log.error("%s: %s: %s", self.genome.name if self.genome else self.files.folder, status, reason)
        checksum, outputs = (
            (self.validation.checksum, self.validation.outputs) if self.validation else ("", Outputs([]))
        )
        save_weights({}, self.genome.id if self.genome else "", self.files.weights)
        write_probabilities(self.files.validation, checksum, outputs, [])
        write_history(self.files.history, history)
        self.write_scores(status, reason=reason)

    def write_scores(self, status: Status, **facts: Any) -> None:
        """Write ``scores.json``."""
        identity = {
            **({"name": self.genome.name, "genome": self.genome.id} if self.genome else {}),
            "n_parameters": self.plan.n_parameters if self.plan else None,
            "volumes": [image.name for image in self.validation.images] if self.validation else [],
            "fingerprint": self.fingerprint,
        }
        Scores.model_validate({**identity, "status": status, **facts}).write(self.files.scores)


def write_history(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows as CSV, atomically."""
    write_csv(path, [field.name for field in fields(Row)], [astuple(row) for row in rows])
