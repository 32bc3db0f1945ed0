"""One training in its folder: lock, resume, and the consequences of how an attempt ends."""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial, reduce
from operator import getitem
from typing import TYPE_CHECKING, Any

from genenet.config.settings import TrainSettings, read_settings
from genenet.core.atomic_files import checked_before_renames
from genenet.core.attempts import Attempts, Verdict, fingerprint_of_files
from genenet.core.errors import InputError, one_line
from genenet.core.lock import TIMING, Timing, WaitingStoppedError, exclusive
from genenet.core.resources import available_memory
from genenet.genes.genome import Genome, read_genome
from genenet.genes.plan import Plan, plan
from genenet.networks.device import choose_device, is_out_of_memory, set_threads
from genenet.training import checkpoint
from genenet.training.loop import Loop
from genenet.training.memory import check_alone, log_memory
from genenet.training.outcome_files import Publication
from genenet.training.prepared import Prepared, open_prepared
from genenet.training.prepared_images import BORDER_MAP_BYTES, read_images
from genenet.training.state_file import StateWriter
from genenet.training.stopping import Stop
from genenet.training.trainer import Diverged, Row, Trainer

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from genenet.core.paths import RunPaths
    from genenet.training.loop import Show
    from genenet.training.scores import Status

VERSION = 4  # of what a training does: raise it when the same settings no longer give the same weights
# They change no weight; of refit_iterations come the iterations of the refit, which count
OBSERVERS = {"device", "checkpoint_seconds", "data_memory_mb", "tensorboard", "refit_iterations"}
# Keys that were added later, and values with which the weights are as they were without them
LATER_KEYS: dict[tuple[str, ...], Any] = {
    ("training", "stopping", "metric"): "ari",
    ("training", "deep_supervision"): False,
    ("training", "augmentation", "rotation_degrees"): 0.0,
    ("training", "augmentation", "scaling"): 0.0,
    ("training", "augmentation", "curves"): 0.0,
    ("training", "augmentation", "random_convolutions"): 0.0,
}

log = logging.getLogger(__name__)


def show_nothing(_name: str) -> nullcontext[Any]:
    """Show no progress."""
    return nullcontext(lambda _trainer: None)


@dataclass(frozen=True)
class TrainingRun:
    """The files that a training is made from, and its folder.

    Attributes:
        genome: to be trained.
        train: prepared images.
        validation: prepared images; None: all images are trained on, and the last weights are kept.
        settings: of the training, as the workflow writes them.
        files: that the training writes.
        until: the iteration at which it pauses, published as it is; None: it is trained to the end.
        iterations: instead of those of the settings; None: those of the settings.
    """

    genome: Path
    train: Path
    validation: Path | None
    settings: Path
    files: RunPaths
    until: int | None = None
    iterations: int | None = None

    def run(self, stop: Stop | None = None, show: Show = show_nothing, timing: Timing = TIMING) -> bool:
        """Train to the end (or ``until``) and publish; False if it had to stop before, with a checkpoint.

        A training that can't be built, diverges, doesn't fit in memory, or of which no other attempt is worth it
        (``genenet.core.attempts``) is published with that status. Waits while another process trains in the folder.

        Args:
            stop: tells when to stop.
            show: gives, for the genome's name, a function that is called after every iteration.
            timing: of the lock.

        Raises:
            InputError, MachineError: If files or device can't be used. Their ``status`` is the exit code.
            OSError: If the folder can't be written.
        """
        states, stop = StateWriter(self.files.state), stop or Stop()
        try:
            with (
                exclusive(self.files.lock, states.write, timing, stop) as lock,
                checked_before_renames(lock.check),
            ):
                states.token = lock.token
                return _Session(self, states, stop, show).run()
        except WaitingStoppedError as reason:
            log.info("%s while waiting for the other process", reason)
            return False


@dataclass(frozen=True)
class Inputs:
    """What a training is made from, read from its files."""

    genome: Genome
    settings: TrainSettings
    train: Prepared
    validation: Prepared

    @property
    def fingerprint(self) -> str:
        """What a checkpoint must agree with: all that the weights depend on.

        The number of iterations is left out if the iterations that were done are the first ones of a longer training.
        """
        training = self.settings.training
        is_longer_alike = (
            not training.schedule.depends_on_end and not training.iterations % training.validation_interval
        )
        unused = OBSERVERS | ({"iterations"} if is_longer_alike else set())
        settings = self.settings.model_dump(mode="json", exclude={"training": unused})
        for (*sections, key), default in LATER_KEYS.items():
            section = reduce(getitem, sections, settings)
            if section[key] == default:
                del section[key]
        images = len(self.train.classes), self.train.checksum, self.validation.checksum
        parts = [VERSION, self.genome.id, settings, *images]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def trainer(self, network_plan: Plan, device: torch.device) -> Trainer:
        """Read the images, and return a trainer at iteration 0."""
        settings, train = self.settings.training, self.train
        rule = train.rule(self.settings.normalisation)
        memory = settings.data_memory_mb * 1e6 if settings.data_memory_mb else available_memory() / 2
        weight_bytes = BORDER_MAP_BYTES if settings.loss.border_weight else 0
        train_images, validation_images = read_images((train, self.validation), rule, memory, weight_bytes)
        return Trainer(
            self.genome,
            network_plan,
            train_images,
            validation_images,
            train.class_counts,
            settings,
            self.settings.seed,
            device,
            self.settings.repeat,
        )


