"""Reads files that other processes may write, replace or remove. Unreadable files are treated as missing."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class FileContent:
    """What a file held when it was read, and when it was last written (seconds since 1970)."""

    text: str
    time: float

    def json(self) -> dict[str, Any]:
        """Return the JSON object in the file; an empty one if the file holds anything else."""
        try:
            value = json.loads(self.text)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def lines(self) -> list[str]:
        """The complete lines. A line without its end may hold half a number, so it is left out."""
        return self.text[: self.text.rfind("\n") + 1].splitlines()


def try_read(path: Path | str, last_bytes: int | None = None) -> FileContent | None:
    """Read a file, or its ``last_bytes`` only; None if it is missing or unreadable."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if last_bytes is not None and status.st_size > last_bytes:
                file.seek(-last_bytes, os.SEEK_END)
            return FileContent(file.read().decode(errors="replace"), status.st_mtime)
    except OSError:
        return None


def written(path: Path | str) -> float | None:
    """Return when a file was last written; None if it is missing."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None


def names_in(folder: Path | str) -> list[str]:
    """Return the names in a folder; an empty list if it is missing."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def as_number(value: Any) -> float | None:
    """Return a finite number, also from the text in a CSV; None for everything else."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < float("inf") else None
