import hashlib
import json
from pathlib import Path

import torch

from genenet.core.atomic_files import write_json
from genenet.core.paths import ResultPaths
from genenet.ensembles.ranking import read_runs
from genenet.report import provenance
from genenet.training.provenance import made_with
from tests.support.results import Search


def attempt(began, ended, exit_="finished"):
    return {"began": f"2026-01-01T{began}Z", "ended": ended and f"2026-01-01T{ended}Z", "exit": exit_}


def test_cost_counts_jobs_hours_and_those_that_were_killed(tmp_path):
    search = Search(tmp_path)
    search.write()
    jobs = {
        "r0/000": [attempt("00:00:00", "01:00:00", "stopped"), attempt("02:00:00", "02:30:00")],
        "r0/001": [attempt("00:00:00", None, None), attempt("00:10:00", "01:10:00")],
        "r0/002": [attempt("00:00:00", "00:30:00", "Diverged")],
    }
    for run, entries in jobs.items():
        write_json(search.paths.run(run).attempts, {"attempts": entries})
    said = provenance.cost(read_runs(search.paths, set()))
    assert said["Hours of jobs"] == (
        "3.00 in all, 0.00 of them for baselines; 0.750 for a training on average, 1.500 at most; "
        "the time of 1 killed job is unknown"
    )
    assert said["Jobs"] == "5 for 4 trainings, 2 of them to resume or repeat a training"


def test_what_trainings_ran_with_is_gathered(tmp_path):
    search = Search(tmp_path)
    image = tmp_path / "image.sif"
    image.write_bytes(b"sif")
    made = made_with(torch.device("cpu"))
    assert made["torch"] == torch.__version__
    assert made["container"] is None
    for index, run in enumerate(("r0/000", "r0/001")):
        of_run = {**made, "container": str(image) if index else None, "torch": f"9.{index}"}
        search.runs[run] = {**search.runs[run], "made_with": of_run}
    search.write()
    runs = read_runs(search.paths, set())
    said = provenance.provenance(search.paths, runs, [])
    assert said["torch"] == "9.0, 9.1"
    digest = hashlib.sha256(b"sif").hexdigest()
    assert said["Container"] == f"{image}, SHA-256 {digest}"
    assert "Container's commit" not in said


def test_settings_are_shown_as_they_are(tmp_path):
    paths = ResultPaths(tmp_path)
    write_json(Path(paths.settings("train")), {"seed": 1})
    write_json(Path(paths.settings("select")), {"a": [1]})
    shown = provenance.settings_of(paths)
    assert [(name, json.loads(text)) for name, text in shown] == [
        ("select", {"a": [1]}),
        ("train", {"seed": 1}),
    ]
