"""One folder has one writer: a lock file with host, process, job, a token and a heartbeat.

Clocks of two machines are never compared. A waiter watches whether the lock file *changes* and measures the time on
its own monotonic clock. Whoever holds a lock checks its token before each rename (``HeldLock.check``), so a holder
that was suspended, and whose lock was taken over meanwhile, stops before it writes.

The file is made with O_EXCL, which also works where hard links are missing (SMB, some BeeGFS).
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genenet.core.atomic_files import atomic_path
from genenet.core.errors import MachineError
from genenet.core.tolerant_read import try_read

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timing:
    """How often a holder shows that it lives, and how long a waiter watches before it takes a lock over, in seconds."""

    heartbeat: float = 10.0
    stale_after: float = 120.0  # file systems of clusters show a file's new time late
    poll: float = 0.5


TIMING = Timing()


class LockLostError(MachineError):
    """Another process has taken the lock over, since this one seemed dead; this one must not write any more."""


@dataclass(frozen=True)
class HeldLock:
    """A lock that this process holds; ``token`` distinguishes this holder from all others."""

    path: Path
    token: str

    def check(self) -> None:
        """Raise LockLostError if the lock isn't this holder's any more."""
        if not self.is_own():
            raise LockLostError(
                f"{self.path}: another process has taken over, since this one was suspended for too long; it stops here"
            )

    def is_own(self) -> bool:
        """Whether the lock file still holds this holder's token."""
        seen = try_read(self.path)
        return seen is not None and seen.json().get("token") == self.token


@contextmanager
def exclusive(
    path: Path,
    on_beat: Callable[[], None] | None = None,
    timing: Timing = TIMING,
    stop: Callable[[], str | None] = lambda: None,
) -> Iterator[HeldLock]:
    """Hold the lock file ``path``; wait for a living holder, take a stale lock over.

    A lock is stale if its holder's process is gone, where this process can see it (same boot of the same machine,
    same PID namespace), or else if the file hasn't changed while this process watched it for ``timing.stale_after``
    seconds. A process that can be seen, suspended or not, keeps its lock.

    Args:
        path: the lock file; its folder is made.
        on_beat: called with each heartbeat, in the heartbeat's thread.
        timing: shorter intervals are for tests.
        stop: asked while waiting; returns the reason to stop waiting, or None.

    Raises:
        WaitingStoppedError: If ``stop`` gave a reason.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    held = _acquire(path, timing, stop)
    ended = threading.Event()
    beat = threading.Thread(target=_heartbeat, args=(held, ended, on_beat, timing.heartbeat), daemon=True)
    beat.start()
    try:
        yield held
    finally:
        ended.set()
        beat.join()
        if held.is_own():
            path.unlink(missing_ok=True)


def _acquire(path: Path, timing: Timing, stop: Callable[[], str | None]) -> HeldLock:
    held, watch, is_told = HeldLock(path, uuid.uuid4().hex), _Watch(path, timing), False
    while not _create(held):
        seen = watch.look()
        if seen is not None and watch.is_stale(seen):
            if _take_over(held, seen):
                return held
            continue
        if seen is not None and not is_told:
            log.warning("%s: another process works here (%s); waiting for it", path, _holder(seen))
            is_told = True
        if reason := stop():
            raise WaitingStoppedError(reason)
        time.sleep(timing.poll)
    return held


class WaitingStoppedError(Exception):
    """The process was asked to stop while it waited for a lock."""


@dataclass(frozen=True)
class _Seen:
    """A lock file at one moment: who holds it, and when it was written by the file system's clock, in ns."""

    holder: dict[str, Any]
    text: str
    time_ns: int


def _look(path: Path) -> _Seen | None:
    try:
        time_ns = path.stat().st_mtime_ns
    except OSError:
        return None
    content = try_read(path)
    return None if content is None else _Seen(content.json(), content.text, time_ns)


class _Watch:
    """A waiter's memory of a lock: since when, on its own clock, the file hasn't changed."""

    def __init__(self, path: Path, timing: Timing) -> None:
        self.path, self.timing = path, timing
        self._last: _Seen | None = None
        self._since = time.monotonic()

    def look(self) -> _Seen | None:
        """Read the lock and notice whether it has changed."""
        seen = _look(self.path)
        if seen != self._last:
            self._last, self._since = seen, time.monotonic()
        return seen

    def is_stale(self, seen: _Seen) -> bool:
        """Whether the holder is gone; judged by its heartbeat if its process can't be seen from here."""
        runs = holder_runs(seen.holder)
        return time.monotonic() - self._since > self.timing.stale_after if runs is None else not runs


