"""One training in its folder: lock, resume, checkpoints by the clock, and the consequences of how an attempt ends."""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from genenet.core.atomic_files import checked_before_renames
from genenet.core.attempts import Attempts, Verdict
from genenet.core.errors import InputError, one_line
from genenet.core.lock import TIMING, Timing, WaitingStoppedError, exclusive
from genenet.core.resources import available_memory, peak_memory
from genenet.genes.memory import TORCH_BYTES, training_bytes
from genenet.genes.plan import Plan, plan
from genenet.networks.device import choose_device, is_out_of_memory, set_threads
from genenet.training import checkpoint
from genenet.training.outcome_files import Publication, write_history
from genenet.training.prepare import Prepared, open_prepared
from genenet.training.prepared_images import BORDER_MAP_BYTES, read_images
from genenet.training.state_file import StateWriter
from genenet.training.stopping import Stop
from genenet.training.tensorboard import Board
from genenet.training.trainer import Diverged, Row, Trainer
from genenet.volumes.normalisation import NormalisationRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from genenet.config.stages import TrainSettings
    from genenet.core.paths import RunPaths
    from genenet.genes.genome import Genome
    from genenet.training.scores import Status

VERSION = 4  # of what a training does: raise it when the same settings no longer give the same weights
OBSERVERS = {"device", "checkpoint_seconds", "data_memory_mb", "tensorboard"}  # they change no weight

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingRun:
    """A genome, prepared images and settings, to be trained into a folder.

    ``until`` is the iteration at which the training pauses, published as it is; None: it is trained to the end.
    """

    genome: Genome
    train: Path
    validation: Path
    settings: TrainSettings
    files: RunPaths
    until: int | None = None

    def run(
        self,
        stop: Stop | None = None,
        show: Callable[[Trainer], None] | None = None,
        timing: Timing = TIMING,
    ) -> bool:
        """Train to the end (or ``until``) and publish; False if it had to stop before, with a checkpoint.

        ``show`` is called after every iteration. A training that can't be built, diverges, doesn't fit in memory, or
        of which no other attempt is worth it (``genenet.core.attempts``) is published with that status. Waits while
        another process trains in the same folder.

        Raises:
            InputError, MachineError: If data or device can't be used. Their ``status`` is the exit code.
        """
        states, stop = StateWriter(self.files.state), stop or Stop()
        try:
            with (
                exclusive(self.files.lock, states.write, timing, stop) as lock,
                checked_before_renames(lock.check),
            ):
                states.token = lock.token
                return _Session(self, lock.token, states, stop, show).run()
        except WaitingStoppedError as reason:
            log.info("%s while waiting for the other process", reason)
            return False


