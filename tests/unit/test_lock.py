import json
import os
import socket
import subprocess
import sys
import time

import pytest

from genenet import lock


def test_one_at_a_time(tmp_path):
    path = tmp_path / "run" / "lock"
    code = f"""
import sys
from pathlib import Path
from genenet.lock import exclusive
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
