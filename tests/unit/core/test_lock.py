"""One writer at a time: who waits, who takes over, and what a holder does that has lost its lock."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from genenet.core import lock, lock_holder
from genenet.core.atomic_files import checked_before_renames, write_text
from genenet.core.lock_holder import Holder, identity, look

QUICK = lock.Timing(heartbeat=0.02, stale_after=0.3, poll=0.01)
HOLD = """
import sys
from pathlib import Path
from genenet.core.lock import Timing, exclusive
with exclusive(Path(sys.argv[1]), timing=Timing(heartbeat=0.05, stale_after=float(sys.argv[2]), poll=0.01)):
    print("held", flush=True)
    sys.stdin.readline()
"""


def holding(path, *before, stale_after=120.0):
    """A process that holds the lock, after it says so, until it reads a line."""
    command = [*before, sys.executable, "-c", HOLD, str(path), str(stale_after)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **pipes, text=True)


def released(holder):
    holder.communicate("\n")
    return holder.returncode


def elsewhere(**values):
    """What a lock file of another machine holds."""
    return json.dumps({**identity("theirs"), "host": "elsewhere", **values})


def gone():
    """What a lock file of a process holds that was killed on this machine."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return json.dumps({**identity("theirs"), "pid": process.pid})


@pytest.mark.process
def test_one_at_a_time(tmp_path):
    path = tmp_path / "run" / "lock"
    holder = holding(path)
    assert holder.stdout.readline() == "held\n"
    waiter = holding(path)
    said = waiter.stderr.readline()
    assert "waiting for it" in said
    assert f"process {holder.pid} on {socket.gethostname()}" in said
    assert released(holder) == 0
    assert waiter.stdout.readline() == "held\n"
    assert released(waiter) == 0
    assert not path.exists()


@pytest.mark.process
def test_the_lock_of_a_dead_process_is_taken_over_at_once(tmp_path, caplog):
    path = tmp_path / "lock"
    path.write_text(gone())
    with lock.exclusive(path) as held:
        assert json.loads(path.read_text())["pid"] == os.getpid()
        assert held.is_own()
    assert "taking over" in caplog.text


def test_a_process_id_that_was_given_again_is_another_process(tmp_path, caplog):
    path = tmp_path / "lock"
    path.write_text(json.dumps({**identity("theirs"), "started": 1}))
    with lock.exclusive(path) as held:
        assert held.is_own()
        assert json.loads(path.read_text())["token"] == held.token != "theirs"
    assert "taking over" in caplog.text


@pytest.mark.parametrize(
    "holder",
    [elsewhere(), elsewhere(sees=None), "{broken", "", '{"host": 1, "pid": "x"}'],
    ids=["elsewhere", "unseen", "broken", "empty", "wrong types"],
)
def test_a_heart_that_no_longer_beats_is_dead(tmp_path, holder):
    path = tmp_path / "lock"
    path.write_text(holder)
    began = time.monotonic()
    with lock.exclusive(path, timing=QUICK):
        assert time.monotonic() - began > QUICK.stale_after


@pytest.mark.parametrize("clock", [180.0, -180.0, -10_000.0])
def test_a_heart_that_beats_lives_whatever_its_clock_shows(tmp_path, monkeypatch, clock):
    """The node's clock is three minutes ahead, or behind; only whether the file changes counts."""
    path = tmp_path / "lock"
    path.write_text(elsewhere())
    watch, elapsed = lock._Watch(path, QUICK), [0.0]
    monkeypatch.setattr(lock.time, "monotonic", lambda: elapsed[0])
    for beat in range(60):
        now = time.time() + clock + beat
        os.utime(path, (now, now))
        assert not watch.is_stale(watch.look())
        elapsed[0] += 0.9 * QUICK.stale_after
    assert not watch.is_stale(watch.look())
    elapsed[0] += 1.1 * QUICK.stale_after  # it beats no more
    assert watch.is_stale(watch.look())


def test_a_heartbeat_writes_nothing_once_another_process_holds_the_lock(tmp_path):
    """Its thread may be suspended between its look at the lock and the rename."""
    path, state, beaten = tmp_path / "lock", tmp_path / "state.json", threading.Event()

    def on_beat():
        path.write_text(elsewhere())
        write_text(state, "of this process")

    def beat():
        try:
            on_beat()
        finally:
            beaten.set()

    with lock.exclusive(path, beat, QUICK):
        assert beaten.wait(60)
    assert not state.exists()
    assert list(tmp_path.iterdir()) == [path]


def test_the_heart_beats(tmp_path):
    path, beats = tmp_path / "lock", []
    with lock.exclusive(path, lambda: beats.append(1), QUICK):
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 5
        while path.stat().st_mtime < 1 or not beats:
            assert time.monotonic() < deadline


@pytest.mark.process
def test_of_many_that_meet_a_dead_lock_one_at_a_time_gets_in(tmp_path):
    path, journal = tmp_path / "lock", tmp_path / "journal"
    path.write_text(gone())
    code = f"""
import os, time
from pathlib import Path
from genenet.core.lock import Timing, exclusive
with exclusive(Path({str(path)!r}), timing=Timing(poll=0.001)):
    with open({str(journal)!r}, "a") as file:
        file.write("in\\n")
        file.flush()
        time.sleep(0.02)
        file.write("out\\n")
"""

    waiters = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(8)]
    assert [w.communicate() and w.returncode for w in waiters] == [0] * 8
    assert journal.read_text().split() == ["in", "out"] * 8
    assert not path.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["journal"]


