"""Files appear whole or not at all: they are written under a temporary name in the same folder, then renamed."""

import csv
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from genenet.core.errors import InputError, one_line

_check: ContextVar[Callable[[], None] | None] = ContextVar("check", default=None)


@contextmanager
def checked_before_renames(check: Callable[[], None]) -> Iterator[None]:
    """Call ``check`` right before each rename in this block, in this thread; what it raises prevents the rename.

    A writer that holds a lock checks in this way that the lock is still its own, whatever function writes the file.
    """
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def check_before_rename() -> None:
    """Raise what the check of ``checked_before_renames`` raises, if there is one."""
    if check := _check.get():
        check()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary sibling of ``path`` (a file or a folder) to write to; rename it at the end.

    The sibling keeps the suffixes, since some libraries choose the format by them. After an error
    nothing is left and an older ``path`` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        yield temporary
        check_before_rename()
        if path.is_dir():
            remove(path)
        os.replace(temporary, path)
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there; a folder is never half removed under its own name."""
    if path.is_dir() and not path.is_symlink():
        doomed = path.with_name(f".{uuid.uuid4().hex[:8]}.removed")
        os.replace(path, doomed)
        shutil.rmtree(doomed)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, atomically; NaN and infinity aren't JSON and raise ValueError."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path, most_bytes: int | None = None) -> Any:
    """Read a JSON file.

    Args:
        path: of the file.
        most_bytes: that the file may have, if another person may have made it.

    Raises:
        InputError: If the file is missing, isn't JSON, or is larger than ``most_bytes``.
    """
    if most_bytes is not None:
        check_file(path, most_bytes)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except RecursionError:
        raise InputError(f"{path}: not a JSON file (brackets are nested too deeply)") from None
    except ValueError as error:  # also integers of thousands of digits
        raise InputError(f"{path}: not a JSON file ({one_line(error)})") from None


def check_file(path: Path, most_bytes: int) -> None:
    """Refuse what isn't a regular file of at most ``most_bytes``, such as a pipe; raises InputError."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not path.is_file():
        raise InputError(f"{path}: not a regular file")
    if (size := path.stat().st_size) > most_bytes:
        raise InputError(f"{path}: has {size} bytes; such a file has at most {most_bytes}")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file, atomically; None is an empty cell."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a CSV file's rows by the names of its columns.

    Raises:
        InputError: If the file is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None


def optional_json(path: Path | str) -> Any:
    """Read a JSON file; None if it isn't there."""
    return read_json(Path(path)) if Path(path).exists() else None
