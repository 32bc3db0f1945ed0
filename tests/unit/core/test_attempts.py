"""Attempts at a piece of work: one test for each row of DESIGN 3's table, and what counts as attempts in a row."""

import errno
import json
import os

import pytest

from genenet.core import exit_codes
from genenet.core.attempt_records import read_attempts
from genenet.core.attempts import Attempts, Verdict, fingerprint_of_files
from genenet.core.errors import InputError, MachineError
from genenet.core.lock import LockLostError

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "checkpoint.pt")
CUDA = RuntimeError("CUDA error: an illegal memory access was encountered")


class Work:
    """Work that is started again and again by the command ``start``, as retries do."""

    def __init__(self, path):
        self.path, self.kept = path / "attempts.json", 0

    def start(self, ends_by=None, progress=0, fingerprint="settings", token=None):
        """Return True (done), False (stopped), a verdict, or the exit code and message of what was raised."""

        def work():
            self.kept += progress
            if isinstance(ends_by, BaseException):
                raise ends_by
            return ends_by is None

        attempts = Attempts(self.path, fingerprint, token)
        try:
            return attempts.run(work, self.kept, lambda: self.kept, lambda: self.kept)
        except BaseException as error:
            return getattr(error, "status", type(error).__name__), str(error)

    def killed(self):
        """A process that can't write how it ended."""
        Attempts(self.path, "settings")._begin(self.kept)

    @property
    def endings(self):
        return [entry.ending for entry in read_attempts(self.path)]


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path)


def test_done(work):
    assert work.start() is True
    assert work.endings == ["finished"]


def test_the_same_exception_twice_is_failed_for_good(work):
    assert work.start(ValueError("it broke at 0x7f01")) == ("ValueError", "it broke at 0x7f01")
    assert work.start(ValueError("it broke at 0x7f99")) == Verdict(
        "failed",
        "given up after 2 attempts without progress beyond iteration 0; the last: ValueError: it broke at 0x7f99",
    )
    assert work.endings == ["crash", "crash", "given_up"]


def test_two_different_exceptions_are_not_the_same(work):
    work.start(ValueError("it broke"))
    assert work.start(KeyError("another")) == ("KeyError", "'another'")


@pytest.mark.parametrize("error", [FULL, CUDA, MachineError("too few cores")])
def test_the_machine_is_unfinished_after_five(work, error):
    for _ in range(4):
        code, message = work.start(error)
        assert code == exit_codes.MACHINE == 74
        assert message
    verdict = work.start(error)
    assert verdict.status == "unfinished"
    assert "5 attempts without progress beyond iteration 0; the last: " in verdict.reason


def test_a_full_disk_says_what_to_do(work):
    code, message = work.start(FULL)
    assert code == exit_codes.MACHINE
    assert message.startswith("no space left on the device for checkpoint.pt; free some or choose another")


def test_killed_is_the_machine(work):
    for _ in range(5):
        work.killed()
    verdict = work.start()
    assert verdict.status == "unfinished"
    assert "the last: killed" in verdict.reason


def test_the_users_settings_are_unfinished_after_three_with_the_message(work):
    error = "train.zarr.zip: has 3 classes, not 2"
    for _ in range(2):
        assert work.start(InputError(error)) == (exit_codes.USER_ERROR, error)
    assert exit_codes.USER_ERROR == 2
    verdict = work.start(InputError(error))
    assert verdict.status == "unfinished"
    assert error in verdict.reason


def test_time_is_up_with_progress_is_never_too_often(work):
    for _ in range(30):
        assert work.start("time is up", progress=10) is False
    assert work.start() is True


def test_time_is_up_without_progress_counts_as_the_machines(work):
    for _ in range(5):
        assert work.start("time is up") is False
    assert work.start().status == "unfinished"


def test_ctrl_c_counts_nowhere(work):
    for _ in range(9):
        assert work.start(KeyboardInterrupt()) == ("KeyboardInterrupt", "")
    assert work.start(ValueError("it broke")) == ("ValueError", "it broke")
    work.start(KeyboardInterrupt())
    assert work.start(ValueError("it broke")).status == "failed"  # Ctrl-C between them changes nothing


def test_a_shortage_of_memory_before_the_work_is_the_machines(work):
    assert work.start(MemoryError()) == (74, "MemoryError")
    assert work.endings == ["machine"]


def test_machines_of_all_kinds_count_together(work):
    work.start(FULL)
    work.killed()
    work.start("time is up")
    work.start(CUDA)
    assert work.start(FULL).status == "unfinished"


def test_progress_starts_a_new_count(work):
    for _ in range(4):
        work.start(FULL)
    work.start(FULL, progress=1)
    for _ in range(4):
        assert work.start(FULL)[0] == exit_codes.MACHINE
    assert work.start(FULL).status == "unfinished"