def _create(held: HeldLock) -> bool:
    """Make the lock file, unless there is one."""
    try:
        descriptor = os.open(held.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(_identity(held.token)))
    except OSError:  # the disk is full
        held.path.unlink(missing_ok=True)
        raise
    return True


def _take_over(held: HeldLock, seen: _Seen) -> bool:
    """Replace a stale lock, unless it has changed since it was seen.

    Of several waiters on one host, the folder's own lock lets one in at a time. Where folders can't be locked (NFS),
    two may replace the file in turn; the first one then finds a token that isn't its own and stops.
    """
    with _alone_in(held.path.parent):
        if _look(held.path) != seen:
            return False
        log.warning("%s: taking over from a process that is gone: %s", held.path, _holder(seen))
        with atomic_path(held.path) as temporary:
            temporary.write_text(json.dumps(_identity(held.token)), encoding="utf-8")
    return held.is_own()


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Lock the folder itself, if its file system can; the system unlocks it when the process ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # NFS can't lock folders
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _heartbeat(
    held: HeldLock, stop: threading.Event, on_beat: Callable[[], None] | None, seconds: float
) -> None:
    while not stop.wait(seconds):
        if not held.is_own():
            continue
        with suppress(OSError):
            os.utime(held.path)
        if on_beat:
            on_beat()


def _identity(token: str) -> dict[str, Any]:
    pid = os.getpid()
    return {
        "token": token,
        "host": socket.gethostname(),
        "pid": pid,
        "sees": _process_space(),
        "started": _started(pid),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
    }


def _process_space() -> str | None:
    """Return what names the set of processes that this one can see: the boot of the machine and the PID namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return None


def _started(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since the boot: a process id may be given again."""
    fields = _process_fields(pid)
    return int(fields[19]) if len(fields) > 19 else None


def _process_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on; none if they can't be read (``hidepid``)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def holder_runs(holder: dict[str, Any]) -> bool | None:
    """Whether a holder's process runs; None if it wouldn't be visible from here."""
    pid, space = holder.get("pid"), _process_space()
    if holder.get("host") != socket.gethostname() or not isinstance(pid, int):
        return None
    if space is None or holder.get("sees") != space:
        return None
    if not _process_exists(pid):
        return False
    fields = _process_fields(pid)
    if not fields:
        return None
    is_dead = fields[0] in "ZX"  # a zombie: killed, and its parent hasn't asked for its exit code
    return not is_dead and holder.get("started") == _started(pid)


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@dataclass(frozen=True)
class Holder:
    """The holder of a lock file at one moment.

    One look can't tell whether the file changes; ``silent_seconds`` is the file's age on this machine's clock.
    """

    host: str | None
    pid: int | None
    slurm_job_id: str | None
    token: str | None
    silent_seconds: float
    is_gone: bool

    def __str__(self) -> str:
        job = f", Slurm job {self.slurm_job_id}" if self.slurm_job_id else ""
        return f"process {self.pid or 'unknown'} on {self.host or 'an unknown host'}{job}"


def look(path: Path) -> Holder | None:
    """Return who holds a lock file; None if there is none. Changes nothing."""
    seen = _look(path)
    return None if seen is None else _holder(seen)


def _holder(seen: _Seen) -> Holder:
    silent_seconds, runs = max(0.0, time.time() - seen.time_ns / 1e9), holder_runs(seen.holder)
    host, pid, job = (seen.holder.get(key) for key in ("host", "pid", "slurm_job_id"))
    return Holder(
        host=host if isinstance(host, str) else None,
        pid=pid if isinstance(pid, int) else None,
        slurm_job_id=None if job is None else str(job),
        token=seen.holder.get("token"),
        silent_seconds=silent_seconds,
        is_gone=silent_seconds > TIMING.stale_after if runs is None else not runs,
    )


def living_holder(path: Path) -> Holder | None:
    """Return who holds a lock file; None if there is none or its holder is gone."""
    holder = look(path)
    return None if holder is None or holder.is_gone else holder
