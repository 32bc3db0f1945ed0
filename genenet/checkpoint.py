"""The state of a training on disk: whole or absent, and the one before it kept."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from pathlib import Path
from typing import Any

import torch

from genenet.files import atomic_path

MAGIC = b"genenet.checkpoint/1\n"

log = logging.getLogger(__name__)


class Damaged(Exception):
    """A checkpoint that isn't what was written."""


def previous(path: Path) -> Path:
    """Return where the checkpoint before this one is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def save(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, texts, lists, dicts), and keep the file that stood there before.

    The content is preceded by its SHA-256, so that damage at any byte is noticed.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    with atomic_path(path) as temporary:
        with temporary.open("wb") as file:
            file.write(MAGIC + hashlib.sha256(content).digest())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            os.replace(path, previous(path))


def load(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """Read the newest sound checkpoint with this fingerprint; None if there is none.

    A damaged one is passed over for the one before it; one with another fingerprint is set aside. Both
    are logged.
    """
    for candidate in (path, previous(path)):
        if not candidate.exists():
            continue
        try:
            state = _read(candidate)
        except Damaged as error:
            log.warning("%s is damaged (%s); falling back to the checkpoint before it", candidate, error)
            continue
        if state["fingerprint"] == fingerprint:
            return state
        aside = candidate.with_name(f"{candidate.stem}.{state['fingerprint'][:8]}{candidate.suffix}")
        os.replace(candidate, aside)
        log.warning("%s belongs to other settings, data or genome; set aside as %s", candidate, aside.name)
    return None


def _read(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    content = data[len(MAGIC) + 32 :]
    if not data.startswith(MAGIC):
        raise Damaged("not a checkpoint")
    if hashlib.sha256(content).digest() != data[len(MAGIC) : len(MAGIC) + 32]:
        raise Damaged("its checksum is wrong")
    state: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    return state
