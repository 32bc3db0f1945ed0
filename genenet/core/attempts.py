"""Why each attempt at a piece of work ended, with which exit code, and whether another attempt follows.

A piece of work is a training (which counts iterations) or a part of a segmentation (which counts blocks). The reason
why an attempt ended decides what follows (``Attempts.verdict`` and ``exit_codes_by_ending``):

| ended by | exit code | published |
|---|---|---|
| done | 0 | by the work itself |
| the same exception in the work, twice | 1, then 0 | ``failed`` |
| the machine: disk, driver, GPU, cores, killed | 74 | ``unfinished`` after five |
| the user's settings or files | 2 | ``unfinished`` after three |
| time, or a signal to stop | 75 | counts as the machine's if it made no progress |
| Ctrl-C | 130 | counts nowhere |

Only consecutive attempts without progress count: those that began at the point where the work still is. The record
outlives the processes, since a killed process can't write how it ended.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeVar

from genenet.core import exit_codes
from genenet.core.atomic_files import write_json
from genenet.core.attempt_records import AttemptRecord, AttemptsFile, Ending, read_attempts
from genenet.core.errors import InputError, MachineError, describe, one_line
from genenet.core.lock import LockLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

SAME_CRASHES, USER_ERRORS, WITHOUT_PROGRESS = 2, 3, 5  # attempts in a row without progress, then no more
KILLED = "killed (by too little memory, a time limit, or a node that failed)"
_MACHINE_TEXTS = ("cuda error", "cuda driver", "cudnn", "cublas", "nvml", "nccl", "no space left on device")
Inputs = TypeVar("Inputs")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """No other attempt follows: what to publish instead."""

    status: Literal["failed", "unfinished"]
    reason: str


class Attempts:
    """The attempts at one piece of work.

    Args:
        path: of the record.
        fingerprint: of all that the result depends on; attempts with another one don't count.
        token: of the lock that this process holds.
        unit: what is counted: ``iteration`` or ``block``.
        most: attempts in a row without progress, whatever ended them.
    """

    def __init__(
        self,
        path: Path,
        fingerprint: str,
        token: str | None = None,
        unit: str = "iteration",
        most: int = WITHOUT_PROGRESS,
    ) -> None:
        self.path, self.fingerprint, self.token, self.unit, self.most = path, fingerprint, token, unit, most
        self.entries = read_attempts(path)

    def prepare(self, read: Callable[[], Inputs]) -> Inputs | Verdict:
        """Read what the work needs, before it is known how far earlier attempts have come.

        Nothing is recorded unless that fails. An error counts as an attempt without progress.

        Returns:
            What ``read`` returns, or a verdict to publish.

        Raises:
            MachineError, InputError, Exception: As ``run`` does.
        """
        try:
            return read()
        except Exception as error:
            self._add(0)
            return self._ended_by(error, 0, 0)

    def run(
        self, work: Callable[[], bool], start: int, reached: Callable[[], int], kept: Callable[[], int]
    ) -> bool | Verdict:
        """Do one attempt, unless the work was given up.

        Args:
            work: does it; returns False if it stopped before the end.
            start: what earlier attempts have done and kept.
            reached: returns what is done now.
            kept: returns how much of that another attempt would find.

        Returns:
            Whether the work is finished, or a verdict to publish.

        Raises:
            MachineError, InputError, Exception: what ended the attempt, with the exit code as ``status``.
        """
        if verdict := self.verdict(start):
            return self._give_up(verdict, start)
        try:
            self._begin(start)
            finished = work()
        except BaseException as error:
            return self._ended_by(error, reached(), kept())
        ending: Ending = "finished" if finished else "stopped"
        self._end(ending, ending, reached())
        return finished

    def _ended_by(self, error: BaseException, reached: int, kept: int) -> Verdict:
        """Record the end; raise the error if another attempt follows."""
        if not isinstance(error, LockLostError):  # its record is the other process's now
            ending = ending_of(error)
            self._end(ending, f"{type(error).__name__}: {one_line(error)}", reached)
            if ending != "interrupted" and (verdict := self.verdict(kept)):
                log.error("%s", one_line(error))
                return self._give_up(verdict, kept)
        with exit_codes_by_ending():
            raise error

    def verdict(self, at: int) -> Verdict | None:
        """Return why the work is given up instead of attempted again from ``at``; None if it isn't given up."""
        fruitless = list(self._fruitless(at))
        if not fruitless:
            return None
        last = fruitless[0]
        alike = [each for each in fruitless if each.ending == last.ending]
        where = f"attempts without progress beyond {self.unit} {at}; the last: {last.exit or KILLED}"
        if last.ending == "crash" and sum(_kind(each) == _kind(last) for each in alike) >= SAME_CRASHES:
            return Verdict("failed", f"given up after {len(alike)} {where}")
        if last.ending == "user_error" and len(alike) >= USER_ERRORS:
            return Verdict("unfinished", f"given up after {len(alike)} {where}")
        if len(fruitless) >= self.most:
            return Verdict("unfinished", f"given up after {len(fruitless)} {where}")
        return None

    def _fruitless(self, at: int) -> Iterator[AttemptRecord]:
        """Yield the attempts in a row that began at ``at`` and added nothing, the newest first."""
        for entry in reversed(self.entries):
            if entry.ending == "interrupted":
                continue
            if entry.ending in ("finished", "given_up") or entry.fingerprint != self.fingerprint:
                return
            if entry.began_at_iteration != at:
                return
            yield entry

    def is_of_a_lost_lock(self, token: str | None, iteration: int) -> bool:
        """Whether a checkpoint was written by a process that had lost its lock before.

        Its attempt isn't the last one then, and the next one began before that iteration.
        """
        same = [entry for entry in self.entries if entry.fingerprint == self.fingerprint]
        tokens = [entry.token for entry in same]
        if token is None or token not in tokens:
            return False
        later = same[len(tokens) - tokens[::-1].index(token) :]
        return bool(later) and later[0].began_at_iteration < iteration

    def _give_up(self, verdict: Verdict, at: int) -> Verdict:
        """Record it; the count of attempts begins again after it."""
        self._begin(at)
        self._end("given_up", "given up", at)
        return verdict

    def _begin(self, iteration: int) -> None:
        self._add(iteration)
        self._write()

    def _add(self, iteration: int) -> None:
        self.entries.append(
            AttemptRecord(
                fingerprint=self.fingerprint,
                token=self.token,
                host=socket.gethostname(),
                slurm_job_id=os.environ.get("SLURM_JOB_ID"),
                began=_now(),
                began_at_iteration=iteration,
            )
        )

    def _end(self, ending: Ending, text: str, iteration: int) -> None:
        end = {"ended": _now(), "ended_at_iteration": iteration, "exit": text, "ending": ending}
        self.entries[-1] = self.entries[-1].model_copy(update=end)
        try:
            self._write()
        except OSError as error:  # a full disk; the work itself counts for more than this record
            log.error("%s can't be written (%s)", self.path, one_line(error))

    def _write(self) -> None:
        write_json(self.path, AttemptsFile(attempts=self.entries).model_dump(mode="json"))


