"""``genenet retry``: what it removes, what it leaves, and that the next start trains it."""

import json
from pathlib import Path

import pytest

from genenet.core.atomic_files import write_json
from genenet.core.paths import ResultPaths
from genenet.core.resources import available_cores
from genenet.search.retry import advice, find
from tests.support import runs
from tests.support.runs import genenet


def give_up(paths, run, status, **more):
    """A training's published files, all of them."""
    files = paths.run(run)
    for path in map(Path, files.outputs()):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    files.checkpoint.touch()
    scores = {"status": status, "genome": "g", "reason": f"{run} is {status}", **more}
    write_json(files.scores, {"format": "genenet.scores/1", **scores})


@pytest.fixture
def paths(tmp_path):
    paths = ResultPaths(tmp_path / "results")
    for index, status in enumerate(["unfinished", "failed", "out_of_memory", "diverged", "infeasible"]):
        give_up(paths, f"r0/00{index}", status)
    give_up(paths, "baselines/unet2015", "unfinished")
    give_up(paths, "r0/005", "ok", reason=None, validation={"ari": 0.5})
    return paths


def left(paths):
    """Those that still have results."""
    return sorted(p.parent.name for p in paths.run("x").folder.parent.glob("*/*/scores.json"))


@pytest.mark.process
def test_by_default_it_takes_up_what_may_succeed_now(paths):
    done = runs.run(genenet("retry", paths.results))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "baselines/unet2015: unfinished: baselines/unet2015 is unfinished",
        "r0/000: unfinished: r0/000 is unfinished",
        "r0/001: failed: r0/001 is failed",
        "r0/002: out_of_memory: r0/002 is out_of_memory",
        "4 will run again at the next start of the workflow, or of genenet submit",
    ]
    assert left(paths) == ["003", "004", "005"]
    assert [p.name for p in paths.run("r0/000").folder.iterdir()] == ["checkpoint.pt"]
    again = runs.run(genenet("retry", paths.results))
    assert "nothing to retry with status unfinished, failed, out_of_memory" in again.stdout


@pytest.mark.process
def test_some_of_them(paths):
    done = runs.run(genenet("retry", paths.results, "r0/001", "r0/003"))
    assert [line.split(":")[0] for line in done.stdout.splitlines()[:-1]] == ["r0/001"]
    done = runs.run(genenet("retry", paths.results, "--status", "diverged", "--status", "infeasible"))
    assert left(paths) == ["000", "002", "005", "unet2015"]
    runs.fails(genenet("retry", paths.results, "--status", "ok"), "--status ok: use diverged, out_of_memory")


@pytest.mark.process
def test_a_rungs_slot_is_taken_up_with_its_training(paths):
    slots = [Path(paths.slot(0, iterations, "000")) for iterations in (100, 300)]
    for path, status in zip(slots, ("ok", "unfinished"), strict=True):
        write_json(path, {"format": "genenet.slot/1", "run": "r0/000", "status": status, "ari": None})
    rankings = [Path(paths.rung(0, iterations)) for iterations in (100, 300, 900)]
    for path in [*rankings, Path(paths.ranking), Path(paths.report)]:
        path.touch()
    later = Path(paths.slot(0, 900, "000"))
    write_json(later, {"format": "genenet.slot/1", "run": "r0/005", "status": "ok", "ari": 0.5})
    runs.run(genenet("retry", paths.results, "r0/000"))
    assert [path.exists() for path in slots] == [True, False]
    assert [path.exists() for path in rankings] == [True, False, False]  # or Snakemake wouldn't see it
    assert not any(Path(path).exists() for path in (paths.ranking, paths.report, later))
    assert left(paths) == ["001", "002", "003", "004", "005", "unet2015"]


