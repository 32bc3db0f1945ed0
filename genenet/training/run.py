"""One training in its folder: lock, resume, and the consequences of how an attempt ends."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from genenet.config.settings import TrainSettings, read_settings
from genenet.core.atomic_files import checked_before_renames
from genenet.core.attempts import Attempts, Verdict, fingerprint_of_files
from genenet.core.errors import InputError, one_line
from genenet.core.lock import TIMING, Timing, WaitingStoppedError, exclusive
from genenet.genes.genome import read_genome
from genenet.genes.plan import plan
from genenet.networks.device import choose_device, is_out_of_memory, set_threads
from genenet.training import checkpoint
from genenet.training.inputs import Inputs
from genenet.training.loop import Loop
from genenet.training.memory import check_alone, log_memory
from genenet.training.outcome_files import Publication
from genenet.training.prepared import open_prepared
from genenet.training.state_file import StateWriter
from genenet.training.stopping import Stop
from genenet.training.trainer import Diverged, Row

if TYPE_CHECKING:
    from pathlib import Path

    from genenet.core.paths import RunPaths
    from genenet.genes.plan import Plan
    from genenet.training.loop import Show
    from genenet.training.parent import Parent, ParentOf, StartOf
    from genenet.training.scores import Status
    from genenet.training.trainer import Trainer

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
        parent_of: finds the parent whose weights a child begins with, if the settings ask for that.
        start_of: finds the network of another search whose weights the training begins with, likewise.
    """

    genome: Path
    train: Path
    validation: Path | None
    settings: Path
    files: RunPaths
    until: int | None = None
    iterations: int | None = None
    parent_of: ParentOf | None = None
    start_of: StartOf | None = None

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
            network_plan = plan(inputs.genome.net, len(inputs.train.outputs))
        except InputError as error:
            self.publication.failure("infeasible", str(error))
            return True
        parent = before.prepare(partial(self._parent, inputs, network_plan))
        if isinstance(parent, Verdict):
            return self._give_up(parent)
        inputs = replace(inputs, parent=parent)
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

    def _parent(self, inputs: Inputs, network_plan: Plan) -> Parent | None:
        settings, found = inputs.settings, None
        if settings.inherits:
            if self.paths.parent_of is None:
                raise self._without_results("a parent")
            return self.paths.parent_of(inputs.genome, network_plan)
        if settings.starts:
            if self.paths.start_of is None:
                raise self._without_results("another search (training.start)")
            found = self.paths.start_of(inputs.genome)
        if found and found.origin and (seen := found.origin.seen([i.name for i in inputs.validation.images])):
            log.warning(
                "validation: the networks of %s may have learned from %s, so scores are too high; validate on other "
                "images or regions",
                found.origin.folder,
                ", ".join(seen),
            )
        return found

    def _without_results(self, whose: str) -> InputError:
        return InputError(
            f"{self.paths.settings}: this training begins with the weights of {whose}; name the results folder with "
            "--results"
        )

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
            self.trainer = trainer = inputs.trainer(network_plan, device, is_new=state is None)
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