class _Session:
    """The training by the one process that holds the lock."""

    def __init__(
        self,
        run: TrainingRun,
        token: str,
        states: StateWriter,
        stop: Stop,
        show: Callable[[Trainer], None] | None,
    ) -> None:
        self.settings, self.genome, self.files, self.until = run.settings, run.genome, run.files, run.until
        self.paths = run.train, run.validation
        self.token, self.states, self.stop, self.show = token, states, stop, show
        self.disk = _PatientDisk()
        self.trainer: Trainer | None = None
        self.rows: list[Row] = []  # of the history, before there is a trainer
        self.kept = 0  # iterations that the last checkpoint holds

    def run(self) -> bool:
        """Train and publish; False if it had to stop before."""
        try:
            train, validation = (open_prepared(path) for path in self.paths)
        except (InputError, OSError) as error:
            return self._without_images(error)
        try:
            network_plan = plan(self.genome.net, len(train.classes))
        except InputError as error:
            Publication(self.files, self.genome, None, validation).failure("infeasible", str(error))
            return True
        return self._attempt(network_plan, train, validation)

    def _without_images(self, error: Exception) -> bool:
        """Count an attempt that couldn't even read the prepared images."""

        def fails() -> bool:
            raise error

        attempts = Attempts(self.files.attempts, f"{self.genome.id}, images not read", self.token)
        result = attempts.run(fails, 0, lambda: 0, lambda: 0)
        assert isinstance(result, Verdict)
        Publication(self.files, self.genome, None, None).failure(result.status, result.reason)
        return True

    def _attempt(self, network_plan: Plan, train: Prepared, validation: Prepared) -> bool:
        """Train and publish; if the training was given up, publish that instead."""
        fingerprint = self._fingerprint(train, validation)
        publication = Publication(self.files, self.genome, network_plan, validation, fingerprint)
        attempts = Attempts(self.files.attempts, fingerprint, self.token)
        state = checkpoint.load(
            self.files.checkpoint,
            fingerprint,
            self.settings.training.iterations,
            attempts.is_of_a_lost_lock,
        )
        self.kept = start = state["iteration"] if state else 0
        self.rows = [Row(**row) for row in state["history"]] if state else []
        if self.until is not None and state and publication.iterations() >= self.until:
            log.info("has %d iterations already; %d are asked for", start, self.until)
            return True

        def work() -> bool:
            return self._train(publication, network_plan, train, validation, state)

        result = attempts.run(
            work, start, lambda: self.trainer.iteration if self.trainer else start, lambda: self.kept
        )
        self.states.write()
        if isinstance(result, Verdict):
            publication.failure(result.status, result.reason, self._history())
            return True
        return result

    def _history(self) -> list[Row]:
        return self.trainer.history if self.trainer else self.rows

    def _train(
        self,
        publication: Publication,
        network_plan: Plan,
        train: Prepared,
        validation: Prepared,
        state: dict[str, Any] | None,
    ) -> bool:
        """Train from ``state``; publish the outcome of the genome itself. False if it had to stop before."""
        assert publication.fingerprint
        try:
            self.trainer = trainer = self._trainer(network_plan, train, validation)
            self._restore(trainer, state)
            self.states.follow(trainer, self.until or trainer.settings.iterations)
            finished = self._advance(trainer, publication.fingerprint)
            _log_memory(trainer, network_plan)
            if finished:
                publication.success(trainer)
        except (Diverged, MemoryError, RuntimeError) as error:
            status = _status(error)
            if status is None:
                raise
            reason = one_line(error.with_traceback(None))  # its frames hold a batch
            publication.failure(status, reason, self._history())
            return True
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

        The number of iterations is left out if the iterations that were done are the first ones of a longer training.
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
            return
        trainer.restore(state)
        state.clear()  # its tensors were copied
        log.info("continuing from iteration %d of %d", trainer.iteration, trainer.settings.iterations)

    def _advance(self, trainer: Trainer, fingerprint: str) -> bool:
        """Train as far as is wanted (True) or until it must stop (False); both write a checkpoint at the end."""
        rhythm = checkpoint.Rhythm(trainer.settings.checkpoint_seconds)
        board = Board(self.files.tensorboard) if trainer.settings.tensorboard else None
        if board:
            board.show(trainer.history)
        n_rows = len(trainer.history)
        for _ in trainer.run(self.until):
            if self.show:
                self.show(trainer)
            if len(trainer.history) > n_rows:
                n_rows = len(trainer.history)
                self._show_history(trainer, board)
            reason = None if trainer.is_done_until(self.until) else self.stop()
            if reason or rhythm.is_due():
                with rhythm.saving():
                    self._save(trainer, fingerprint)
            if reason:
                log.info("%s at iteration %d; a checkpoint is kept", reason, trainer.iteration)
                return False
        self._save(trainer, fingerprint)
        return True

    def _save(self, trainer: Trainer, fingerprint: str) -> None:
        kept = f"training continues, and the checkpoint of iteration {self.kept} is kept"
        with self.disk.trying(f"{self.files.checkpoint}", kept):
            state = {"fingerprint": fingerprint, "token": self.token, **trainer.state()}
            checkpoint.save(self.files.checkpoint, state)
            self.kept = trainer.iteration

    def _show_history(self, trainer: Trainer, board: Board | None) -> None:
        self.states.write()
        with self.disk.trying(f"{self.files.progress}", "training continues"):
            write_history(self.files.progress, trainer.history)
            if board:
                board.show(trainer.history)


class _PatientDisk:
    """Lets a training continue when a file can't be written; logs it once, until the file can be written again."""

    def __init__(self) -> None:
        self._failing: set[str] = set()

    @contextmanager
    def trying(self, file: str, then: str) -> Iterator[None]:
        """Try to write a file."""
        try:
            yield
        except OSError as error:
            if file not in self._failing:
                log.error("%s can't be written (%s); %s", file, one_line(error), then)
            self._failing.add(file)
        else:
            self._failing.discard(file)


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


def _status(error: BaseException) -> Status | None:
    """Return the status for an exception that the genome itself caused; None for all others."""
    if isinstance(error, Diverged):
        return "diverged"
    return "out_of_memory" if is_out_of_memory(error) else None
