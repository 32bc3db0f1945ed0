import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from genenet.core import lock


@pytest.mark.process
def test_one_at_a_time(tmp_path):
    path = tmp_path / "run" / "lock"
    code = f"""
import sys
from pathlib import Path
from genenet.core.lock import exclusive
with exclusive(Path({str(path)!r})):
    print("held", flush=True)
    sys.stdin.readline()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    waiter = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "waiting for it" in waiter.stderr.readline()
    holder.communicate("\n")
    assert waiter.stdout.readline() == "held\n"
    waiter.communicate("\n")
    assert holder.returncode == waiter.returncode == 0
    assert not path.exists()


@pytest.mark.process
def test_the_lock_of_a_dead_process_is_taken_over(tmp_path, caplog):
    path = tmp_path / "lock"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": dead.pid}))
    with lock.exclusive(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert "taking over" in caplog.text


@pytest.mark.parametrize("holder", ['{"host": "elsewhere", "pid": 1}', "{broken"])
def test_a_heart_that_no_longer_beats_is_dead(tmp_path, holder):
    path = tmp_path / "lock"
    path.write_text(holder)
    assert not lock._is_dead(path)
    past = time.time() - lock.DEAD_AFTER_SECONDS - 1
    os.utime(path, (past, past))
    with lock.exclusive(path):
        pass


def test_the_heart_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.01)
    path = tmp_path / "lock"
    with lock.exclusive(path):
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 5
        while path.stat().st_mtime < 1:
            assert time.monotonic() < deadline


@pytest.mark.process
def test_of_many_that_meet_a_dead_lock_one_at_a_time_gets_in(tmp_path):
    path, journal = tmp_path / "lock", tmp_path / "journal"
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": 2**22 + 1}))
    code = f"""
import os, time
from pathlib import Path
from genenet.core.lock import exclusive
with exclusive(Path({str(path)!r}), poll_seconds=0.001):
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


def test_a_dead_lock_that_another_has_taken_over_meanwhile_is_left_to_it(tmp_path, monkeypatch):
    path, alone_in = tmp_path / "lock", lock._alone_in
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": 2**22 + 1}))

    @contextmanager
    def too_late(folder):
        with alone_in(folder):
            path.write_text(json.dumps(lock._me()))
            yield

    monkeypatch.setattr(lock, "_alone_in", too_late)
    monkeypatch.setattr(
        os, "rename", lambda *_: pytest.fail("away for a moment, in which a third could come in")
    )
    assert lock._take_away_if_dead(path)
    assert lock._read(path) == lock._me()
