"""Files whose times would mislead Snakemake; what Snakemake does with them is in tests/workflow."""

import os
import time
from pathlib import Path

import pytest

from genenet.cluster.file_times import check_not_in_the_future, older_than_inputs, warn_of_old_trainings
from genenet.core.errors import InputError
from genenet.core.paths import ResultPaths


def file(path, hours=0.0, size=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() + 3600 * hours,) * 2)
    return path


def test_a_file_of_the_future_is_named_with_what_to_do(tmp_path):
    now, late, later = (file(tmp_path / name, h) for name, h in (("a", -1), ("b", 3), ("c", 4)))
    check_not_in_the_future([now, tmp_path / "nowhere"], tmp_path / "results")
    with pytest.raises(
        InputError, match=rf"^{late} and 1 more: the file's time is in the future \(2.*touch {late}$"
    ):
        check_not_in_the_future([now, late, later], tmp_path / "results")
    assert not list((tmp_path / "results").iterdir())


def test_finished_trainings_older_than_the_images_are_counted(tmp_path):
    paths = ResultPaths(tmp_path)
    assert not older_than_inputs(paths, ["r0/000"])
    file(Path(paths.data("train")), -1, size=2_000_000)
    file(Path(paths.data("validation")), 1)  # small: Snakemake compares its content
    for run, hours in (("r0/000", -2), ("r0/001", 0), ("r0/002", -3)):
        file(paths.run(run).scores, hours)
    runs = ["r0/000", "r0/001", "r0/002", "r0/003"]
    assert older_than_inputs(paths, runs) == ["r0/000", "r0/002"]
    line = warn_of_old_trainings(paths, runs)
    assert line.startswith("2 finished trainings (r0/000 …) are older than the prepared images")
    assert "--touch" in line
    assert "\n" not in line
    assert warn_of_old_trainings(paths, ["r0/001"]) == ""
