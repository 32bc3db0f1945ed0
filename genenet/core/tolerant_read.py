"""Looking at files that other processes write, replace and remove meanwhile: what can't be read isn't there."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Glimpse:
    """What a file held when it was looked at, and when it was last written (seconds since 1970)."""

    text: str
    time: float

    def json(self) -> dict[str, Any]:
        """Return the object in it; an empty one if that isn't JSON, or isn't an object."""
        try:
            value = json.loads(self.text)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def lines(self) -> list[str]:
        """The lines that are whole: one without its end may be half a number."""
        return self.text[: self.text.rfind("\n") + 1].splitlines()


def glimpse(path: Path | str, last_bytes: int | None = None) -> Glimpse | None:
    """Read a file, or its ``last_bytes`` only; None if there is none, or none that can be read."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if last_bytes is not None and status.st_size > last_bytes:
                file.seek(-last_bytes, os.SEEK_END)
            return Glimpse(file.read().decode(errors="replace"), status.st_mtime)
    except OSError:
        return None


def written(path: Path | str) -> float | None:
    """Return when a file was last written; None if there is none."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None


def names_in(folder: Path | str) -> list[str]:
    """Return the names in a folder; none if it isn't there."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def as_number(value: Any) -> float | None:
    """Return a finite number, also from a CSV's text; None for all else."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < float("inf") else None


def as_count(value: Any) -> int | None:
    """Return a number that counts something; None for all else."""
    number = as_number(value)
    return None if number is None or number < 0 else int(number)


def as_text(value: Any) -> str:
    """Return a text on one line; an empty one for None."""
    return "" if value is None else " ".join(str(value).split())
