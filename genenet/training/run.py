"""One training in its run directory: lock, resume, checkpoints by the clock, attempts that are given up."""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from genenet.core.errors import InputError, one_line
from genenet.core.lock import exclusive
from genenet.core.resources import available_memory, peak_memory
from genenet.genes.memory import TORCH_BYTES, training_bytes
from genenet.genes.plan import Plan, plan
from genenet.networks.device import choose_device, is_out_of_memory, set_threads
from genenet.training import checkpoint
from genenet.training.attempts import Attempts
from genenet.training.outcome_files import Publication, write_history
from genenet.training.prepare import Prepared, open_prepared
from genenet.training.prepared_images import BORDER_MAP_BYTES, read_images
from genenet.training.stopping import Stop
from genenet.training.tensorboard import Board
from genenet.training.trainer import Diverged, Trainer
from genenet.volumes.normalisation import NormalisationRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from genenet.config.stages import TrainSettings
    from genenet.core.paths import RunPaths
    from genenet.genes.genome import Genome

VERSION = 4  # of what a training does: raise it when the same settings no longer give the same weights
OBSERVERS = {"device", "checkpoint_seconds", "data_memory_mb", "tensorboard"}  # they change no weight

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingRun:
    """A genome, prepared images and settings, to be trained into a run directory."""

    genome: Genome
    train: Path
    validation: Path
    settings: TrainSettings
    files: RunPaths
    until: int | None = None  # iterations after which it pauses, published as it is; None: at the end

    def run(self, stop: Stop | None = None, show: Callable[[Trainer], None] | None = None) -> bool:
        """Train to the end (or ``until``) and publish; False if it had to stop before, with a checkpoint to go on from.

        ``show`` is called after every iteration. A training that can't be built, diverges, doesn't fit in
        memory, or has crashed again and again without progress is published with that status. Waits while
        another process trains in the same directory.

        Raises:
            InputError: If data or device can't be used.
        """
        with exclusive(self.files.lock):
            train, validation = open_prepared(self.train), open_prepared(self.validation)
            try:
                network_plan = plan(self.genome.net, len(train.classes))
            except InputError as error:
                self._publication(None, validation).failure("infeasible", str(error), [])
                return True
            return self._attempt(network_plan, train, validation, stop or Stop(), show)

    def _publication(
        self, network_plan: Plan | None, validation: Prepared, fingerprint: str | None = None
    ) -> Publication:
        return Publication(self.files, self.genome, network_plan, validation, fingerprint)

    def _attempt(
        self,
        network_plan: Plan,
        train: Prepared,
        validation: Prepared,
        stop: Stop,
        show: Callable[[Trainer], None] | None,
    ) -> bool:
        """Train and publish, unless it isn't worth another attempt: then publish that."""
        fingerprint = self._fingerprint(train, validation)
        publication = self._publication(network_plan, validation, fingerprint)
        attempts = Attempts(self.files.attempts, fingerprint)
        state = checkpoint.load(self.files.checkpoint, fingerprint, self.settings.training.iterations)
        start = state["iteration"] if state else 0
        if self.until is not None and state and publication.iterations() >= self.until:
            log.info("has %d iterations already; %d are asked for", start, self.until)
            return True
        if reason := attempts.hopeless(start):
            attempts.give_up(start)
            publication.failure("failed", reason, [])
            return True
        trainer: Trainer | None = None
        with attempts.attempt(start, lambda: trainer.iteration if trainer else start):
            try:
                trainer = self._trainer(network_plan, train, validation)
                self._restore(trainer, state)
                del state  # its tensors were copied
                finished = self._advance(trainer, fingerprint, stop, show)
                _log_memory(trainer, network_plan)
                if finished:
                    publication.success(trainer)
            except (Diverged, MemoryError, RuntimeError) as error:
                status = _status(error)
                if status is None:
                    raise
                reason = one_line(error.with_traceback(None))  # its frames hold a batch
                publication.failure(status, reason, trainer.history if trainer else [])
                return True
        if not finished:
            attempts.stopped(trainer.iteration)
        return finished

    def _trainer(self, network_plan: Plan, train: Prepared, validation: Prepared) -> Trainer:
        settings = self.settings.training
        set_threads(settings.threads)
        rule = NormalisationRule(self.settings.normalisation, train.mean, train.deviation)
        memory = settings.data_memory_mb * 1e6 if settings.data_memory_mb else available_memory() / 2
        weight_bytes = BORDER_MAP_BYTES if settings.loss.border_weight else 0
        train_images, validation_images = read_images((train, validation), rule, memory, weight_bytes)
        return Trainer(
            self.genome,
            network_plan,
            train_images,
            validation_images,
            train.class_counts,
            settings,
            self.settings.seed,
            choose_device(settings.device),
            self.settings.repeat,
        )

    def _fingerprint(self, train: Prepared, validation: Prepared) -> str:
        """Return what a checkpoint must agree with: all that the weights depend on.

        How many iterations there are is left out where those that were done are the first ones of a longer training.
        """
        training = self.settings.training
        is_longer_alike = (
            not training.schedule.depends_on_end and not training.iterations % training.validation_interval
        )
        unused = OBSERVERS | ({"iterations"} if is_longer_alike else set())
        settings = self.settings.model_dump(mode="json", exclude={"training": unused})
        parts = [VERSION, self.genome.id, settings, len(train.classes), train.checksum, validation.checksum]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _restore(self, trainer: Trainer, state: dict[str, Any] | None) -> None:
        if state is None:
            self.files.progress.unlink(missing_ok=True)
        else:
            trainer.restore(state)
            log.info("going on from iteration %d of %d", trainer.iteration, trainer.settings.iterations)

    def _advance(
        self,
        trainer: Trainer,
        fingerprint: str,
        stop: Stop,
        show: Callable[[Trainer], None] | None,
    ) -> bool:
        """Train as far as is wanted (True) or until it must stop (False); a checkpoint is there after both."""
        rhythm = checkpoint.Rhythm(trainer.settings.checkpoint_seconds)
        board = Board(self.files.tensorboard) if trainer.settings.tensorboard else None
        if board:
            board.show(trainer.history)
        n_rows = len(trainer.history)
        for _ in trainer.run(self.until):
            if show:
                show(trainer)
            if len(trainer.history) > n_rows:
                n_rows = len(trainer.history)
                self._show_history(trainer, board)
            reason = None if trainer.is_done_until(self.until) else stop()
            if reason or rhythm.is_due():
                with rhythm.saving():
                    self._save(trainer, fingerprint)
            if reason:
                log.info("%s at iteration %d; a checkpoint is kept", reason, trainer.iteration)
                return False
        self._save(trainer, fingerprint)
        return True

    def _save(self, trainer: Trainer, fingerprint: str) -> None:
        what = f"the checkpoint of iteration {trainer.iteration}"
        with _whatever_the_disk_says(what, "the one before it is kept, training goes on"):
            checkpoint.save(self.files.checkpoint, {"fingerprint": fingerprint, **trainer.state()})

    def _show_history(self, trainer: Trainer, board: Board | None) -> None:
        with _whatever_the_disk_says(f"{self.files.progress}", "training goes on"):
            write_history(self.files.progress, trainer.history)
            if board:
                board.show(trainer.history)


@contextmanager
def _whatever_the_disk_says(what: str, then: str) -> Iterator[None]:
    """Log what can't be written, to a disk that is full; that isn't the end of a training."""
    try:
        yield
    except OSError as error:
        log.error("%s can't be written (%s); %s", what, one_line(error), then)


def _log_memory(trainer: Trainer, network_plan: Plan) -> None:
    """Compare the memory that a training took with what was estimated (genenet inspect)."""
    on_gpu = trainer.device.type == "cuda"
    value_bytes = 4 if trainer.learner.type is None else 2
    estimate = training_bytes(network_plan, trainer.settings.batch_size, value_bytes)
    used = torch.cuda.max_memory_allocated(trainer.device) if on_gpu else peak_memory()
    if not on_gpu:
        estimate += TORCH_BYTES
    log.info(
        "memory: %.0f MB at most, images included; %.0f MB estimated without them", used / 1e6, estimate / 1e6
    )


def _status(error: BaseException) -> str | None:
    """Return the status that an exception of a training stands for; None for one that is a crash."""
    if isinstance(error, Diverged):
        return "diverged"
    return "out_of_memory" if is_out_of_memory(error) else None
