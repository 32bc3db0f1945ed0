"""Checksums of input files, kept with their sizes and times."""

import json
import os

import pytest

from genenet.config.model import check_config
from genenet.config.stages import settings_json
from genenet.core import contents as module
from genenet.core.contents import contents
from tests.support.configs import changed


@pytest.fixture
def files(tmp_path):
    (tmp_path / "slices").mkdir()
    paths = [tmp_path / "a.tif", tmp_path / "slices"]
    for path in (paths[0], paths[1] / "1.tif", paths[1] / "2.tif"):
        path.write_text("12345")
    return paths


@pytest.fixture
def read(monkeypatch):
    """The paths whose content was read."""
    found = []
    checksum = module._checksum
    monkeypatch.setattr(module, "_checksum", lambda path: (found.append(path), checksum(path))[1])
    return found


def test_only_what_has_another_size_or_time_is_read(tmp_path, files, read):
    record = tmp_path / "record.json"
    first = contents(files, record)
    assert contents(files, record) == first
    assert read == files
    os.utime(files[0], ns=(1, 1))
    assert contents(files, record) == first  # touched, but the same
    assert read == [*files, files[0]]
    (files[1] / "2.tif").rename(files[1] / "3.tif")
    os.utime(files[1] / "3.tif")
    assert contents(files, record) != first


def test_older_files_of_the_same_size_are_noticed(tmp_path, files):
    record = tmp_path / "record.json"
    first = contents(files, record)
    for path in (files[0], files[1] / "1.tif"):
        (tmp_path / "corrected").write_text("12354")
        os.utime(tmp_path / "corrected", ns=(10**18, 10**18))
        os.replace(tmp_path / "corrected", path)
        second = contents(files, record)
        assert second != first
        first = second


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "genenet.contents/9", "files": {}}'])
def test_a_record_that_cannot_be_read_is_written_anew(tmp_path, files, text):
    record = tmp_path / "record.json"
    expected = contents(files, record)
    record.write_text(text)
    assert contents(files, record) == expected
    assert len(json.loads(record.read_text())["files"]) == 2


def test_other_voxels_are_other_settings_of_prepare_and_evaluate(tmp_path, files, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = {"path": "image.tif", "labels": "a.tif"}
    (tmp_path / "image.tif").write_text("image")
    values = changed("data.train", [image])
    values["data"]["volumes"] = {"own": image}
    config = check_config(values, "config")

    def settings():
        return {
            s: settings_json(config, s) for s in ("prepare_train", "evaluate_own", "train", "segment_own")
        }

    first = settings()
    files[0].write_text("12354")
    os.utime(files[0], ns=(1, 1))
    second = settings()
    assert {s for s in first if first[s] != second[s]} == {"prepare_train", "evaluate_own"}
    os.utime(files[0])
    assert settings() == second
