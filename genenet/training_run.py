"""One training in its run directory: lock, resume, checkpoints by the clock, what it publishes at the end."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any

from genenet import checkpoint
from genenet.device import choose_device, set_threads
from genenet.errors import naming
from genenet.files import write_csv, write_json
from genenet.inference import NormalisationRule
from genenet.lock import exclusive
from genenet.metrics import Contingency, scores
from genenet.network import save_weights
from genenet.plan import plan
from genenet.prepare import Prepared, open_prepared
from genenet.probabilities import write_probabilities
from genenet.training import Diverged, LabelledArray, Row, Trainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from genenet.genome import Genome
    from genenet.paths import RunPaths
    from genenet.plan import Plan
    from genenet.stages import TrainSettings

FORMAT = "genenet.scores/1"
VERSION = 1  # of what a training does: raise it when the same settings no longer give the same weights

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingRun:
    """A genome, prepared images and settings, to be trained into a run directory."""

    genome: Genome
    train: Path
    validation: Path
    settings: TrainSettings
    files: RunPaths

    def run(
        self, stop_after_minutes: float | None = None, show: Callable[[Trainer], None] | None = None
    ) -> bool:
        """Train to the end and publish; False if the time was over before, with a checkpoint to go on from.

        ``show`` is called after every iteration. A training that diverges or doesn't fit in memory is
        published with that status. Waits while another process trains in the same directory.

        Raises:
            InputError: If data, genome or device can't be used.
        """
        deadline = None if stop_after_minutes is None else time.monotonic() + 60 * stop_after_minutes
        with exclusive(self.files.lock):
            train, validation = open_prepared(self.train), open_prepared(self.validation)
            with naming(f"genome {self.genome.name}"):
                network_plan = plan(self.genome.net, len(train.classes))
            trainer = None
            try:
                trainer = self._trainer(network_plan, train, validation)
                if not self._advance(trainer, self._fingerprint(train, validation), deadline, show):
                    return False
                self._publish(trainer, train, validation)
            except Diverged as error:
                self._publish_failure("diverged", str(error), trainer, train, validation, network_plan)
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                self._publish_failure("out_of_memory", str(error), trainer, train, validation, network_plan)
        return True

    def _trainer(self, network_plan: Plan, train: Prepared, validation: Prepared) -> Trainer:
        settings = self.settings.training
        set_threads(settings.threads)
        rule = NormalisationRule(self.settings.normalisation, train.mean, train.deviation)
        return Trainer(
            self.genome,
            network_plan,
            [LabelledArray.read(image, rule) for image in train.images],
            [LabelledArray.read(image, rule) for image in validation.images],
            train.class_counts,
            settings,
            self.settings.seed,
            choose_device(settings.device),
        )

    def _fingerprint(self, train: Prepared, validation: Prepared) -> str:
        """Return what a checkpoint must agree with: all that the weights depend on."""
        settings = self.settings.model_dump(
            mode="json", exclude={"training": {"device", "checkpoint_seconds"}}
        )
        parts = [VERSION, self.genome.id, settings, len(train.classes), train.checksum, validation.checksum]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _advance(
        self,
        trainer: Trainer,
        fingerprint: str,
        deadline: float | None,
        show: Callable[[Trainer], None] | None,
    ) -> bool:
        """Train to the end (True) or the deadline (False); a checkpoint is there after both."""
        state = checkpoint.load(self.files.checkpoint, fingerprint)
        if state is None:
            self.files.progress.unlink(missing_ok=True)
        else:
            trainer.restore(state)
            log.info("going on from iteration %d of %d", trainer.iteration, trainer.settings.iterations)
        saved, n_rows = time.monotonic(), len(trainer.history)
        for _ in trainer.run():
            if show:
                show(trainer)
            if len(trainer.history) > n_rows:
                n_rows = len(trainer.history)
                write_history(self.files.progress, trainer.history)
            now = time.monotonic()
            late = deadline is not None and now >= deadline and not trainer.is_done
            if late or now - saved >= trainer.settings.checkpoint_seconds:
                checkpoint.save(self.files.checkpoint, {"fingerprint": fingerprint, **trainer.state()})
                saved = now
            if late:
                log.info("time is over at iteration %d; a checkpoint is kept", trainer.iteration)
                return False
        checkpoint.save(self.files.checkpoint, {"fingerprint": fingerprint, **trainer.state()})
        return True

    def _publish(self, trainer: Trainer, train: Prepared, validation: Prepared) -> None:
        trainer.use_best()
        contingency = Contingency.empty(len(train.classes))

        def scored(image: LabelledArray) -> Iterator[tuple[int, Any]]:
            for z, probabilities in trainer.predict(image):
                contingency.add(image.labels[z : z + 1], probabilities.argmax(axis=0))
                yield z, probabilities

        save_weights(trainer.network.state_dict(), self.genome.id, self.files.weights)
        write_probabilities(
            self.files.validation,
            validation.checksum,
            len(train.classes),
            ((image.image.shape, scored(image)) for image in trainer.validation),
        )
        write_history(self.files.history, trainer.history)
        outcome = {
            "status": "ok",
            "iterations": trainer.iteration,
            "best_iteration": trainer.best_row.iteration,
            "seconds": round(trainer.seconds, 1),
            "validation": scores(contingency),
        }
        write_json(self.files.scores, self._scores(outcome, trainer.network.plan, validation))

    def _publish_failure(
        self,
        status: str,
        reason: str,
        trainer: Trainer | None,
        train: Prepared,
        validation: Prepared,
        network_plan: Plan,
    ) -> None:
        log.error("%s: %s: %s", self.genome.name, status, reason)
        save_weights({}, self.genome.id, self.files.weights)
        write_probabilities(self.files.validation, validation.checksum, len(train.classes), [])
        write_history(self.files.history, trainer.history if trainer else [])
        write_json(
            self.files.scores, self._scores({"status": status, "reason": reason}, network_plan, validation)
        )

    def _scores(self, outcome: dict[str, Any], network_plan: Plan, validation: Prepared) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.genome.name,
            "genome": self.genome.id,
            "n_parameters": network_plan.n_parameters,
            "volumes": [image.name for image in validation.images],
            **outcome,
        }


def write_history(path: Path, rows: list[Row]) -> None:
    """Write the rows as CSV, atomically."""
    write_csv(path, [field.name for field in fields(Row)], [astuple(row) for row in rows])


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text
