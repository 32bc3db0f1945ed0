"""Logging: the form of errors, quiet loggers, and the errors at the ends of the jobs' logs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ERROR = "genenet: error: "


def as_error(message: object) -> str:
    """Begin each line of a message as errors begin in logs, on the terminal and in what Snakemake prints."""
    return "\n".join(ERROR + line for line in str(message).splitlines())


@contextmanager
def quiet(name: str, level: int = logging.WARNING) -> Iterator[None]:
    """Let a logger write only messages of this level or above inside the block."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def each_once(name: str) -> Iterator[None]:
    """Let a logger write each message only once inside the block."""
    seen: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        n_before = len(seen)
        seen.add(record.getMessage())
        return len(seen) > n_before

    logger = logging.getLogger(name)
    logger.addFilter(is_new)
    try:
        yield
    finally:
        logger.removeFilter(is_new)


def last_errors(folder: Path) -> list[str]:
    """Return ``file:error`` for each log below ``folder`` that ends with an error; jobs that continued are left out."""
    found = []
    for path in sorted(folder.rglob("*.log")):
        errors: list[str] = []
        for line in reversed(path.read_text(encoding="utf-8", errors="replace").splitlines()):
            if not line.startswith(ERROR):
                break
            errors.insert(0, f"{path}:{line}")
        found += errors
    return found