@pytest.mark.process
def test_what_later_rounds_were_bred_from_is_left(paths):
    write_json(Path(paths.round(0)), {"format": "genenet.round/1", "runs": []})
    write_json(Path(paths.genome("r1/000")), {})
    done = runs.run(genenet("retry", paths.results))
    assert (
        "r0/000: unfinished: r0/000 is unfinished; not retried: round 1 was bred from round 0" in done.stdout
    )
    assert left(paths) == ["000", "001", "002", "003", "004", "005"]  # but the baseline


@pytest.mark.process
def test_a_training_of_a_control_leaves_the_ranking(paths):
    """Its control is scored again, and the report written; nothing that the ensemble depends on."""
    for run in ("controls/best_2", "controls/unet2015_long"):
        give_up(paths, run, "failed")
    made = [paths.control(name) for name in ("best", "unet2015", "unet2015_long")]
    for path in map(Path, [*made, paths.ranking, paths.report]):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    done = runs.run(genenet("retry", paths.results, "controls/best_2"))
    assert done.stdout.splitlines()[0] == "controls/best_2: failed: controls/best_2 is failed"
    assert [Path(path).exists() for path in made] == [False, True, True]
    assert [Path(path).exists() for path in (paths.ranking, paths.report)] == [True, False]
    runs.run(genenet("retry", paths.results, "controls/unet2015_long"))
    assert [Path(path).exists() for path in made] == [False, True, False]
    assert not paths.run("controls/unet2015_long").scores.exists()


def test_folds_of_an_earlier_config_are_left(paths):
    """After 5 folds became 2, those of before neither run again nor remove what was joined since."""
    for fold in (1, 4):
        give_up(paths, f"r0/005/folds/{fold}", "failed")
    folds = [f"r0/005/folds/{fold}" for fold in (1, 4)]
    names = ["r0/005"]
    assert find(paths, ["failed"], names) == []  # r0/005 is one training, without folds
    give_up(paths, "r0/005", "failed", folds=2)
    assert [work.name for work in find(paths, ["failed"], names)] == folds[:1]
    paths.run("r0/005").scores.unlink()  # not joined yet
    assert [work.name for work in find(paths, ["failed"], names)] == folds


@pytest.mark.process
def test_parts_of_segmentations(paths):
    receipts = [Path(paths.receipt("demo", f"00{part}-of-002")) for part in (1, 2)]
    for path, status in zip(receipts, ("done", "unfinished"), strict=True):
        write_json(path, {"format": "genenet.receipt/1", "status": status, "reason": "demo.tif: truncated"})
    done = runs.run(genenet("retry", paths.results, "--status", "unfinished"))
    assert "demo, part 002-of-002: unfinished: demo.tif: truncated" in done.stdout
    assert [path.exists() for path in receipts] == [True, False]


def test_the_end_of_a_run_names_it(paths):
    assert (
        advice(paths)
        == f"4 given up; once the cause is removed: genenet retry {paths.results}, then start again"
    )
    assert advice(ResultPaths(paths.results / "none")) == ""


@pytest.mark.process
def test_it_is_trained_when_the_cause_is_gone(tmp_path):
    """More threads than the job has cores: the machine's, so it is unfinished, and trains on the right one."""
    command = runs.make(tmp_path, threads=available_cores() + 1)
    paths = ResultPaths(tmp_path / "results")
    out = paths.run("r0/000")
    codes = [runs.run([*command, "--out", out.folder]).returncode for _ in range(5)]
    assert codes == [74, 74, 74, 74, 0]
    scores = json.loads(out.scores.read_text())
    assert scores["status"] == "unfinished"
    assert "training.threads is" in scores["reason"]
    settings = tmp_path / "train.json"
    settings.write_text(settings.read_text().replace(f'"threads": {available_cores() + 1}', '"threads": 1'))
    assert runs.run(genenet("retry", paths.results)).returncode == 0
    assert runs.run([*command, "--out", out.folder]).returncode == 0
    assert json.loads(out.scores.read_text())["status"] == "ok"
