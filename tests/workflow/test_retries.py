"""A training whose disk fails, under Snakemake: what each start does, and ``genenet retry``."""

import json

import pytest

from tests.support import runs
from tests.support.search import Search

pytestmark = [pytest.mark.workflow, pytest.mark.process]


def test_selection_and_report_come_and_nothing_is_lost(tmp_path):
    search = Search(tmp_path, "small.yaml")
    obstacle = search.results / "runs/r0/001/progress.csv"
    obstacle.mkdir(parents=True)  # each attempt fails before its first iteration, with an error of the disk
    first = search.snakemake(check=False)
    assert exits(search) == ["machine"] * 3  # the profile's two retries
    assert "genenet: error: " in first
    assert not (search.results / "report.html").exists()
    second = search.snakemake()
    assert exits(search) == [*["machine"] * 5, "given_up"]
    assert scores(search)["status"] == "unfinished"
    assert (search.results / "report.html").exists()
    assert "genenet retry results" in second
    obstacle.rmdir()
    assert search.planned() == {}
    done = runs.run(runs.genenet("retry", "results"), cwd=tmp_path)
    assert done.stdout.startswith("r0/001: unfinished: given up after 5 attempts")
    assert search.planned()["train"] == 1
    search.snakemake()
    assert scores(search)["status"] == "ok"
    assert "genenet retry" not in (search.results / "report.html").read_text()


def exits(search):
    record = json.loads((search.results / "runs/r0/001/attempts.json").read_text())
    return [attempt["ending"] for attempt in record["attempts"]]


def scores(search):
    return json.loads((search.results / "runs/r0/001/scores.json").read_text())
