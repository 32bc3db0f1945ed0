"""What became of each attempt at a training, so that one that always crashes is given up."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from genenet.core.atomic_files import read_json, write_json
from genenet.core.errors import InputError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FORMAT = "genenet.attempts/1"
FRUITLESS = 2  # attempts without progress, then no more
STOPPED, FINISHED, GIVEN_UP = "stopped", "finished", "given up"

log = logging.getLogger(__name__)


def read_attempts(path: Path) -> list[dict[str, Any]]:
    """Read the record of a training's attempts; none if there is no file, or a damaged one: worth no more than that."""
    try:
        return list(read_json(path)["attempts"]) if path.exists() else []
    except InputError:
        return []


class Attempts:
    """The attempts at one training; the file outlives them, since a killed process can't say that it was."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path, self.fingerprint = path, fingerprint
        self.entries = read_attempts(path)

    def hopeless(self, iteration: int) -> str | None:
        """Return why it isn't worth another attempt from ``iteration``; None if it is."""
        last = self.entries[-FRUITLESS:]
        if len(last) < FRUITLESS or not all(self._was_fruitless(entry, iteration) for entry in last):
            return None
        how = last[-1]["exit"] or "killed (by too little memory, a time limit, or a node that failed)"
        return f"given up after {FRUITLESS} attempts without progress beyond iteration {iteration}; the last: {how}"

    def _was_fruitless(self, entry: dict[str, Any], iteration: int) -> bool:
        crashed = entry["exit"] not in (STOPPED, FINISHED, GIVEN_UP)
        return (
            crashed and entry["fingerprint"] == self.fingerprint and entry["began_at_iteration"] == iteration
        )

    def give_up(self, iteration: int) -> None:
        """Note that it was given up; an attempt after this one counts anew."""
        self._begin(iteration)
        self._end(GIVEN_UP, iteration)

    @contextmanager
    def attempt(self, iteration: int, reached: Callable[[], int]) -> Iterator[None]:
        """Record an attempt from ``iteration``: its begin at once, its end with the iteration ``reached()``."""
        self._begin(iteration)
        try:
            yield
        except BaseException as error:
            self._end(f"{type(error).__name__}: {one_line(error)}", reached())
            raise
        self._end(FINISHED, reached())

    def stopped(self, iteration: int) -> None:
        """Correct the last attempt's end: it stopped because the time was over, with a checkpoint."""
        self._end(STOPPED, iteration)

    def _begin(self, iteration: int) -> None:
        self.entries.append(
            {
                "fingerprint": self.fingerprint,
                "host": socket.gethostname(),
                "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
                "began": _now(),
                "began_at_iteration": iteration,
                "ended": None,
                "ended_at_iteration": None,
                "exit": None,
            }
        )
        self._write()

    def _end(self, how: str, iteration: int) -> None:
        self.entries[-1].update(ended=_now(), ended_at_iteration=iteration, exit=how)
        try:
            self._write()
        except OSError as error:  # a full disk; what a training has done counts for more than this record
            log.error("%s can't be written (%s)", self.path, one_line(error))

    def _write(self) -> None:
        write_json(self.path, {"format": FORMAT, "attempts": self.entries})


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
