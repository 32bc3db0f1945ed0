"""``genenet init`` with labels that number objects."""

from pathlib import Path

import numpy as np
import pytest
from skimage.measure import label

from genenet.config.model import read_config
from tests.support import runs
from tests.support.first_config import pair, said, write, wrong


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make(many=False):
    """Write em.tif, and labels.tif with a number for each blob, or for each blob in each of 67 columns."""
    image, classes = runs.blobs((2, 100, 200), 1)
    ids = (classes * (1 + np.arange(200) // 3) if many else label(classes)).astype(np.uint32)
    write("em.tif", image)
    write("labels.tif", ids)
    return classes, ids


def test_two_classes_are_made_of_the_numbers_and_the_config_has_instances():
    classes, ids = make()
    text = said(pair("--objects", "blob", "--trial"))
    config = read_config(Path("config.yaml"))
    assert config.data.classes == ["background", "blob"]
    for image in (*config.data.train, *config.data.validation):
        assert image.labels is None
        assert image.instances["blob"].path == [Path("labels.tif")]
    assert f"1 blob {int((classes == 1).sum()):,}" in text
    assert f"the labels number {ids.max()} objects of class 'blob'" in text
    assert "--objects blob" in Path("config.yaml").read_text()
    assert "not measured" not in text  # networks were tried with the two classes


def test_many_numbers_are_recognised_and_without_a_terminal_the_option_is_named():
    _, ids = make(many=True)
    n = len(np.unique(ids))
    assert n > 50
    (line,) = wrong(pair())
    assert line.startswith(f"labels.tif: has {n} different labels, so they seem to number objects")
    assert "--objects mitochondrion" in line


def test_a_terminal_asks_for_the_name(monkeypatch):
    monkeypatch.setattr("genenet.init.prompts.is_terminal", lambda: True)
    make(many=True)
    done = pair(fill="\n".join(["a,b", "cell", "", "", "2", "20", ""]) + "\n")
    assert done.exit_code == 0, done.output
    assert "Name of such an object" in done.output
    assert "give one name" in done.output
    config = read_config(Path("config.yaml"))
    assert config.data.classes == ["background", "cell"]
    assert list(config.data.train[0].instances) == ["cell"]


@pytest.mark.parametrize(
    ("ids", "options", "expected"),
    [
        (lambda ids: ids + 1, (), "labels.tif: no voxel is 0, so that nothing is outside"),
        (lambda ids: ids * 0, (), "labels.tif: all voxels are 0, so there is no object"),
        (lambda ids: ids.astype(np.int32) - 1, (), "labels.tif: holds the number -1; objects have positive"),
        (lambda ids: ids, ("--ignore-label", "0"), "--ignore-label 0: labels that number objects have none"),
        (lambda ids: ids, ("--classes", "a,b,c"), "--classes a,b,c: labels that number objects have two"),
        (lambda ids: ids, ("--classes", "blob,b"), "--classes blob,b: labels that number objects have two"),
    ],
)
def test_each_problem_has_its_line(ids, options, expected):
    _, numbers = make()
    write("labels.tif", ids(numbers))
    (line,) = wrong(pair("--objects", "blob", *options))
    assert line.startswith(expected)
