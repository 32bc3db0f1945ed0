"""The small files of rungs and rounds are closed and versioned."""

import json

import pytest

from genenet.core.errors import InputError
from genenet.search.halving import rank, read_round
from genenet.search.round_files import EMPTY, RungFile, SlotFile, TrainingResult, read_file, write_file


def result(run, ari=None, status="ok"):
    return TrainingResult(run=run, genome="0" * 12, status=status, ari=ari)


def test_slots_are_ranked_and_read_as_they_were_written(tmp_path):
    results = [
        EMPTY,
        result("r0/003", 0.5),
        result("r0/001", 0.5),
        result("r0/000", status="diverged"),
        result("r0/004"),
        result("r0/002", 0.7),
    ]
    files = [tmp_path / f"{index:03d}.json" for index in range(len(results))]
    for path, each in zip(files, results, strict=True):
        write_file(path, SlotFile.holding(each, 500))
        assert read_file(path, SlotFile).result == each
    rank(files, tmp_path / "500.json")
    ranked = read_file(tmp_path / "500.json", RungFile).slots
    assert [each.run for each in ranked] == ["r0/002", "r0/001", "r0/003", "r0/004", "r0/000", None]


def test_the_files_of_version_0_1_are_read(tmp_path):
    entry = {"run": "r0/000", "genome": "0" * 12, "status": "ok", "ari": 0.5}
    (tmp_path / "slot.json").write_text(json.dumps({"format": "genenet.slot/1", **entry, "iterations": 50}))
    (tmp_path / "empty.json").write_text(
        '{"format": "genenet.slot/1", "run": null, "status": "empty", "ari": null}'
    )
    (tmp_path / "round.json").write_text(json.dumps({"format": "genenet.round/1", "runs": [entry]}))
    assert read_file(tmp_path / "slot.json", SlotFile).result == result("r0/000", 0.5)
    assert read_file(tmp_path / "empty.json", SlotFile).result == EMPTY
    assert read_round(tmp_path / "round.json") == [result("r0/000", 0.5)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": "genenet.round/9", "runs": []}, "format: input should be 'genenet.round/1', not 'genenet.round/9'"),
        ({"format": "genenet.round/1", "runs": []}, "runs: list should have at least 1 item after validation, not 0"),
        ({"runs": [{"run": "r0/000", "status": "fine"}]}, "runs.0.status"),
        ({"runs": [{"run": "r0/000", "status": "ok", "aro": 1}]}, "runs.0.aro: unknown key; did you mean ari?"),
        ([], "input should be a valid dictionary or instance of RoundFile"),
    ],
)  # fmt: skip
def test_other_contents_are_one_line_that_says_what_to_do(tmp_path, values, message):
    path = tmp_path / "r0.json"
    path.write_text(json.dumps(values))
    with pytest.raises(InputError) as error:
        read_round(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert str(error.value).endswith("; remove it and start the workflow again")
    assert len(str(error.value).splitlines()) == 1
