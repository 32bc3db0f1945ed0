"""One training as a job of submitit, which runs it in slices of walltime."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from genenet.cluster.submission import is_fresh
from genenet.core import exit_codes
from genenet.training.stopping import SIGNALS

STOP_SECONDS = 60  # for a training's last checkpoint
OUTLIVED_SECONDS = 120  # so long after its training was stopped, a job is still there: it wasn't meant
CRASHES = 3  # at the third attempt without progress a training publishes that it has failed
STOPPED = {
    exit_codes.STOPPED,
    *(-s for s in SIGNALS),
    *(128 + s for s in SIGNALS),
}  # or before it could listen


@dataclass(eq=False)
class Training:
    """One training as a job of submitit: in slices of walltime, each going on from the last one's checkpoint."""

    run: str
    command: list[str]
    folder: str  # that the paths start from
    inputs: list[str]
    outputs: list[str]
    log: str
    child: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    def __call__(self) -> None:
        """Train to the end; again after a crash, until genenet itself gives it up.

        Slurm signals this process and its child at the same time. When the child has stopped, the signal's
        handler (``checkpoint``) or the end of the job comes within the pause.
        """
        if os.environ.get("SUBMITIT_EXECUTOR") == "local":
            signal.signal(signal.SIGTERM, self._end)
        crashes = 0
        while not self.is_done() and (code := self._train()):
            crashes += code not in STOPPED
            if crashes == CRASHES:
                raise RuntimeError(f"{self.run}: crashed {CRASHES} times (the last: {code}); see {self.log}")
            if code in STOPPED:
                time.sleep(OUTLIVED_SECONDS)

    def checkpoint(self) -> Any:
        """Stop the child, which keeps a checkpoint; what submitit then submits again (its signal's handler)."""
        from submitit.helpers import DelayedSubmission

        self._stop()
        return DelayedSubmission(replace(self))

    def is_done(self) -> bool:
        """Whether all is published, and newer than what it was made from."""
        return is_fresh(*([Path(self.folder, p) for p in paths] for paths in (self.outputs, self.inputs)))

    def _train(self) -> int:
        self.child = subprocess.Popen(self.command, cwd=self.folder)
        while (code := self.child.poll()) is None:  # wait() holds a lock that a signal's handler needs
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
