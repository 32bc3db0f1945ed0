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
from genenet.core.errors import one_line
from genenet.networks.device import is_out_of_memory

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

    Raises:
        OSError: If a checkpoint can't be read: its disk has failed, the checkpoint itself may be sound.
    """
    for candidate in filter(Path.exists, (path, previous(path))):
        try:
            state = _read(candidate)
            if state["fingerprint"] != fingerprint:
                name, problem = state["fingerprint"][:8], "belongs to other settings, data or genome"
            elif iterations is not None and state["iteration"] > iterations:
                name, problem = str(state["iteration"]), f"has more than {iterations} iterations"
            elif is_of_a_lost_lock(state.get("token"), state["iteration"]):
                name, problem = "lost-lock", "was written by a process that had lost its lock"
            else:
                return state
        except Damaged as error:
            name, problem = "damaged", f"is damaged ({error})"
        aside = candidate.with_name(f"{candidate.stem}.{name}{candidate.suffix}")
        os.replace(candidate, aside)
        log.warning(
            "%s %s; set aside as %s; falling back to the checkpoint before it, if there is one",
            *(candidate, problem, aside.name),
        )
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


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        magic, digest, content = file.read(len(MAGIC)), file.read(DIGEST_BYTES), file.read()
    if magic != MAGIC:
        raise Damaged("not a checkpoint")
    if hashlib.sha256(content).digest() != digest:
        raise Damaged("its checksum is wrong")
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        state["fingerprint"], state["iteration"]  # which ``load`` compares
    except Exception as error:  # of pickle, zipfile or torch: what was written is no state of a training
        if is_out_of_memory(error):
            raise
        raise Damaged(one_line(error)) from error
    return state
