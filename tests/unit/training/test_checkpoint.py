import errno
import hashlib
import io
import logging
import os
import time

import pytest
import torch

from genenet.training import checkpoint

STATE = {
    "fingerprint": "a" * 64,
    "iteration": 3,
    "weights": {"w": torch.arange(100.0)},
    "history": [{"x": 1.5}],
}


def save(path, **values):
    checkpoint.save(path, {**STATE, **values})


def test_round_trip(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save(path)
    state = checkpoint.load(path, "a" * 64)
    assert state["iteration"] == 3
    assert torch.equal(state["weights"]["w"], torch.arange(100.0))
    assert checkpoint.load(tmp_path / "none.pt", "a" * 64) is None


def test_a_cut_at_any_byte_is_noticed(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save(path)
    for size in reversed(range(path.stat().st_size)):
        os.truncate(path, size)
        with pytest.raises(checkpoint.Damaged):
            checkpoint._read(path)


@pytest.mark.parametrize("where", [0, 5, 40, 60, 300, -1])
def test_a_flipped_bit_is_noticed(tmp_path, where):
    path = tmp_path / "checkpoint.pt"
    save(path)
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)
    with pytest.raises(checkpoint.Damaged):
        checkpoint._read(path)


@pytest.mark.parametrize("where", [0, 300])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_for_good(tmp_path, caplog, where):
    path = tmp_path / "checkpoint.pt"
    save(path, iteration=1)
    save(path, iteration=2)
    path.write_bytes(path.read_bytes()[:where])
    with caplog.at_level(logging.WARNING):
        assert checkpoint.load(path, "a" * 64)["iteration"] == 1
    assert "checkpoint.pt is damaged" in caplog.text
    assert "set aside as checkpoint.damaged.pt; falling back" in caplog.text
    save(path, iteration=3)
    path.write_bytes(b"")
    assert checkpoint.load(path, "a" * 64)["iteration"] == 1


def test_checkpoints_are_due_by_the_clock_and_take_a_hundredth_of_the_time_at_most(monkeypatch):
    def due(seconds, cost, until=2000):
        now = [100.0]
        monkeypatch.setattr(time, "monotonic", lambda: now[0])
        rhythm, moments = checkpoint.Rhythm(seconds), []
        while now[0] < 100 + until:
            now[0] += 0.5
            if rhythm.is_due():
                moments.append(now[0] - 100)
                with rhythm.saving():
                    now[0] += cost
        return moments

    assert due(None, 0)[:6] == [5, 10, 20, 40, 80, 140]
    assert due(20, 0)[:5] == [5, 10, 20, 40, 60]
    assert due(0.5, 0)[:3] == [0.5, 1, 1.5]
    assert len(due(None, 4)) * 4 <= 0.012 * 2000
    assert due(60, 4)[-1] - due(60, 4)[-2] == 64


def test_one_of_other_settings_is_set_aside(tmp_path, caplog):
    path = tmp_path / "checkpoint.pt"
    save(path)
    with caplog.at_level(logging.WARNING):
        assert checkpoint.load(path, "b" * 64) is None
    assert "set aside as checkpoint.aaaaaaaa.pt" in caplog.text
    assert (tmp_path / "checkpoint.aaaaaaaa.pt").exists()
    assert not path.exists()


def test_one_of_a_process_that_lost_its_lock_is_set_aside(tmp_path, caplog):
    path = tmp_path / "checkpoint.pt"
    save(path, iteration=1, token="own")
    save(path, iteration=2, token="lost")
    with caplog.at_level(logging.WARNING):
        state = checkpoint.load(
            path, "a" * 64, None, lambda token, iteration: (token, iteration) == ("lost", 2)
        )
    assert state["iteration"] == 1
    assert (
        "was written by a process that had lost its lock; set aside as checkpoint.lost-lock.pt" in caplog.text
    )


def test_a_full_disk_leaves_the_older_state(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    save(path, iteration=1)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(path, iteration=2)
    assert checkpoint.load(path, "a" * 64)["iteration"] == 1
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_nothing_is_unpickled(tmp_path, caplog):
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, {"fingerprint": "a" * 64, "evil": os.system})
    with pytest.raises(checkpoint.Damaged, match="Weights only load failed"):
        checkpoint._read(path)
    with caplog.at_level(logging.WARNING):
        assert checkpoint.load(path, "a" * 64) is None
    assert "set aside as checkpoint.damaged.pt" in caplog.text


def with_content(path, content):
    """A file with a right checksum whose content torch can't read."""
    path.write_bytes(checkpoint.MAGIC + hashlib.sha256(content).digest() + content)


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",  # EOFError
        b"no pickle",  # UnpicklingError
        saved(STATE)[:-100],  # PytorchStreamReader: a zip whose directory is cut off
        saved([1, 2]),  # TypeError: another kind of file
        saved({"iteration": 3}),  # KeyError
    ],
)
def test_whatever_torch_says_of_a_file_it_is_damaged_and_set_aside(tmp_path, caplog, content):
    path = tmp_path / "checkpoint.pt"
    save(path, iteration=1)
    save(path, iteration=2)
    with_content(path, content)
    with caplog.at_level(logging.WARNING):
        assert checkpoint.load(path, "a" * 64)["iteration"] == 1
    (line,) = caplog.messages
    assert "\n" not in line
    assert "checkpoint.pt is damaged (" in line
    assert (tmp_path / "checkpoint.damaged.pt").exists()
    with_content(checkpoint.previous(path), content)
    assert checkpoint.load(path, "a" * 64) is None  # training begins anew
