"""One training as a job of submitit, which runs it in slices of walltime."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from genenet.cluster.submit_options import PAUSE_SECONDS
from genenet.core import exit_codes
from genenet.core.attempt_records import read_attempts
from genenet.core.attempts import WITHOUT_PROGRESS
from genenet.core.paths import RunPaths
from genenet.training.stopping import SIGNALS

STOP_SECONDS = 60  # time for the last checkpoint of a training
LONGEST_PAUSE_SECONDS = 300.0  # before a training that failed is started again
# A job that still runs so long after its training has stopped wasn't meant to stop.
OUTLIVED_SECONDS = 120
# exit statuses of a stopped training; the signals are those of one that couldn't handle them yet
INTERRUPTED = {exit_codes.INTERRUPTED, -signal.SIGINT}
STOPPED = {exit_codes.STOPPED, *(-s for s in SIGNALS), *(128 + s for s in SIGNALS)}


@dataclass(eq=False)
class TrainingJob:
    """One training as a job of submitit: each slice of walltime continues from the checkpoint of the last.

    Attributes:
        run: r0/000 or baselines/unet2015; of a pack r0/000-007.
        command: of the training.
        folder: which the paths are relative to.
        inputs: files that the training is made from.
        outputs: files that it publishes.
        log: of the training.
        members: of a pack, its trainings; none if this is one training.
        pause_seconds: after a first failure.
        failures: in a row, at the same iteration.
        began: the iteration at which the last failed attempt began, of a pack the sum of its members'; None if it isn't
            known.
    """

    run: str
    command: list[str]
    folder: str
    inputs: list[str]
    outputs: list[str]
    log: str
    pause_seconds: float = PAUSE_SECONDS
    members: list[TrainingJob] = field(default_factory=list)
    failures: int = 0
    began: int | None = None
    child: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    def __call__(self) -> None:
        """Train to the end; start again after a failure, until the training itself gives up and publishes that.

        Slurm signals this process and its child at the same time. When the child has stopped, the signal's
        handler (``checkpoint``) or the end of the job comes within ``OUTLIVED_SECONDS``.
        """
        if os.environ.get("SUBMITIT_EXECUTOR") == "local":
            signal.signal(signal.SIGTERM, self._end)
        while not self.is_done() and (code := self._train()):
            if code in INTERRUPTED:
                raise KeyboardInterrupt
            if code in STOPPED:
                time.sleep(OUTLIVED_SECONDS)
                continue
            self._count_failure()
            if self.failures == WITHOUT_PROGRESS:  # by then a training that can publish anything has done so
                raise RuntimeError(
                    f"{self.run}: failed {self.failures} times (the last: {code}); see {self.log}"
                )
            if code == exit_codes.MACHINE:
                self._try_elsewhere()
            time.sleep(pause_seconds(self.failures, self.pause_seconds))

    @property
    def trainings(self) -> list[TrainingJob]:
        """The trainings of a pack, or this one."""
        return self.members or [self]

    @property
    def runs(self) -> list[str]:
        """The names of its trainings."""
        return [each.run for each in self.trainings]

    def _count_failure(self) -> None:
        """Count failures in a row without progress: those that began at the same iteration."""
        folders = [Path(self.folder, each.outputs[0]).parent for each in self.trainings]
        records = [read_attempts(RunPaths(folder).attempts) for folder in folders]
        known = [attempts[-1].began_at_iteration for attempts in records if attempts]
        began = sum(known) if known else None
        self.failures = self.failures + 1 if began == self.began else 1
        self.began = began

    def _try_elsewhere(self) -> None:
        """Return the job to Slurm's queue, by the signal with which Slurm ends a slice; another node may take it.

        Slurm doesn't exclude this node, but gives it to other jobs meanwhile. Outside of Slurm, and if the job can't
        be returned, the training is started again here.
        """
        if os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
            with suppress(OSError, subprocess.SubprocessError):  # the disk is full; Slurm refuses
                name = os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2")  # as submitit chooses it
                signal.raise_signal(getattr(signal, f"SIG{name}"))

    def checkpoint(self) -> Any:
        """Stop the child, which keeps a checkpoint; return the job that submitit then submits again."""
        from submitit.helpers import DelayedSubmission

        self._stop()
        return DelayedSubmission(replace(self))

    def is_done(self) -> bool:
        """Whether all results are published, and newer than their inputs."""
        return is_fresh(*([Path(self.folder, p) for p in paths] for paths in (self.outputs, self.inputs)))

    def _train(self) -> int:
        self.child = subprocess.Popen(self.command, cwd=self.folder)
        while (code := self.child.poll()) is None:  # wait() holds a lock that the signal's handler needs
            time.sleep(0.2)
        return code

    def _stop(self) -> None:
        if self.child:
            self.child.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.child.wait(STOP_SECONDS)

    def _end(self, *_: object) -> None:
        self._stop()
        sys.exit(exit_codes.STOPPED)


def pause_seconds(failures: int, first: float) -> float:
    """Return how long to wait after so many failures in a row: ``first``, then twice as long each time."""
    return min(first * 2.0 ** (failures - 1), LONGEST_PAUSE_SECONDS)


def is_fresh(outputs: Iterable[str | Path], inputs: Iterable[str | Path]) -> bool:
    """Whether all files exist, and no input is newer than an output."""
    try:
        made, since = ([os.stat(path).st_mtime for path in paths] for paths in (outputs, inputs))
    except FileNotFoundError:
        return False
    return not since or min(made) >= max(since)