def test_other_settings_start_a_new_count(work):
    work.start(ValueError("it broke"))
    assert work.start(ValueError("it broke"), fingerprint="others")[0] == "ValueError"


def test_after_a_verdict_it_counts_anew(work):
    work.start(ValueError("it broke"))
    assert work.start(ValueError("it broke")).status == "failed"
    assert work.start(ValueError("it broke"))[0] == "ValueError"


def test_a_damaged_file_starts_a_new_count(work):
    work.start(ValueError("it broke"))
    work.path.write_text("{")
    assert work.start(ValueError("it broke"))[0] == "ValueError"


def test_who_lost_the_lock_writes_nothing(work):
    assert work.start(LockLostError("another process has taken over"))[0] == exit_codes.MACHINE
    assert work.endings == [None]


def test_the_record_of_version_0_1_is_read(work):
    entry = {"fingerprint": "settings", "host": "h", "slurm_job_id": None, "began": "2026-01-01T00:00:00Z",
             "began_at_iteration": 0, "ended": "2026-01-01T00:01:00Z", "ended_at_iteration": 7}  # fmt: skip
    exits = ["stopped", "KeyboardInterrupt: x", "InputError: x", "ValueError: x", "OSError: x", "given up"]
    values = {"format": "genenet.attempts/1", "attempts": [{**entry, "exit": text} for text in exits]}
    work.path.write_text(json.dumps(values))
    assert work.endings == ["stopped", "interrupted", "user_error", "crash", "machine", "given_up"]
    assert {entry.seconds for entry in read_attempts(work.path)} == {60.0}


def test_a_record_that_a_full_disk_refuses_is_the_machines(work, monkeypatch):
    """From the first moment of an attempt on; it counts as soon as the record can be written."""

    def full(path, value):
        raise FULL

    with monkeypatch.context() as patched:
        patched.setattr("genenet.core.attempts.write_json", full)
        assert work.start()[0] == exit_codes.MACHINE
    assert work.endings == []
    assert work.start(FULL)[0] == exit_codes.MACHINE
    assert work.endings == ["machine"]


def prepare(path, read, files=(), token="t"):
    """What an attempt reads before it knows where it begins; what ended it, or what was read."""
    try:
        return Attempts(path, fingerprint_of_files(files), token).prepare(read)
    except BaseException as error:
        return getattr(error, "status", type(error).__name__), str(error)


def raising(error):
    def read():
        raise error

    return read


def test_what_is_read_before_an_attempt_counts_only_if_it_fails(tmp_path):
    path, given = tmp_path / "attempts.json", tmp_path / "genome.json"
    assert prepare(path, lambda: "inputs") == "inputs"
    assert not path.exists()
    given.write_text("{")
    broken = raising(InputError("genome.json: not a JSON file"))
    for _ in range(2):
        assert prepare(path, broken, [given]) == (2, "genome.json: not a JSON file")
    verdict = prepare(path, broken, [given])
    assert verdict.status == "unfinished"
    assert verdict.reason.endswith("beyond iteration 0; the last: InputError: genome.json: not a JSON file")
    for _ in range(4):
        assert prepare(path, raising(FULL), [given])[0] == 74
    assert prepare(path, raising(FULL), [given]).status == "unfinished"


def test_files_that_were_changed_or_removed_start_a_new_count(tmp_path):
    path, given = tmp_path / "attempts.json", tmp_path / "genome.json"
    broken = raising(InputError("genome.json: not a JSON file"))
    for content in ("{", "{{", None):
        given.unlink() if content is None else given.write_text(content)
        assert [prepare(path, broken, [given])[0] for _ in range(2)] == [2, 2]


def test_images_that_could_not_be_read_once_cost_no_checkpoint(work):
    """The failed attempt began before any iteration, but it touched no checkpoint."""
    work.kept = 100
    work.start("time is up", token="first")
    assert prepare(work.path, raising(FULL), token="second")[0] == 74
    assert not Attempts(work.path, "settings", "third").is_of_a_lost_lock("first", 150)


def test_a_checkpoint_of_a_process_that_lost_its_lock_is_known_by_its_token(work):
    work.kept = 100
    work.start(FULL, token="first")
    work.kept = 150
    work.start(FULL, token="second")
    attempts = Attempts(work.path, "settings", "third")
    assert not attempts.is_of_a_lost_lock("first", 150)  # what the second one continued from
    assert attempts.is_of_a_lost_lock("first", 160)  # written after the second one had begun
    assert not attempts.is_of_a_lost_lock("second", 999)
    assert not attempts.is_of_a_lost_lock("unknown", 999)
    assert not attempts.is_of_a_lost_lock(None, 999)