class _Session:
    """The training by the one process that holds the lock."""

    def __init__(self, run: TrainingRun, states: StateWriter, stop: Stop, show: Show) -> None:
        self.paths, self.files, self.states, self.stop, self.show = run, run.files, states, stop, show
        self.publication = Publication(run.files)  # which knows more and more of the training
        self.trainer: Trainer | None = None
        self.rows: list[Row] = []  # of the history, before there is a trainer

    def run(self) -> bool:
        """Train and publish; False if it had to stop before."""
        given = (self.paths.genome, self.paths.settings, self.paths.train, self.paths.validation)
        files = [path for path in given if path]
        before = Attempts(self.files.attempts, fingerprint_of_files(files), self.states.token)
        inputs = before.prepare(self._read)
        if isinstance(inputs, Verdict):
            return self._give_up(inputs)
        try:
            network_plan = plan(inputs.genome.net, len(inputs.train.classes))
        except InputError as error:
            self.publication.failure("infeasible", str(error))
            return True
        self.publication = replace(self.publication, plan=network_plan, fingerprint=inputs.fingerprint)
        attempts = Attempts(self.files.attempts, inputs.fingerprint, self.states.token)
        load = partial(
            checkpoint.load,
            *(self.files.checkpoint, inputs.fingerprint),
            *(inputs.settings.training.iterations, attempts.is_of_a_lost_lock),
        )
        state = before.prepare(load)
        if isinstance(state, Verdict):
            return self._give_up(state)
        return self._attempt(attempts, inputs, network_plan, state)

    def _read(self) -> Inputs:
        genome = read_genome(self.paths.genome)
        self.publication = replace(self.publication, genome=genome)
        settings = read_settings(self.paths.settings, TrainSettings)
        if self.paths.iterations:
            training = settings.training.model_copy(update={"iterations": self.paths.iterations})
            settings = settings.model_copy(update={"training": training})
        train = open_prepared(self.paths.train)
        validation = open_prepared(self.paths.validation) if self.paths.validation else train.without_images()
        self.publication = replace(self.publication, validation=validation)
        return Inputs(genome, settings, train, validation)

    def _give_up(self, verdict: Verdict) -> bool:
        """Publish it. The training is over."""
        self.publication.failure(verdict.status, verdict.reason, self._history())
        return True

    def _history(self) -> list[Row]:
        return self.trainer.history if self.trainer else self.rows

    def _attempt(
        self, attempts: Attempts, inputs: Inputs, network_plan: Plan, state: dict[str, Any] | None
    ) -> bool:
        """Train and publish; if the training was given up, publish that instead."""
        start, until = state["iteration"] if state else 0, self.paths.until
        self.rows = [Row(**row) for row in state["history"]] if state else []
        if until is not None and state and self.publication.iterations() >= until:
            log.info("has %d iterations already; %d are asked for", start, until)
            return True
        loop = Loop(self.files, self.states, self.stop, start)
        result = attempts.run(
            lambda: self._train(loop, inputs, network_plan, state),
            start,
            lambda: self.trainer.iteration if self.trainer else start,
            lambda: loop.kept,
        )
        self.states.write()
        return self._give_up(result) if isinstance(result, Verdict) else result

    def _train(self, loop: Loop, inputs: Inputs, network_plan: Plan, state: dict[str, Any] | None) -> bool:
        """Train from ``state``; publish the outcome of the genome itself. False if it had to stop before."""
        settings = inputs.settings.training
        set_threads(settings.threads)
        device = choose_device(settings.device)
        try:
            self.trainer = trainer = inputs.trainer(network_plan, device)
            self._restore(trainer, state)
            log.info("computing on %s: %s", device, trainer.learner.arithmetic.text(device))
            self.states.follow(trainer, self.paths.until or settings.iterations)
            with self.show(inputs.genome.name) as show:
                finished = loop.run(trainer, self.paths.until, inputs.fingerprint, show)
            log_memory(network_plan, settings, device)
            if finished:
                self.publication.success(trainer)
        except Diverged as error:
            return self._fail("diverged", error)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            parts = self.trainer.learner.parts if self.trainer else 1
            check_alone(error, network_plan, settings, device, parts)
            return self._fail("out_of_memory", error)
        return finished

    def _fail(self, status: Status, error: Exception) -> bool:
        """Publish a failure of the genome itself. The training is over."""
        reason = one_line(error.with_traceback(None))  # its frames hold a batch
        self.publication.failure(status, reason, self._history())
        return True

    def _restore(self, trainer: Trainer, state: dict[str, Any] | None) -> None:
        if state is None:
            self.files.progress.unlink(missing_ok=True)
            return
        trainer.restore(state)
        state.clear()  # its tensors were copied
        log.info("continuing from iteration %d of %d", trainer.iteration, trainer.settings.iterations)
