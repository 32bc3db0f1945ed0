"""Many trainings in one job: each a process of its own, as many side by side as fit, the next as soon as one has ended.

A member keeps its own folder, lock, attempts, checkpoint and log, as if it had a job of its own. Members that have
published an outcome aren't started, so a pack that is run again continues with what is missing. A member that fails
beside others, perhaps since memory ran out, is set aside and tried once more when nothing runs beside it.
"""

from __future__ import annotations

import ctypes
import logging
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from genenet.cluster.submitit_job import INTERRUPTED, STOP_SECONDS, STOPPED
from genenet.core import exit_codes
from genenet.core.atomic_files import write_json
from genenet.core.models import Closed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.cluster.pack_members import PackMember
    from genenet.cluster.pack_room import Room
    from genenet.training.stopping import Stop

POLL_SECONDS = 0.5
KILLED = {-signal.SIGKILL, 128 + signal.SIGKILL}  # by the kernel, if memory ran out
MAY_BE_THE_OTHERS = {exit_codes.FAILED, exit_codes.MACHINE, *KILLED}
_PARENT_DIES = 1  # PR_SET_PDEATHSIG of Linux' prctl

log = logging.getLogger(__name__)


class PackReceipt(Closed):
    """What a finished pack leaves for the workflow: the names of its trainings, all of which have ended."""

    format: Literal["genenet.pack/1"] = "genenet.pack/1"
    trainings: list[str]


class Pack:
    """The trainings of one job.

    Args:
        members: to train.
        room: says whether one more fits beside those that run.
        stop: tells when to stop.
    """

    def __init__(self, members: Sequence[PackMember], room: Room, stop: Stop) -> None:
        self.members, self.room, self.stop = members, room, stop
        self.waiting = [member for member in members if not member.is_done()]
        self.set_aside: list[PackMember] = []
        self.running: dict[PackMember, subprocess.Popen[bytes]] = {}
        self._beside: set[PackMember] = set()  # those that another one ran beside
        self._unfinished: list[int] = []  # exit codes of members that have published nothing

    def run(self) -> int:
        """Train what isn't trained; return the exit code of the job, 0 if all members have published an outcome."""
        n = len(self.members)
        log.info("%d trainings in this job, %d of them have ended already", n, n - len(self.waiting))
        try:
            while not self.stop() and (self.running or self.waiting or self.set_aside):
                self._start_what_fits()
                time.sleep(POLL_SECONDS)
                self._collect()
            if reason := self.stop():
                log.info("%s; %d trainings stop, %d wait", reason, len(self.running), len(self._left))
        finally:
            self._end_all()
        self._unfinished += [exit_codes.STOPPED] * len(self._left)
        return exit_code(self._unfinished)

    @property
    def _left(self) -> list[PackMember]:
        return [*self.waiting, *self.set_aside]

    def _start_what_fits(self) -> None:
        while self.waiting and self._fits(self.waiting[0]):
            self._start(self.waiting.pop(0))
        if self.set_aside and not self.running:
            self._start(self.set_aside.pop(0))

    def _fits(self, member: PackMember) -> bool:
        running = {process.pid: each.own_bytes for each, process in self.running.items()}
        return self.room.fits(running, member.own_bytes)

    def _start(self, member: PackMember) -> None:
        minutes = self.stop.minutes_left()
        clock = [] if minutes is None else ["--stop-after-minutes", f"{minutes:.3f}"]
        if self.running:
            self._beside |= {member, *self.running}
        else:
            self._beside.discard(member)
        command = [*member.command, *clock]
        self.running[member] = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, preexec_fn=_end_with_parent
        )
        log.info("%s starts; %d run, %d wait", member.name, len(self.running), len(self._left))

    def _collect(self) -> None:
        """Take note of the members that have ended."""
        for member, process in list(self.running.items()):
            if (code := process.poll()) is None:
                continue
            del self.running[member]
            if code in MAY_BE_THE_OTHERS and member in self._beside:
                log.warning("%s ended with %d beside others; it is tried again alone", member.name, code)
                self.set_aside.append(member)
            elif code:
                log.warning("%s ended with %d", member.name, code)
                self._unfinished.append(code)

    def _end_all(self) -> None:
        """Let all members that run keep a checkpoint and end."""
        for process in self.running.values():
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in self.running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            if process.poll() is None:
                process.kill()
        codes = [process.wait() for process in self.running.values()]
        self._unfinished += [code for code in codes if code]
        self.running.clear()


def exit_code(codes: Sequence[int]) -> int:
    """Return the exit code of a job from those of the members that have published nothing.

    What another attempt follows anyway comes first: Ctrl-C, the time limit, the machine.
    """
    if not codes:
        return 0
    if any(code in INTERRUPTED for code in codes):
        return exit_codes.INTERRUPTED
    if any(code in STOPPED for code in codes):
        return exit_codes.STOPPED
    if any(code in {exit_codes.MACHINE, *KILLED} for code in codes):
        return exit_codes.MACHINE
    return exit_codes.USER_ERROR if exit_codes.USER_ERROR in codes else exit_codes.FAILED


def write_receipt(path: Path, members: Sequence[PackMember]) -> None:
    """Write that all trainings of a pack have ended."""
    write_json(path, PackReceipt(trainings=[member.name for member in members]).model_dump(mode="json"))


def _end_with_parent() -> None:
    """Ask the kernel to end this process when its parent is killed, so that it doesn't train on without a job."""
    with suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(_PARENT_DIES, signal.SIGTERM)