def test_a_dead_lock_that_another_has_taken_over_meanwhile_is_left_to_it(tmp_path):
    path = tmp_path / "lock"
    path.write_text(elsewhere())
    seen = look(path)
    path.write_text(elsewhere(token="another"))
    assert not lock._take_over(lock.HeldLock(path, "mine"), seen)
    assert json.loads(path.read_text())["token"] == "another"


def test_a_holder_that_lost_its_lock_writes_nothing(tmp_path):
    path, file = tmp_path / "lock", tmp_path / "file"
    write_text(file, "before")
    with lock.exclusive(path) as held, checked_before_renames(held.check):
        write_text(file, "own")
        path.write_text(elsewhere())
        with pytest.raises(lock.LockLostError, match="another process has taken over"):
            write_text(file, "late")
        assert file.read_text() == "own"
    assert json.loads(path.read_text())["host"] == "elsewhere"  # not removed
    write_text(file, "after")  # no longer checked
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "lock"]


def test_where_hard_links_are_missing_it_works(tmp_path, monkeypatch):
    """SMB and some BeeGFS have none."""

    def missing(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", missing)
    path = tmp_path / "lock"
    with lock.exclusive(path):
        assert not lock._create(lock.HeldLock(path, "another"))
    path.write_text(elsewhere())
    with lock.exclusive(path, timing=QUICK):
        pass


@pytest.fixture
def other_namespace():
    """The command that starts a process with process ids of its own, which it can't see from here."""
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"unshare --pid isn't allowed here: {error}")
    return command


@pytest.mark.process
def test_a_living_holder_in_another_namespace_keeps_its_lock(tmp_path, other_namespace):
    """Its process id means nothing here: seen by its number alone, it would be dead."""
    path = tmp_path / "lock"
    holder = holding(path, *other_namespace)
    assert holder.stdout.readline() == "held\n"
    assert look(path).runs is None
    waiter = holding(path, stale_after=10)
    assert "waiting for it" in waiter.stderr.readline()
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        assert waiter.poll() is None
        assert json.loads(path.read_text())["pid"] < 100  # the namespace's
        time.sleep(0.1)
    assert released(holder) == 0
    assert waiter.stdout.readline() == "held\n"
    assert released(waiter) == 0


@pytest.mark.process
def test_a_suspended_holder_that_can_be_seen_keeps_its_lock(tmp_path):
    path = tmp_path / "lock"
    holder = holding(path)
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGSTOP)
    watch = lock._Watch(path, QUICK)
    deadline = time.monotonic() + 3 * QUICK.stale_after
    while time.monotonic() < deadline:
        assert not watch.is_stale(watch.look())
    holder.send_signal(signal.SIGCONT)
    assert released(holder) == 0


@pytest.mark.process
def test_a_suspended_holder_in_another_namespace_loses_its_lock_and_stops_before_it_writes(
    tmp_path, other_namespace
):
    path, file = tmp_path / "lock", tmp_path / "file"
    code = f"""
import sys
from pathlib import Path
from genenet.core.atomic_files import checked_before_renames, write_text
from genenet.core.lock_holder import Holder, identity, look
from genenet.core.lock import Timing, exclusive
with exclusive(Path({str(path)!r}), timing=Timing(heartbeat=0.05)) as held, checked_before_renames(held.check):
    print("held", flush=True)
    sys.stdin.readline()
    write_text(Path({str(file)!r}), "late")
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    holder = subprocess.Popen([*other_namespace, sys.executable, "-c", code], **pipes, text=True)
    assert holder.stdout.readline() == "held\n"
    (inner,) = children(holder.pid)
    os.kill(inner, signal.SIGSTOP)
    with lock.exclusive(path, timing=QUICK) as held:
        os.kill(inner, signal.SIGCONT)
        _, said = holder.communicate("\n")
        assert holder.returncode != 0
        assert "LockLostError" in said
        assert held.is_own()
    assert not file.exists()


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.process
def test_a_killed_holder_that_nobody_waits_for_is_dead(tmp_path):
    """A zombie still has its process id."""
    path = tmp_path / "lock"
    holder = holding(path)
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # it is dead, and stays a zombie
    assert look(path).runs is False
    with lock.exclusive(path):
        pass
    holder.communicate()


def test_a_holder_whose_process_is_hidden_is_judged_by_its_heartbeat(tmp_path, monkeypatch):
    """As with /proc mounted with hidepid, for a process of another user."""
    monkeypatch.setattr(lock_holder, "_process_fields", lambda pid: [])
    assert Holder(json.dumps({**identity("theirs"), "started": 1}), 0).runs is None


def test_who_waits_can_be_asked_to_stop(tmp_path):
    path = tmp_path / "lock"
    with (
        lock.exclusive(path),
        pytest.raises(lock.WaitingStoppedError, match="time is over"),
        lock.exclusive(path, timing=QUICK, stop=lambda: "time is over"),
    ):
        pass
