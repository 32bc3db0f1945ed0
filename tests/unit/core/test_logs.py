"""Logs of jobs: what is kept of earlier attempts, and what is said at the end."""

import pytest

from genenet.core.logs import last_errors
from genenet.training.stopping import Stop, minutes_to_use
from tests.support import runs


def test_only_logs_that_end_with_an_error_are_told(tmp_path):
    (tmp_path / "train/r0").mkdir(parents=True)
    (tmp_path / "train/r0/000.log").write_text("genenet: error: it broke\n--- again\nall is well\n")
    (tmp_path / "train/r0/001.log").write_text("going on\ngenenet: error: first\ngenenet: error: second\n")
    (tmp_path / "prepare.log").write_text("")
    log = tmp_path / "train/r0/001.log"
    assert last_errors(tmp_path) == [f"{log}:genenet: error: first", f"{log}:genenet: error: second"]


@pytest.mark.process
def test_a_log_keeps_what_earlier_attempts_said(tmp_path):
    log = tmp_path / "logs" / "check.log"
    for _ in range(2):
        done = runs.run(runs.genenet("check", tmp_path / "missing.yaml", "--log", log))
        assert done.returncode == 1
    text = log.read_text()
    assert text.count("genenet: error: ") == 2
    assert text.count(": genenet check ") == 2
    assert len(last_errors(tmp_path)) == 1


@pytest.mark.process
def test_a_log_on_a_full_disk_ends_nothing(tmp_path):
    """A device that is always full."""
    command = [*runs.make(tmp_path, iterations=20), "--log", "/dev/full", "--out", tmp_path / "run"]
    done = runs.run(command)
    assert done.returncode == 0, done.stderr
    assert "20/20  ARI" in done.stderr
    missing = runs.run(runs.genenet("check", tmp_path / "missing.yaml", "--log", "/dev/full"))
    assert missing.returncode == 1
    assert "Traceback" not in missing.stderr


@pytest.mark.parametrize(("job", "use"), [(1, 0.25), (4, 3.25), (20, 18), (240, 235), (10_000, 9995)])
def test_a_job_keeps_some_of_its_time_for_the_end(job, use):
    assert minutes_to_use(job) == use


def test_without_a_limit_it_never_stops():
    assert Stop()() is None
    assert Stop(0)() == "time is over"
