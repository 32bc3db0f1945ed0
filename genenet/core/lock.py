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
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from genenet.core.atomic_files import atomic_path, checked_before_renames
from genenet.core.errors import MachineError
from genenet.core.lock_holder import STALE_SECONDS, Holder, identity, look

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timing:
    """How often a holder shows that it lives, and how long a waiter watches before it takes a lock over, in seconds."""

    heartbeat: float = 10.0
    stale_after: float = STALE_SECONDS
    poll: float = 0.5


TIMING = Timing()


class LockLostError(MachineError):
    """Another process has taken the lock over, since this one seemed dead; this one must not write any more."""


class WaitingStoppedError(Exception):
    """The process was asked to stop while it waited for a lock."""


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
        holder = look(self.path)
        return holder is not None and holder.token == self.token


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
            log.warning("%s: another process works here (%s); waiting for it", path, seen)
            is_told = True
        if reason := stop():
            raise WaitingStoppedError(reason)
        time.sleep(timing.poll)
    return held


class _Watch:
    """A waiter's memory of a lock: since when, on its own clock, the file hasn't changed."""

    def __init__(self, path: Path, timing: Timing) -> None:
        self.path, self.timing = path, timing
        self._last: Holder | None = None
        self._since = time.monotonic()

    def look(self) -> Holder | None:
        """Read the lock and notice whether it has changed."""
        seen = look(self.path)
        if seen != self._last:
            self._last, self._since = seen, time.monotonic()
        return seen

    def is_stale(self, seen: Holder) -> bool:
        """Whether the holder is gone; judged by its heartbeat if its process can't be seen from here."""
        is_silent = time.monotonic() - self._since > self.timing.stale_after
        return is_silent if seen.runs is None else not seen.runs


def _create(held: HeldLock) -> bool:
    """Make the lock file, unless there is one."""
    try:
        descriptor = os.open(held.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(identity(held.token)))
    except OSError:  # the disk is full
        held.path.unlink(missing_ok=True)
        raise
    return True


def _take_over(held: HeldLock, seen: Holder) -> bool:
    """Replace a stale lock, unless it has changed since it was seen.

    Of several waiters on one host, the folder's own lock lets one in at a time. Where folders can't be locked (NFS),
    two may replace the file in turn; the first one then finds a token that isn't its own and stops.
    """
    with _alone_in(held.path.parent):
        if look(held.path) != seen:
            return False
        log.warning("%s: taking over from a process that is gone: %s", held.path, seen)
        with atomic_path(held.path) as temporary:
            temporary.write_text(json.dumps(identity(held.token)), encoding="utf-8")
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
            # this thread may be suspended between the question above and a rename
            with suppress(LockLostError), checked_before_renames(held.check):
                on_beat()
