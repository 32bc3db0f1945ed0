"""Checksums of input files: whether a file has changed is decided by its content, not by its time."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from genenet.core.atomic_files import read_json, write_json
from genenet.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FORMAT = "genenet.contents/1"
_PART_BYTES = 2**22  # read at a time


def contents(paths: Iterable[Path], record: Path) -> str:
    """Return one SHA-256 of files and of folders with all files in them; paths that don't exist are left out.

    Corrected labels that are moved into place keep an older time and often have the same size; copies of a whole
    project have new times and the same content.

    Args:
        paths: files or folders.
        record: a file that keeps checksums with sizes and times; only what has another size or time is read again.
    """
    known = _known(record)
    found: dict[str, dict[str, Any]] = {}
    for path in paths:
        if path.exists():
            state, before = _state(path), known.get(str(path), {})
            checksum = before["checksum"] if before.get("state") == state else _checksum(path)
            found[str(path)] = {"state": state, "checksum": checksum}
    if any(known.get(name) != entry for name, entry in found.items()):
        write_json(record, {"format": FORMAT, "files": known | found})
    together = "\n".join(str(entry["checksum"]) for entry in found.values())
    return hashlib.sha256(together.encode()).hexdigest()


def file_checksum(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksum_of(parts: object) -> str:
    """Return the SHA-256 of what JSON can hold; the order of keys doesn't matter."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _known(record: Path) -> dict[str, dict[str, Any]]:
    """Return the content of a record; a record that is damaged or of another version counts as empty."""
    try:
        content = read_json(record)
        return dict(content["files"]) if content["format"] == FORMAT else {}
    except (InputError, OSError, KeyError, TypeError, ValueError):
        return {}


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _state(path: Path) -> list[int]:
    """Return number and size of the files, and the newest time in ns and the sum of all: a moved file changes one."""
    stats = [file.stat() for file in _files(path)]
    times = [s.st_mtime_ns for s in stats]
    return [len(stats), sum(s.st_size for s in stats), max(times, default=0), sum(times)]


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    for file in _files(path):
        digest.update(str(file.relative_to(path)).encode() + b"\0")
        with file.open("rb") as stream:
            while part := stream.read(_PART_BYTES):
                digest.update(part)
    return digest.hexdigest()
