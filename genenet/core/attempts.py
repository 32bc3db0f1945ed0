"""Why each attempt at a piece of work ended, with which exit code, and whether another attempt follows.

A piece of work is a training (which counts iterations) or a part of a segmentation (which counts blocks). The reason
why an attempt ended decides what follows (``LIMITS`` and ``exit_error``):

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

import logging
import os
import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError, field_validator, model_validator

from genenet.core import exit_codes
from genenet.core.atomic_files import write_json
from genenet.core.errors import InputError, MachineError, describe, one_line
from genenet.core.lock import LockLostError
from genenet.core.models import Closed
from genenet.core.tolerant_read import try_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Ending = Literal["finished", "stopped", "interrupted", "machine", "user_error", "crash", "given_up"]
SAME_CRASHES, USER_ERRORS, WITHOUT_PROGRESS = 2, 3, 5  # attempts in a row without progress, then no more
KILLED = "killed (by too little memory, a time limit, or a node that failed)"
_MACHINE_TEXTS = ("cuda error", "cuda driver", "cudnn", "cublas", "nvml", "nccl", "no space left on device")
_OLD_EXITS: dict[str, Ending] = {  # the part of /1's ``exit`` before a colon
    "finished": "finished",
    "stopped": "stopped",
    "given up": "given_up",
    "KeyboardInterrupt": "interrupted",
    "InputError": "user_error",
    "OSError": "machine",
}

log = logging.getLogger(__name__)


class AttemptRecord(Closed):
    """One attempt. ``iteration`` is a training's iteration or a part's number of blocks.

    Attributes:
        fingerprint: of all that the result depends on.
        token: of the lock that the attempt held; None in files of version 0.1.
        host: that it ran on.
        slurm_job_id: None outside of Slurm.
        began: UTC, ISO 8601.
        began_at_iteration: what earlier attempts had done.
        ended: None if it runs or was killed.
        ended_at_iteration: what was done then; some of it may have been lost.
        exit: how it ended, for people.
        ending: how it ended, one of few kinds.
    """

    fingerprint: str = ""
    token: str | None = None
    host: str = ""
    slurm_job_id: str | None = None
    began: str
    began_at_iteration: int = 0
    ended: str | None = None
    ended_at_iteration: int | None = None
    exit: str | None = None
    ending: Ending | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_old(cls, values: Any) -> Any:
        if isinstance(values, dict) and "ending" not in values and isinstance(values.get("exit"), str):
            return {**values, "ending": _OLD_EXITS.get(values["exit"].partition(":")[0], "crash")}
        return values

    @field_validator("began", "ended")
    @classmethod
    def _is_a_time(cls, time: str | None) -> str | None:
        if time is not None:
            datetime.fromisoformat(time)
        return time

    @property
    def began_time(self) -> float:
        """When it began, in seconds since 1970."""
        return datetime.fromisoformat(self.began).timestamp()

    @property
    def seconds(self) -> float | None:
        """From begin to end; None if the end isn't known."""
        if self.ended is None:
            return None
        return datetime.fromisoformat(self.ended).timestamp() - self.began_time


class AttemptsFile(Closed):
    """The record of all attempts at one piece of work."""

    format: Literal["genenet.attempts/2", "genenet.attempts/1"] = "genenet.attempts/2"
    attempts: list[AttemptRecord]


def read_attempts(path: Path) -> list[AttemptRecord]:
    """Read the record of attempts; a missing or damaged file counts as no attempts."""
    if (seen := try_read(path)) is None:
        return []
    try:
        return AttemptsFile.model_validate(seen.json()).attempts
    except ValidationError:
        return []


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
        self._begin(start)
        try:
            finished = work()
        except LockLostError as error:
            raise MachineError(str(error)) from error
        except BaseException as error:
            ending = ending_of(error)
            self._end(ending, f"{type(error).__name__}: {one_line(error)}", reached())
            if ending != "interrupted" and (verdict := self.verdict(kept())):
                log.error("%s", one_line(error))
                return self._give_up(verdict, kept())
            if (as_exit := exit_error(error, ending)) is error:
                raise
            raise as_exit from error
        ending = "finished" if finished else "stopped"
        self._end(ending, ending, reached())
        return finished

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
        tokens = [entry.token for entry in self.entries]
        if token is None or token not in tokens:
            return False
        later = self.entries[len(tokens) - tokens[::-1].index(token) :]
        return bool(later) and later[0].began_at_iteration < iteration

    def _give_up(self, verdict: Verdict, at: int) -> Verdict:
        """Record it; the count of attempts begins again after it."""
        self._begin(at)
        self._end("given_up", "given up", at)
        return verdict

    def _begin(self, iteration: int) -> None:
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
        self._write()

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
    if isinstance(error, OSError | MachineError) or not isinstance(error, Exception):
        return "machine"
    text = str(error).lower()
    return "machine" if any(words in text for words in _MACHINE_TEXTS) else "crash"


def exit_error(error: BaseException, ending: Ending) -> BaseException:
    """Return the exception that ends the command with the exit code of such an end."""
    if isinstance(error, InputError):
        error.status = exit_codes.USER_ERROR
        return error
    if ending == "machine" and isinstance(error, Exception) and not isinstance(error, MachineError):
        return MachineError(describe(error))
    return error


def _kind(entry: AttemptRecord) -> str:
    """Return an end's text without numbers and addresses, which differ between the same two crashes."""
    return re.sub(r"0x[0-9a-f]+|\d+", "#", entry.exit or "")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
