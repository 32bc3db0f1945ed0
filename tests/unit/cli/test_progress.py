"""What people see of a training: a bar in a terminal, plain lines in a log."""

import io
import os
import pty
import re
import sys
import threading

from genenet.cli import progress
from genenet.segmentation.receipts import Receipt
from tests.support.trainers import trainer


def watch(t):
    """Train to the end, shown as `genenet train` does."""
    with progress.show_training("tiny") as show:
        for _ in t.run():
            show(t)


def in_a_terminal(monkeypatch, act):
    """What ``act`` writes to standard error where that is a terminal."""
    master, slave = pty.openpty()
    shown = []

    def read():
        try:
            while data := os.read(master, 4096):
                shown.append(data)
        except OSError:  # the other end is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        act()
    reader.join()
    os.close(master)
    return b"".join(shown).decode()


def test_in_a_terminal_it_is_a_bar(monkeypatch):
    shown = in_a_terminal(monkeypatch, lambda: watch(trainer()))
    assert "━" in shown
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown)
    assert re.search(r"tiny .*20/20 .*ARI -?\d\.\d{3}  [\d.]+ iterations/s", plain), plain


def test_in_a_log_it_is_a_line_for_each_validation_and_now_and_then(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    watch(trainer())
    lines = log.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["5/20", "10/20", "15/20", "20/20"]
    assert all(re.fullmatch(r"tiny +\d+/20  ARI -?\d\.\d{3}  [\d.]+ iterations/s", line) for line in lines)
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0)
    watch(trainer())
    assert len(log.getvalue().splitlines()) == len(lines) + 20


def test_a_receipt_is_shown_as_its_rate_and_the_seconds_of_each_stage(capsys):
    stages = {"write": 1.44, "compute": 72.61, "read": 0.2, "combine": 2.9, "normalise": 0.06}
    done = {"voxels_written": 105_000_000, "seconds_computing": 42.0, "voxels_computed_for_each": 1.129}
    progress.show_receipt(Receipt(part=1, n_parts=1, seconds_by_stage=stages, **done))
    assert capsys.readouterr().err.splitlines() == [
        "105.0 million voxels in 42.0 s, 2.50 million/s; 1.13 voxels computed for each voxel written",
        "seconds of a core: read 0.2, normalise 0.1, compute 72.6, combine 2.9, write 1.4",
    ]
    progress.show_receipt(Receipt(part=1, n_parts=1))
    assert capsys.readouterr().err == ""
