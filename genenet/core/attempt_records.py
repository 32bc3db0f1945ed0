"""``attempts.json``: when each attempt at a piece of work began and ended, and how."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError, field_validator, model_validator

from genenet.core.models import Closed
from genenet.core.tolerant_read import try_read

if TYPE_CHECKING:
    from pathlib import Path

Ending = Literal["finished", "stopped", "interrupted", "machine", "user_error", "crash", "given_up"]
_OLD_EXITS: dict[str, Ending] = {  # the part of /1's ``exit`` before a colon
    "finished": "finished",
    "stopped": "stopped",
    "given up": "given_up",
    "KeyboardInterrupt": "interrupted",
    "InputError": "user_error",
    "OSError": "machine",
}


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