def ending_of(error: BaseException) -> Ending:
    """Return what kind of end an exception is."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, InputError):
        return "user_error"
    if isinstance(error, OSError | MachineError | MemoryError) or not isinstance(error, Exception):
        return "machine"
    text = str(error).lower()
    return "machine" if any(words in text for words in _MACHINE_TEXTS) else "crash"


@contextmanager
def exit_codes_by_ending() -> Iterator[None]:
    """Let an error end the command with the exit code of its kind: 2 for the user's, 74 for the machine's."""
    try:
        yield
    except InputError as error:
        error.status = exit_codes.USER_ERROR
        raise
    except MachineError:
        raise
    except Exception as error:
        if ending_of(error) == "machine":
            raise MachineError(describe(error)) from error
        raise


def fingerprint_of_files(paths: Iterable[Path]) -> str:
    """Return a hash of sizes and times of files. A corrected file starts a new count of attempts."""
    return hashlib.sha256(json.dumps([_stamp(path) for path in paths]).encode()).hexdigest()


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:  # missing, or its disk has failed
        return None
    return state.st_size, state.st_mtime_ns


def _kind(entry: AttemptRecord) -> str:
    """Return an end's text without numbers and addresses, which differ between the same two crashes."""
    return re.sub(r"0x[0-9a-f]+|\d+", "#", entry.exit or "")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
