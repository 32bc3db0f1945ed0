"""The state of a training on disk: complete or absent; the checkpoint before it is kept as well."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import torch

from genenet.core.atomic_files import atomic_path, check_before_rename

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAGIC = b"genenet.checkpoint/1\n"
DIGEST_BYTES = 32
FIRST_SECONDS = 5.0  # so that an attempt that is cut short early has made progress
SECONDS, SHARE = 60.0, 0.01  # between checkpoints, and of the time that they may take

log = logging.getLogger(__name__)


class Damaged(Exception):
    """A checkpoint whose content isn't what was written."""


class Rhythm:
    """When the next checkpoint is due: soon at first, then after twice the time each, up to the interval."""

    def __init__(self, seconds: float | None) -> None:
        """Begin now; an interval of None is SECONDS, or as much more as makes writing cost SHARE of the time."""
        self.seconds, self._cost = seconds, 0.0
        self._began = self._saved = time.monotonic()

    def is_due(self) -> bool:
        """Whether it is time."""
        most, least = (SECONDS, self._cost / SHARE) if self.seconds is None else (self.seconds, 0.0)
        rising = max(FIRST_SECONDS, self._saved - self._began)
        return time.monotonic() - self._saved >= max(least, min(most, rising))

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Measure how long it takes."""
        began = time.monotonic()
        yield
        self._saved = time.monotonic()
        self._cost = self._saved - began


def previous(path: Path) -> Path:
    """Return where the checkpoint before this one is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def save(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, texts, lists, dicts), and keep the file that stood there before.

    The content is preceded by its SHA-256, so that damage at any byte is noticed.

    Raises:
        OSError: If the disk is full or broken; the older file stays.
    """
    with atomic_path(path) as temporary:
        with temporary.open("wb") as file:
            file.write(MAGIC + bytes(DIGEST_BYTES))
            content = _Hashed(file)
            _save_to(content, state)
            file.seek(len(MAGIC))
            file.write(content.hash.digest())
            file.flush()
            os.fsync(file.fileno())
        check_before_rename()
        if path.exists():
            os.replace(path, previous(path))


def _save_to(content: _Hashed, state: dict[str, Any]) -> None:
    try:
        torch.save(state, content)  # type: ignore[arg-type]
    except RuntimeError:
        if content.error:  # which byte the disk ends at decides whether torch says "unexpected pos" instead
            raise content.error from None
        raise


def load(
    path: Path,
    fingerprint: str,
    iterations: int | None = None,
    is_of_a_lost_lock: Callable[[str | None, int], bool] = lambda _token, _iteration: False,
) -> dict[str, Any] | None:
    """Read the newest sound checkpoint with this fingerprint, up to a number of iterations; None if there is none.

    A checkpoint that is damaged, has another fingerprint, or was written by a process that had lost the folder's lock
    is set aside and logged, and the one before it is tried. (The next save would put it in that one's place.)
    """
    for candidate in (path, previous(path)):
        if not candidate.exists():
            continue
        try:
            state = _read(candidate)
        except Damaged as error:
            aside = _set_aside(candidate, "damaged")
            log.warning(
                "%s is damaged (%s), set aside as %s; falling back to the checkpoint before it",
                candidate, error, aside,
            )  # fmt: skip
            continue
        if state["fingerprint"] != fingerprint:
            aside = _set_aside(candidate, state["fingerprint"][:8])
            log.warning("%s belongs to other settings, data or genome; set aside as %s", candidate, aside)
        elif iterations is not None and state["iteration"] > iterations:
            aside = _set_aside(candidate, f"{state['iteration']}")
            log.warning("%s has more than %d iterations; set aside as %s", candidate, iterations, aside)
        elif is_of_a_lost_lock(state.get("token"), state["iteration"]):
            aside = _set_aside(candidate, "lost-lock")
            log.warning(
                "%s was written by a process that had lost its lock; set aside as %s", candidate, aside
            )
        else:
            return state
    return None


class _Hashed:
    """A file for ``torch.save``; its content is hashed on the way, and an error of the disk is kept."""

    def __init__(self, file: BinaryIO) -> None:
        self.hash = hashlib.sha256()
        self.error: OSError | None = None
        self._file = file

    def write(self, data: bytes) -> int:
        """Write ``data``."""
        self.hash.update(data)
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            self._file.flush()
        except OSError as error:
            self.error = error
            raise


def _set_aside(path: Path, why: str) -> str:
    aside = path.with_name(f"{path.stem}.{why}{path.suffix}")
    os.replace(path, aside)
    return aside.name


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        magic, digest, content = file.read(len(MAGIC)), file.read(DIGEST_BYTES), file.read()
    if magic != MAGIC:
        raise Damaged("not a checkpoint")
    if hashlib.sha256(content).digest() != digest:
        raise Damaged("its checksum is wrong")
    state: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    return state
