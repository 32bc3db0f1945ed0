"""Who holds a lock file, and whether that process still runs, as far as it can be seen from here."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from genenet.core.tolerant_read import FileContent, try_read

STALE_SECONDS = 120.0  # without a heartbeat; file systems of clusters show a file's new time late


def identity(token: str) -> dict[str, Any]:
    """Return what this process writes into a lock file; ``token`` distinguishes it from all other holders."""
    pid = os.getpid()
    return {
        "token": token,
        "host": socket.gethostname(),
        "pid": pid,
        "sees": _process_space(),
        "started": _started(pid),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
    }


@dataclass(frozen=True)
class Holder:
    """The holder of a lock file at one moment: the file's text, and when it was written by its file system's clock."""

    text: str
    time_ns: int

    @cached_property
    def _values(self) -> dict[str, Any]:
        return FileContent(self.text, 0.0).json()

    def __str__(self) -> str:
        job = f", Slurm job {self.slurm_job_id}" if self.slurm_job_id else ""
        return f"process {self.pid or 'unknown'} on {self.host or 'an unknown host'}{job}"

    @property
    def host(self) -> str | None:
        """Where it runs."""
        host = self._values.get("host")
        return host if isinstance(host, str) else None

    @property
    def pid(self) -> int | None:
        """Its process id on that host."""
        pid = self._values.get("pid")
        return pid if isinstance(pid, int) else None

    @property
    def slurm_job_id(self) -> str | None:
        """Its job."""
        job = self._values.get("slurm_job_id")
        return None if job is None else str(job)

    @property
    def token(self) -> str | None:
        """Of this holder alone."""
        return self._values.get("token")

    @property
    def silent_seconds(self) -> float:
        """The file's age on this machine's clock. One look can't tell whether the file changes."""
        return max(0.0, time.time() - self.time_ns / 1e9)

    @property
    def is_gone(self) -> bool:
        """Whether its process is gone; judged by the last heartbeat if the process can't be seen from here."""
        runs = self.runs
        return self.silent_seconds > STALE_SECONDS if runs is None else not runs

    @property
    def runs(self) -> bool | None:
        """Whether its process runs; None if it wouldn't be visible from here."""
        pid, space = self.pid, _process_space()
        if (
            self.host != socket.gethostname()
            or pid is None
            or space is None
            or self._values.get("sees") != space
        ):
            return None
        if not _process_exists(pid):
            return False
        fields = _process_fields(pid)
        if not fields:
            return None
        is_dead = fields[0] in "ZX"  # a zombie: killed, and its parent hasn't asked for its exit code
        return not is_dead and self._values.get("started") == _started(pid)


def look(path: Path) -> Holder | None:
    """Return who holds a lock file; None if there is none. Changes nothing."""
    try:
        time_ns = path.stat().st_mtime_ns
    except OSError:
        return None
    content = try_read(path)
    return None if content is None else Holder(content.text, time_ns)


def living_holder(path: Path) -> Holder | None:
    """Return who holds a lock file; None if there is none or its holder is gone."""
    holder = look(path)
    return None if holder is None or holder.is_gone else holder


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


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
