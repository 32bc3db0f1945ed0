"""One run directory has one writer: a lock file with host, process, job and a heartbeat."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genenet.core.tolerant_read import glimpse

HEARTBEAT_SECONDS = 10.0
DEAD_AFTER_SECONDS = 120.0  # file systems of clusters show a file's new time late

log = logging.getLogger(__name__)


@contextmanager
def exclusive(path: Path, poll_seconds: float = 0.5) -> Iterator[None]:
    """Hold the lock file ``path``; wait for a living holder, take over a dead one's.

    Dead is a holder whose process is gone from this host, or whose heartbeat has stopped.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    told = False
    while not _create(path):
        if _take_away_if_dead(path):
            continue
        if not told:
            log.warning("%s: another process is at work here (%s); waiting for it", path, _read(path))
            told = True
        time.sleep(poll_seconds)
    stop = threading.Event()
    beat = threading.Thread(target=_heartbeat, args=(path, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        if _read(path) == _me():
            path.unlink(missing_ok=True)


def living_holder(path: Path) -> dict[str, object] | None:
    """Return who holds a lock file, unless there is none or its holder is dead."""
    return None if not path.exists() or _is_dead(path) else _read(path) or None


@dataclass(frozen=True)
class Holder:
    """Who holds a lock file, and how long ago its heart was last seen beating."""

    host: str | None
    pid: int | None
    slurm_job_id: str | None
    silent_seconds: float
    is_dead: bool


def look(path: Path) -> Holder | None:
    """Return who holds a lock file, dead or alive; None if there is none. Takes nothing away."""
    if (seen := glimpse(path)) is None:
        return None
    holder, silent_seconds = seen.json(), max(0.0, time.time() - seen.time)
    host, pid, job = (holder.get(key) for key in ("host", "pid", "slurm_job_id"))
    return Holder(
        host=host if isinstance(host, str) else None,
        pid=pid if isinstance(pid, int) else None,
        slurm_job_id=None if job is None else str(job),
        silent_seconds=silent_seconds,
        is_dead=_is_gone(holder, silent_seconds),
    )


def _me() -> dict[str, object]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "slurm_job_id": os.environ.get("SLURM_JOB_ID")}


def _create(path: Path) -> bool:
    """Create the lock with its content at once (a hard link to a file that is complete)."""
    own = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        own.write_text(json.dumps(_me()), encoding="utf-8")
        os.link(own, path)
    except FileExistsError:
        return False
    finally:
        own.unlink(missing_ok=True)
    return True


def _take_away_if_dead(path: Path) -> bool:
    """Take a dead holder's lock away, for one of those who wait: it is renamed, and put back if it lives."""
    if not _is_dead(path):
        return False
    with _alone_in(path.parent):
        if not _is_dead(path):
            return True  # another one was faster
        taken = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
        try:
            os.rename(path, taken)
        except FileNotFoundError:
            return True
        if _is_dead(taken):
            log.warning("%s: taking over from a process that is gone: %s", path, _read(taken))
        else:  # its heart beat again, or others take over where folders can't be locked
            with suppress(FileExistsError):
                os.link(taken, path)
        taken.unlink()
    return True


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Lock the folder itself, where its file system can; the system lets go of it whenever the process ends.

    Else one who saw a dead lock could take away, a moment later, the living one that has replaced it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # NFS locks no folders
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[str, object]:
    try:
        value: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}
    return value


def _is_dead(path: Path) -> bool:
    try:
        silent_seconds = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return False
    return _is_gone(_read(path), silent_seconds)


def _is_gone(holder: dict[str, Any], silent_seconds: float) -> bool:
    pid = holder.get("pid")
    gone = holder.get("host") == socket.gethostname() and isinstance(pid, int) and not _process_runs(pid)
    return gone or silent_seconds > DEAD_AFTER_SECONDS


def _process_runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _heartbeat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        try:
            os.utime(path)
        except FileNotFoundError:
            return
