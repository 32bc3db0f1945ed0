import errno
import logging
import os

import pytest
import torch

from genenet import checkpoint

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


@pytest.mark.parametrize("where", [0, 5, 40, 60, 300, -1])
@pytest.mark.parametrize("how", ["flip", "cut"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, caplog, where, how):
    path = tmp_path / "checkpoint.pt"
    save(path, iteration=1)
    save(path, iteration=2)
    data = bytearray(path.read_bytes())
    if how == "cut":
        data = data[: where if where >= 0 else len(data) - 1]
    else:
        data[where] ^= 1
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert checkpoint.load(path, "a" * 64)["iteration"] == 1
    assert "checkpoint.pt is damaged" in caplog.text
    assert "falling back" in caplog.text


def test_one_of_other_settings_is_set_aside(tmp_path, caplog):
    path = tmp_path / "checkpoint.pt"
    save(path)
    with caplog.at_level(logging.WARNING):
        assert checkpoint.load(path, "b" * 64) is None
    assert "set aside as checkpoint.aaaaaaaa.pt" in caplog.text
    assert (tmp_path / "checkpoint.aaaaaaaa.pt").exists()
    assert not path.exists()


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


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, {"fingerprint": "a" * 64, "evil": os.system})
    with pytest.raises(Exception, match="Weights only load failed"):
        checkpoint.load(path, "a" * 64)
