"""``test_scores.json``: written and read by one closed model; files of older versions have no format."""

import pytest

from genenet.core.atomic_files import read_json, write_json
from genenet.core.errors import InputError
from genenet.ensembles.tested import ScoresOnTestImages, read_test_scores

SCORES = {
    "n_voxels": 9,
    "ari": 0.5,
    "mean_iou": 0.4,
    "accuracy": 0.8,
    "iou": [0.9, None],
    "confusion": [[8, 1], [0, 0]],
}


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "test_scores.json"
    assert read_test_scores(path) is None
    values = {"volumes": ["test.tif"], **SCORES, "strategies": {"greedy": {**SCORES, "ari": 0.6}}}
    found = ScoresOnTestImages.model_validate(values)
    write_json(path, found.model_dump(mode="json"))
    assert read_test_scores(path) == found
    written = read_json(path)
    assert written["format"] == "genenet.test_scores/1"
    assert (written["ari"], written["strategies"]["greedy"]["ari"]) == (0.5, 0.6)
    write_json(path, values)  # as version 0.1 wrote it
    assert read_test_scores(path) == found


@pytest.mark.parametrize(
    ("change", "problem"),
    [({"volumes": None}, "volumes"), ({"arii": 1}, "arii: unknown key"), ({"format": "x/9"}, "format")],
)
def test_another_file_is_refused_with_one_line(tmp_path, change, problem):
    path = tmp_path / "test_scores.json"
    write_json(path, {"volumes": ["test.tif"], **SCORES, **change})
    with pytest.raises(InputError, match=problem) as caught:
        read_test_scores(path)
    assert len(str(caught.value).splitlines()) == 1
