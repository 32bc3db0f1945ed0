"""What a training publishes in its run directory, whatever became of it."""

from __future__ import annotations

import logging
import time
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any

from genenet.core.atomic_files import read_json, write_csv, write_json
from genenet.core.errors import InputError
from genenet.metrics.contingency import Contingency, scores
from genenet.networks.weights import save_weights
from genenet.training.probabilities import write_probabilities
from genenet.training.provenance import made_with
from genenet.training.trainer import Row, Trainer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from genenet.core.paths import RunPaths
    from genenet.genes.genome import Genome
    from genenet.genes.plan import Plan
    from genenet.training.prepare import Prepared
    from genenet.training.prepared_images import LabelledArray

FORMAT = "genenet.scores/1"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Publication:
    """The files of a training that has ended; ``scores.json`` comes last."""

    files: RunPaths
    genome: Genome
    plan: Plan | None  # None: it can't be built
    validation: Prepared
    fingerprint: str | None = None  # of all that the weights depend on

    def iterations(self) -> int:
        """Return after how many iterations weights of this fingerprint were published; 0 if none were."""
        try:
            scores = read_json(self.files.scores)
            return int(scores.get("iterations", 0)) if scores.get("fingerprint") == self.fingerprint else 0
        except (InputError, AttributeError):  # none, or damaged
            return 0

    def success(self, trainer: Trainer) -> None:
        """Publish the best weights, and what they say of the validation images."""
        trainer.use_best()
        n_classes = len(self.validation.classes)
        contingency = Contingency.empty(n_classes)

        def scored(image: LabelledArray) -> Iterator[tuple[int, Any]]:
            for z, probabilities in trainer.predict(image):
                contingency.add(image.labels[z : z + 1], probabilities.argmax(axis=0))
                yield z, probabilities

        save_weights(trainer.network.state_dict(), self.genome.id, self.files.weights)
        began = time.monotonic()
        write_probabilities(
            self.files.validation,
            self.validation.checksum,
            n_classes,
            ((image.image.shape, scored(image)) for image in trainer.validation),
        )
        predicting = {
            "seconds": round(time.monotonic() - began, 4),
            "voxels": sum(image.image.size for image in trainer.validation),
        }
        write_history(self.files.history, trainer.history)
        self._write_scores(
            {
                "status": "ok",
                "iterations": trainer.iteration,
                "best_iteration": trainer.chosen_row.iteration,
                "seconds": round(trainer.seconds, 1),
                "prediction": predicting,  # of the validation images, written as well
                "made_with": made_with(trainer.device),
                "validation": scores(contingency),
            }
        )

    def failure(self, status: str, reason: str, history: list[Row]) -> None:
        """Publish that there are no weights, and why."""
        log.error("%s: %s: %s", self.genome.name, status, reason)
        save_weights({}, self.genome.id, self.files.weights)
        write_probabilities(self.files.validation, self.validation.checksum, len(self.validation.classes), [])
        write_history(self.files.history, history)
        self._write_scores({"status": status, "reason": reason})

    def _write_scores(self, outcome: dict[str, Any]) -> None:
        identity = {
            "format": FORMAT,
            "name": self.genome.name,
            "genome": self.genome.id,
            "n_parameters": self.plan.n_parameters if self.plan else None,
            "volumes": [image.name for image in self.validation.images],
            "fingerprint": self.fingerprint,
        }
        write_json(self.files.scores, {**identity, **outcome})


def write_history(path: Path, rows: list[Row]) -> None:
    """Write the rows as CSV, atomically."""
    write_csv(path, [field.name for field in fields(Row)], [astuple(row) for row in rows])
