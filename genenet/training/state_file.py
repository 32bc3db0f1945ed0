"""``state.json``: the progress of a training, written with its heartbeat and read by ``genenet status``."""

from __future__ import annotations

import math
import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from genenet.core.atomic_files import write_json
from genenet.core.models import Closed
from genenet.core.tolerant_read import try_read

if TYPE_CHECKING:
    from pathlib import Path

    from genenet.training.trainer import Trainer


class TrainingState(Closed):
    """The progress of a training; the file's own time says when it was written.

    Attributes:
        iteration: the last one that is done.
        iterations: at which the training ends, or pauses at the end of its rung.
        best_ari: of the best validation so far; None before the first.
        best_mean_iou: likewise.
        seconds_per_iteration: of all attempts, validations included; None before the first iteration.
        seconds_since_iteration: how long ago the last iteration was done when this was written.
        token: of the lock that the writer held, as in ``attempts.json``.
        host: that the training runs on.
        slurm_job_id: of its job; None outside of Slurm.
    """

    format: Literal["genenet.state/1"] = "genenet.state/1"
    iteration: int
    iterations: int
    best_ari: float | None = None
    best_mean_iou: float | None = None
    seconds_per_iteration: float | None = None
    seconds_since_iteration: float = 0.0
    token: str | None = None
    host: str
    slurm_job_id: str | None = None


def read_state(path: Path) -> tuple[TrainingState, float] | None:
    """Return a training's state and when it was written; None if the file is missing or isn't such a file."""
    if (seen := try_read(path)) is None:
        return None
    try:
        return TrainingState.model_validate(seen.json()), seen.time
    except ValidationError:
        return None


class StateWriter:
    """Writes ``state.json``: with each heartbeat, after each validation, and at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.token: str | None = None  # of the lock; known once it is held
        self._iterations = 0
        self._trainer: Trainer | None = None
        self._iteration, self._since = -1, time.monotonic()

    def follow(self, trainer: Trainer, iterations: int) -> None:
        """From now on, write what this trainer has done on its way to ``iterations``."""
        self._trainer, self._iterations = trainer, iterations
        self.write()

    def write(self) -> None:
        """Write the file; a disk that is full is no reason to end a training."""
        if self._trainer is None:
            return
        iteration, now = self._trainer.iteration, time.monotonic()
        if iteration != self._iteration:
            self._iteration, self._since = iteration, now
        best = self._best_scores()
        state = TrainingState(
            iteration=iteration,
            iterations=self._iterations,
            best_ari=best.get("ari"),
            best_mean_iou=best.get("mean_iou"),
            seconds_per_iteration=self._trainer.seconds / iteration if iteration else None,
            seconds_since_iteration=round(now - self._since, 1),
            token=self.token,
            host=socket.gethostname(),
            slurm_job_id=os.environ.get("SLURM_JOB_ID"),
        )
        with suppress(OSError):
            write_json(self.path, state.model_dump(mode="json"))

    def _best_scores(self) -> dict[str, float]:
        """Return ARI and mean IoU of the best validation so far, as far as they are defined."""
        if self._trainer is None:
            return {}
        metric = self._trainer.settings.stopping.metric
        known = [row for row in self._trainer.history if math.isfinite(row.score(metric))]
        if not known:
            return {}
        best = max(known, key=lambda row: row.score(metric))
        scores = {"ari": best.validation_ari, "mean_iou": best.validation_mean_iou}
        return {name: value for name, value in scores.items() if math.isfinite(value)}
