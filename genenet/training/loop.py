"""The loop of a training: iterations, and the files that are written meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from genenet.core.errors import one_line
from genenet.training import checkpoint
from genenet.training.outcome_files import write_history
from genenet.training.tensorboard import Board
from genenet.training.trainer import Trainer

if TYPE_CHECKING:
    from genenet.core.paths import RunPaths
    from genenet.training.state_file import StateWriter
    from genenet.training.stopping import Stop

Show = Callable[[str], AbstractContextManager[Callable[[Trainer], None]]]  # of a genome's name

log = logging.getLogger(__name__)


class Loop:
    """Trains, and writes checkpoints by the clock, the history and ``state.json``.

    Attributes:
        kept: iterations that the last checkpoint holds.
    """

    def __init__(self, files: RunPaths, states: StateWriter, stop: Stop, kept: int) -> None:
        self.files, self.states, self.stop, self.kept = files, states, stop, kept
        self._disk = _PatientDisk()

    def run(
        self, trainer: Trainer, until: int | None, fingerprint: str, show: Callable[[Trainer], None]
    ) -> bool:
        """Train as far as is wanted (True) or until it must stop (False); both write a checkpoint at the end.

        Args:
            trainer: of the network.
            until: the iteration at which it pauses; None for its end.
            fingerprint: of checkpoints.
            show: is called after each iteration.
        """
        rhythm = checkpoint.Rhythm(trainer.settings.checkpoint_seconds)
        board = Board(self.files.tensorboard) if trainer.settings.tensorboard else None
        if board:
            board.show(trainer.history)
        n_rows = len(trainer.history)
        for _ in trainer.run(until):
            show(trainer)
            if len(trainer.history) > n_rows:
                n_rows = len(trainer.history)
                self._write_history(trainer, board)
            reason = None if trainer.is_done_until(until) else self.stop()
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
        with self._disk.trying(f"{self.files.checkpoint}", kept):
            state = {"fingerprint": fingerprint, "token": self.states.token, **trainer.state()}
            checkpoint.save(self.files.checkpoint, state)
            self.kept = trainer.iteration

    def _write_history(self, trainer: Trainer, board: Board | None) -> None:
        self.states.write()
        with self._disk.trying(f"{self.files.progress}", "training continues"):
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
