"""What ``genenet status`` says of a search in any state, from files that the real writers wrote."""

import errno
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from rich.console import Console

from genenet.config import planned_runs, stages
from genenet.config.model import read_config
from genenet.config.training import Training
from genenet.core import lock
from genenet.core.atomic_files import write_json
from genenet.core.attempts import Attempts
from genenet.core.errors import MachineError
from genenet.core.lock_holder import identity
from genenet.core.paths import ResultPaths, part_name
from genenet.core.tolerant_read import try_read
from genenet.ensembles.description import FORMAT
from genenet.ensembles.refit import RefitReceipt
from genenet.genes.genome import Genome
from genenet.status import status, view
from genenet.status.time_left import time_left
from genenet.training.outcome_files import Publication, write_history
from genenet.training.outcomes import Expected, Outcome
from genenet.training.prepared import open_prepared
from genenet.training.scores import Scores
from genenet.training.state_file import StateWriter, TrainingState
from genenet.training.trainer import Row
from tests.support import runs
from tests.support.stores import write_store

GONE = 2**22 + 1  # a process id that Linux doesn't give
OLD = time.time() - 1000
VALUES = {
    "data": {
        "classes": runs.CLASSES,
        "voxel_size_nm": [40, 10, 10],
        "train": [{"path": "train.tif", "labels": "train_labels.tif"}],
        "validation": [{"path": "validation.tif", "labels": "validation_labels.tif"}],
        "volumes": {"demo": {"path": "demo.tif"}},
    },
    "search": {"n_genomes": 4, "regions": {"net": {"n_stacks": [1, 2]}}},
    "baselines": {"unet2015": {"n_seeds": 2}},
    "training": {"iterations": 1000, "validation_interval": 100},
    "segmentation": {"jobs": 2, "block": [1, 32, 32]},
}


class Search:
    """A search's folder; its inputs are old, what is written now belongs to them."""

    def __init__(self, folder, data):
        self.folder, self.paths = folder, ResultPaths(folder / "results")
        self.write_config()
        config = self.config()
        for stage in ("train", "train_2", "generate", "baseline_unet2015"):
            write_json(Path(self.paths.settings(stage)), json.loads(stages.settings_json(config, stage)))
        Path(self.paths.data("train")).parent.mkdir()
        for split in ("train", "validation"):
            shutil.copy(data / f"{split}.zarr.zip", self.paths.data(split))
        for path in self.folder.rglob("*"):
            os.utime(path, (OLD, OLD))

    def write_config(self, controls=None, ensemble=None, **training):
        more = {"controls": controls, "ensemble": ensemble or {}}
        values = {**VALUES, "results": str(self.paths.results), **more}
        values["training"] = {**VALUES["training"], **training}
        (self.folder / "config.yaml").write_text(yaml.safe_dump(values))

    def config(self):
        return read_config(self.folder / "config.yaml")

    def read(self):
        return status.read_status(self.config())

    def of(self, run):
        return next(each for each in self.read().runs if each.run == run)

    def text(self, width=80):
        console = Console(width=width, highlight=False)
        with console.capture() as captured:
            console.print(view.render(self.read(), 20))
        return captured.get()

    def publication(self, run):
        validation = open_prepared(Path(self.paths.data("validation")))
        return Publication(self.paths.run(run), Genome("g", {"net": {}}), None, validation)

    def publish(self, run, ari, seconds=500.0, **scores):
        self.paths.run(run).folder.mkdir(parents=True, exist_ok=True)
        outcome = {"iterations": 1000, "best_iteration": 900, "seconds": seconds}
        self.publication(run).write_scores("ok", **outcome, validation={"ari": ari, **scores})

    def attempts(self, run):
        self.paths.run(run).folder.mkdir(parents=True, exist_ok=True)
        return Attempts(self.paths.run(run).attempts, "x", "token")

    def rows(self, run, *iterations, ari=0.5, iou=0.5, token="token", of=1000):
        """What a training writes that has validated after these iterations, and has just done the last one."""
        rows = [Row(i, 0.5, 1e-3, ari + i / 10_000, i / 10, iou) for i in iterations]
        write_history(self.paths.run(run).progress, rows)
        states = StateWriter(self.paths.run(run).state)
        states.token = token
        last = {"iteration": rows[-1].iteration, "seconds": rows[-1].seconds}
        states.follow(SimpleNamespace(**last, history=rows, settings=Training()), of)

    def log(self, run, *lines):
        path = Path(self.paths.train_log(run))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))

    def lock(self, run, silent_seconds=0.0, **holder):
        path = self.paths.run(run).lock
        path.parent.mkdir(parents=True, exist_ok=True)
        lock_file = {"host": "cn0001", "pid": 1, "slurm_job_id": "77", "token": "token", **holder}
        path.write_text(json.dumps(lock_file))
        os.utime(path, (time.time() - silent_seconds,) * 2)

    def train(self, run, *iterations, **holder):
        self.lock(run, **holder)
        self.attempts(run)._begin(0)
        if iterations:
            self.rows(run, *iterations)

    def choose(self, folder=None, **more):
        members = [{"run": "r0/000"}, {"run": "r0/001"}]
        facts = {"format": FORMAT, "members": members, "validation": {"ari": 0.8125, "mean_iou": 0.5}, **more}
        write_json(Path(folder or self.paths.ensemble) / "ensemble.json", facts)
        Path(self.paths.ranking).write_text("")

    def finish_trainings(self):
        for run in planned_runs.runs(self.config()):
            self.publish(run, 0.5)

    def stage(self, name):
        return next(stage for stage in self.read().stages if stage.name == name)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    runs.write_split(folder, "train", (1, 48, 48), 1)
    runs.write_split(folder, "validation", (1, 48, 48), 2)
    return folder


@pytest.fixture
def search(tmp_path, data):
    return Search(tmp_path, data)


def test_nothing_has_begun(search):
    found = search.read()
    assert {run.phase for run in found.runs} == {"waiting"}
    assert found.best is None
    assert "can't be estimated" in search.text()


def test_done_and_failed(search):
    search.publish("r0/000", 0.71)
    search.publish("r0/001", 0.82)
    search.publish("baselines/unet2015", 0.65)
    search.publish("baselines/unet2015_2", 0.66)
    search.publication("r0/002").failure("diverged", "the loss was nan at iteration 5", [])
    found = search.read()
    assert len(found.of_phase("done")) == 4
    assert [(run.run, run.status) for run in found.failures] == [("r0/002", "diverged")]
    assert (found.best.run, found.best.ari) == ("r0/001", 0.82)
    assert {title: run.ari for title, run in found.best_baselines.items()} == {"U-Net 2015": 0.66}
    text = search.text(200)
    assert "r0/002  diverged: the loss was nan at iteration 5" in text
    assert search.paths.train_log("r0/002") in text
    assert "genenet retry" not in text  # it would diverge again
    search.publication("r0/003").failure("unfinished", "the disk was full")
    assert (
        f"1 training can be retried once the cause is removed: genenet retry {search.paths.results}"
        in search.text(200)
    )


def test_newest_failures_come_first(search):
    for age, run in ((50, "r0/000"), (10, "r0/001"), (90, "r0/002")):
        search.publication(run).failure("out_of_memory", "too large", [])
        os.utime(search.paths.run(run).scores, (time.time() - age,) * 2)
    assert [run.run for run in search.read().failures] == ["r0/001", "r0/000", "r0/002"]


def test_a_training_under_way(search):
    with lock.exclusive(search.paths.run("r0/000").lock) as held:
        attempts = search.attempts("r0/000")
        attempts.token = held.token
        attempts._begin(0)
        search.rows("r0/000", 100, 200, 250, token=held.token)
        found = search.of("r0/000")
    assert (found.phase, found.host) == ("training", socket.gethostname())
    assert (found.iteration, found.iterations) == (250, 1000)
    assert found.ari == pytest.approx(0.525)
    assert found.seconds_per_iteration == pytest.approx(0.1)
    assert max(found.heartbeat_seconds, found.progress_seconds) < 60


def test_it_may_have_been_started_with_other_iterations(search):
    search.train("r0/000", 100)
    search.rows("r0/000", 170, of=800)
    found = search.of("r0/000")
    assert (found.iteration, found.iterations, found.slurm_job_id) == (170, 800, "77")


def test_what_an_earlier_attempt_did_beyond_its_checkpoint_is_done_again(search):
    search.rows("r0/000", 100, 200, 300, token="earlier")
    search.lock("r0/000")
    search.attempts("r0/000")._begin(240)
    found = search.of("r0/000")
    assert (found.iteration, found.ari) == (240, None)  # known again as soon as the checkpoint is read
    search.rows("r0/000", 100, 200, 240)
    assert search.of("r0/000").ari == pytest.approx(0.524)


def test_without_state_json_the_attempts_tell_what_they_can(search):
    """Version 0.1 trained it."""
    search.lock("r0/000", token=None)
    attempts = search.attempts("r0/000")
    attempts.token = None
    attempts._begin(240)
    found = search.of("r0/000")
    assert (found.phase, found.iteration, found.ari, found.progress_seconds) == ("training", 240, None, None)
    assert "240/1000" in search.text()


def test_a_training_between_two_attempts_starts(search):
    attempts = search.attempts("r0/000")
    attempts.run(lambda: False, 0, lambda: 300, lambda: 300)
    search.lock("r0/000", token="new")
    found = search.of("r0/000")
    assert (found.phase, found.iteration, found.progress_seconds) == ("training", 0, None)


@pytest.mark.parametrize(
    "holder",
    [
        {**identity("token"), "pid": GONE},
        {"silent_seconds": lock.TIMING.stale_after + 5},
    ],
)
def test_a_process_that_is_gone(search, holder):
    search.train("r0/000", 100, 200, 300, **holder)
    found = search.of("r0/000")
    assert (found.phase, found.iteration, found.reason) == ("interrupted", 300, "its process is gone")
    text = " ".join(search.text().split())
    assert "r0/000 at iteration 300 of 1000: its process is gone; continues when the workflow" in text


def test_a_heart_that_beats_slowly_lives(search):
    search.train("r0/000", 100, silent_seconds=lock.TIMING.stale_after / 2)
    assert search.of("r0/000").phase == "training"
    assert search.of("r0/000").heartbeat_seconds == pytest.approx(lock.TIMING.stale_after / 2, abs=5)


def test_a_training_that_stopped_in_time(search):
    search.rows("r0/000", 100)
    search.attempts("r0/000").run(lambda: False, 0, lambda: 155, lambda: 155)
    found = search.of("r0/000")
    assert (found.phase, found.iteration) == ("interrupted", 155)
    assert "time was over" in found.reason


def test_a_crash_says_why(search):
    def fails():
        raise OSError("the disk is gone")

    with suppress(MachineError):
        search.attempts("r0/000").run(fails, 0, lambda: 120, lambda: 0)
    found = search.of("r0/000")
    assert (found.phase, found.iteration, found.reason) == ("interrupted", 120, "OSError: the disk is gone")


def test_removing_the_scores_makes_it_wait(search):
    search.publish("r0/000", 0.5)
    search.attempts("r0/000").run(lambda: True, 0, lambda: 1000, lambda: 1000)
    assert search.of("r0/000").phase == "done"
    search.paths.run("r0/000").scores.unlink()
    assert search.of("r0/000").phase == "waiting"


def test_one_that_ends_between_two_looks_is_done(search, monkeypatch):
    search.publish("r0/000", 0.5)
    search.attempts("r0/000").run(lambda: True, 0, lambda: 1000, lambda: 1000)
    looks = []

    def late(path, *arguments):
        looks.append(path)
        return None if looks == [path] else try_read(path, *arguments)

    monkeypatch.setattr("genenet.training.outcome_reader.try_read", late)
    assert search.of("r0/000").phase == "done"


@pytest.mark.parametrize(
    ("stage", "runs_of_before"), [("train", 2), ("generate", 1), ("baseline_unet2015", 1), ("train_2", 0)]
)
def test_results_of_earlier_settings_dont_count(search, stage, runs_of_before):
    search.publish("r0/000", 0.9)
    search.publish("baselines/unet2015", 0.8)
    later = time.time() + 10
    os.utime(search.paths.settings(stage), (later, later))
    found = search.read()
    assert len(found.of_phase("done")) == 2 - runs_of_before
    assert sum(run.is_of_earlier_settings for run in found.runs) == runs_of_before
    assert (f"{runs_of_before} training" in search.text()) == bool(runs_of_before)


def test_a_training_of_earlier_settings_that_still_runs(search):
    search.train("r0/000", 100)
    later = time.time() + 10
    os.utime(search.paths.settings("train"), (later, later))
    assert search.of("r0/000").phase == "training"
    assert search.of("r0/000").is_of_earlier_settings


def test_a_config_that_has_changed(search):
    search.train("r0/000", 100)
    assert search.read().changed == []
    search.write_config(iterations=5000)
    found = search.read()
    assert found.changed == ["training.iterations is 5000, was 1000"]
    assert found.iterations == found.of_phase("training")[0].iterations == 1000
    assert "training.iterations is 5000, was 1000" in " ".join(search.text().split())


def state(name, phase, iteration, pace=None):
    """A training of 1000 iterations in a phase, with its seconds per iteration."""
    common = {"run": name, "files": None, "genome_file": None, "phase": phase, "expected": Expected(1000)}
    if phase == "done":
        values = {"iterations": iteration, "seconds": pace * iteration, "validation": {"ari": 0.5}}
        return Outcome(**common, scores=Scores.model_validate({"status": "ok", **values}))
    written = TrainingState(iteration=iteration, iterations=1000, seconds_per_iteration=pace, host="h")
    attempt = SimpleNamespace(began_at_iteration=0, ended_at_iteration=None)
    return Outcome(**common, state=written, attempt=attempt)


def test_time_left():
    done, waiting = state("a", "done", 1000, 2.0), state("c", "waiting", 0)
    assert time_left([done]).seconds == 0
    assert time_left([done, state("b", "training", 900, 4.0)]).seconds == 400
    two = [state("b", "training", 900, 2.0), state("b", "training", 500, 2.0)]
    assert time_left([done, *two, waiting]).seconds == 200 + 2000  # behind the one that ends first
    assert time_left([done, *two, waiting]).at_a_time == 2
    assert time_left([done, *two, waiting, waiting]).seconds == 1000 + 2000
    assert time_left([done, two[1], state("d", "interrupted", 700)]).seconds == 1000 + 600
    unknown = time_left([done, waiting, waiting])
    assert (unknown.seconds, unknown.seconds_in_all) == (None, 4000)
    assert time_left([state("b", "training", 0), waiting]).why_not == "no training has been measured yet"


def test_selection(search):
    assert search.stage("selection").text == "for 6 trainings"
    search.choose()
    assert "one of earlier results: 2 networks" in search.stage("selection").text
    search.finish_trainings()
    assert search.stage("selection").state == "waiting"  # the ensemble is older
    (search.paths.results / "logs/select.log").parent.mkdir()
    (search.paths.results / "logs/select.log").write_text("--- now\ngenenet: error: results: too few\n")
    assert (search.stage("selection").state, search.stage("selection").text) == ("error", "results: too few")
    search.choose()
    assert (search.stage("selection").state, search.stage("selection").text) == (
        "done",
        "2 networks, ARI 0.812",
    )


def refit_of(search, rank, member="r0/000", status="ok"):
    """What a refit publishes."""
    search.publish(f"refit/{rank}", None)
    receipt = {"member": member, "genome": "0" * 12, "status": status}
    write_json(Path(search.paths.refit(rank)), RefitReceipt(**receipt).model_dump(mode="json"))


def test_refits(search):
    """They are counted after the selection, which writes another folder; the ensemble is there after them."""
    search.write_config(ensemble={"refit": True, "max_size": 3})
    search.train("r0/002", 100, 200)
    search.rows("r0/002", 100, 200)
    in_all = search.read().left.seconds_in_all
    assert in_all == pytest.approx(
        0.1 * (800 + 5 * 1000 + 3 * 1000)
    )  # with one refit for each possible member
    search.write_config(ensemble={"refit": True, "max_size": 3}, refit_iterations=2000)
    assert search.read().left.seconds_in_all == pytest.approx(0.1 * (800 + 5 * 1000 + 3 * 2000))
    search.write_config(ensemble={"refit": True, "max_size": 3})
    search.finish_trainings()
    assert search.stage("refit").text == "for the selection"
    search.choose(search.paths.selected)
    assert search.stage("selection").state == "done"
    assert (search.stage("refit").state, search.stage("refit").text) == ("waiting", "0 of 2 members")
    assert search.stage("volume demo").text == "for the ensemble"
    assert [run.phase for run in search.read().refits] == ["waiting", "waiting"]
    search.train("refit/000", 300)
    search.rows("refit/000", 300)
    assert "refit/000 300/1000" in " ".join(search.text().split())
    Path(search.paths.run("refit/000").lock).unlink()
    refit_of(search, "000")
    assert search.stage("refit").text == "1 of 2 members"
    refit_of(search, "001")
    assert search.stage("refit").state == "waiting"  # the ensemble isn't written yet
    write_json(Path(search.paths.refits), {})
    search.choose()
    assert search.stage("refit").state == "done"
    assert search.stage("volume demo").text == "0 of 2 parts"


@pytest.mark.parametrize(
    ("metric", "of_best", "column"),
    [("mean_iou", "mean IoU 0.650 r0/002", "mean IoU"), ("both", "mean of ARI and mean IoU 0.585", "score")],
)
def test_the_score_is_that_of_the_selection(search, metric, of_best, column):
    search.write_config(ensemble={"metric": metric})
    search.publish("r0/000", 0.7, mean_iou=0.4)
    search.train("r0/002", 200)
    search.rows("r0/002", 200, iou=0.65)
    text = " ".join(search.text().split())
    assert f"best {of_best}" in text
    assert f"iteration {column} left" in text
    assert max(map(len, search.text().splitlines())) <= 80
    found = status.as_json(search.read())
    assert (found["metric"], found["runs"][0]["mean_iou"]) == (metric, 0.4)
    search.finish_trainings()
    search.choose(metric=metric)
    value = {"mean_iou": 0.5, "both": 0.656}[metric]
    title = of_best.rpartition(" 0.")[0]
    assert search.stage("selection").text == f"2 networks, {title} {value:.3f}"


def segment(search, n_blocks):
    path, labels = Path(search.paths.store("demo")), np.zeros((3, 64, 60), np.uint8)
    facts = {"classes": runs.CLASSES, "attributes": {"fingerprint": "x"}}
    write_store(path, labels, block=(1, 32, 32), n_blocks=n_blocks, **facts)


def receipt(search, part):
    write_json(Path(search.paths.receipt("demo", part_name(part, 2))), {"blocks": 6})


def test_controls(search):
    """The selection doesn't wait for their trainings, and the report does for their scores."""
    search.write_config(controls={"seeds": 2})
    config = search.config()
    for stage in ("train_long", "control_best", "control_unet2015", "control_unet2015_long"):
        write_json(Path(search.paths.settings(stage)), json.loads(stages.settings_json(config, stage)))
        os.utime(search.paths.settings(stage), (OLD, OLD))
    search.finish_trainings()
    search.choose()
    assert search.stage("selection").state == "done"
    assert [search.stage(f"control {name}").text for name in ("best", "unet2015", "unet2015_long")] == [
        "for 1 training",  # the second seed of the baseline is one of its n_seeds
        "",
        "for 1 training",
    ]
    assert search.of("controls/unet2015_long").iterations == 4 * 1000
    assert "4 genomes, 2 baselines, 2 control trainings" in " ".join(search.text(120).split())
    Genome("g", {"net": {}}).write(search.paths.genome("controls/best_2"))
    search.publish("controls/best_2", 0.99)
    assert search.of("controls/best_2").phase == "done"
    assert search.read().best.run != "controls/best_2"
    Path(search.paths.control("best")).parent.mkdir()
    Path(search.paths.control("best")).touch()
    assert search.stage("control best").state == "done"
    Path(search.paths.report).touch()
    assert search.stage("report").state == "waiting"
    os.utime(search.paths.genome("controls/best_2"), (time.time() + 5,) * 2)  # another one is the best now
    assert search.of("controls/best_2").phase == "waiting"
    assert search.stage("control best").text == "for 1 training"


def test_segmentation_and_report(search):
    assert search.stage("volume demo").text == "for the ensemble"
    search.finish_trainings()
    search.choose()
    assert search.stage("volume demo").text == "0 of 2 parts"
    segment(search, 7)
    receipt(search, 1)
    assert search.stage("volume demo").text == "1 of 2 parts, 7 of 12 blocks"
    assert search.stage("volume demo").state == "started"
    log = search.paths.results / "logs/segment/demo/002-of-002.log"
    log.parent.mkdir(parents=True)
    log.write_text("genenet: error: demo.tif: truncated\n")
    assert (search.stage("volume demo").state, search.stage("volume demo").log) == ("error", str(log))
    receipt(search, 2)
    assert search.stage("volume demo").text == "segmented; export"
    Path(search.paths.tiff("demo")).touch()
    assert search.stage("volume demo").state == "done"
    assert search.read().stages[-1].state != "done"
    Path(search.paths.report).touch()
    assert search.read().is_over
    later = time.time() + 10
    os.utime(Path(search.paths.ensemble) / "ensemble.json", (later, later))
    os.utime(search.paths.ranking, (later, later))
    assert search.stage("volume demo").text == "0 of 2 parts"  # those are of another ensemble
    assert not search.read().is_over


def test_a_part_that_was_given_up_is_not_done(search):
    search.finish_trainings()
    search.choose()
    segment(search, 7)
    receipt(search, 1)
    given_up = {"status": "unfinished", "reason": "given up after 3 attempts: image.tif: is an RGB image"}
    write_json(Path(search.paths.receipt("demo", part_name(2, 2))), given_up)
    stage = search.stage("volume demo")
    assert stage.state == "error"
    assert stage.text == (
        "1 of 2 parts, 7 of 12 blocks; part 002-of-002 given up (unfinished): given up after 3 attempts: image.tif: "
        f"is an RGB image; once the cause is removed: genenet retry {search.paths.results}, then start again"
    )
    assert stage.log == f"{search.paths.results}/logs/segment/demo/002-of-002.log"
    assert "genenet retry" in search.text()
    Path(search.paths.tiff("demo")).touch()
    assert search.stage("volume demo").state == "error"
    assert not search.read().is_over


def fill(search):
    """One of each state."""
    search.publish("r0/000", 0.7)
    search.publication("r0/001").failure("diverged", "why", [])
    search.train("r0/002", 100, 200)
    search.rows("r0/002", 100, 200, 250)
    search.log("r0/002", "--- start", "g  250/1000  ARI 0.520  9.8 it/s")
    search.train("r0/003", 100, silent_seconds=999)
    search.choose()
    segment(search, 3)


def shown(search):
    """All that is made of what was read; must not fail."""
    text = search.text()
    json.dumps(status.as_json(search.read()), allow_nan=False)
    return text


@pytest.mark.parametrize(
    "name", ["scores.json", "attempts.json", "state.json", "progress.csv", "lock", "train/r0/002.log"]
)
@pytest.mark.parametrize(
    "content", [None, b"", b"[]", b"{}", b'{"attempts": [1]}', b"\xff\xfe{", b"nan,nan\nnan,1\n"]
)
def test_files_that_are_not_what_they_should_be(search, name, content):
    fill(search)
    for path in search.paths.results.rglob(name):
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 2 // 3] if content is None else content)
    assert "trainings" in shown(search)


def test_half_a_state_is_no_state(search):
    search.train("r0/000", 100, 200)
    path = search.paths.run("r0/000").state
    path.write_text(path.read_text()[:-3])
    found = search.of("r0/000")
    assert (found.phase, found.iteration) == ("training", 0)


@pytest.mark.slow
def test_every_json_may_be_cut_anywhere(search):
    fill(search)
    for path in [*search.paths.results.rglob("*.json")]:
        data = path.read_bytes()
        for length in range(0, len(data), max(1, len(data) // 4)):
            path.write_bytes(data[:length])
            assert "trainings" in shown(search)
        path.write_bytes(data)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE, errno.EACCES])
def test_every_file_may_vanish_at_any_moment(search, monkeypatch, number):
    fill(search)
    config, real = search.config(), {name: getattr(os, name) for name in ("stat", "listdir", "fstat")}
    seen, victim = 0, -1

    def failing(function):
        def call(*arguments, **options):
            nonlocal seen
            seen += 1
            if seen - 1 == victim:
                raise OSError(number, os.strerror(number))
            return function(*arguments, **options)

        return call

    for victim in range(-1, 200):
        seen = 0
        with monkeypatch.context() as patch:
            for name, function in real.items():
                patch.setattr(os, name, failing(function))
            patch.setattr("genenet.core.tolerant_read.open", failing(open), raising=False)
            found = status.read_status(config)
        assert len(found.runs) == 6
        status.as_json(found)
        if victim >= seen:
            break
    assert seen > 30


OPENED, _hooked = [], []


@contextmanager
def opened():
    """Collect what is opened or listed; a hook can't be taken out again, so there is one that looks at a switch."""
    if not _hooked:
        sys.addaudithook(
            lambda event, args: OPENED.append(args[0]) if _hooked[0] and event in EVENTS else None
        )
    _hooked[:] = [True]
    OPENED.clear()
    yield OPENED
    _hooked[0] = False


EVENTS = ("open", "os.listdir", "os.scandir")


def test_a_thousand_trainings_cost_one_file_each_at_most(search, monkeypatch):
    monkeypatch.setitem(VALUES, "search", {**VALUES["search"], "n_genomes": 1000})
    search.write_config()
    config = search.config()
    _hooked[:] = [False]
    with opened() as few:
        assert len(status.read_status(config).of_phase("waiting")) == 1002
        n_others = len(few)
    assert n_others < 20
    search.publish("r0/000", 0.5)
    for i in range(1, 1000):
        folder = search.paths.run(f"r0/{i:03d}").folder
        folder.mkdir()
        os.link(search.paths.run("r0/000").scores, folder / "scores.json")
        (folder / "attempts.json").touch()
    with opened() as all_:
        assert len(status.read_status(config).of_phase("done")) == 1000
        assert len(all_) <= n_others + 1000


@pytest.mark.process
def test_it_needs_no_torch(search):
    fill(search)
    run = f"import sys; sys.argv[1:] = ['status', '{search.folder / 'config.yaml'}']; from genenet.cli.main import main"
    code = (
        run
        + "\ntry: main()\nfinally: print([m for m in ('torch', 'numpy', 'zarr', 'snakemake') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert "r0/003  at iteration 100 of 1000" in done.stdout
    assert all(line == line.rstrip() for line in done.stdout.splitlines())


@pytest.mark.process
def test_json(search):
    fill(search)
    done = runs.run(runs.genenet("status", search.folder / "config.yaml", "--json"))
    value = json.loads(done.stdout)
    counts = {"all": 6, "done": 1, "failed": 1, "training": 1, "interrupted": 1, "waiting": 2}
    assert value["trainings"] == counts
    assert (value["best"], value["failures"]) == ("r0/000", {"diverged": 1})
    assert {run["run"]: run["iteration"] for run in value["runs"]}["r0/002"] == 250


@pytest.mark.process
def test_mistakes_are_one_line(tmp_path, search):
    done = runs.run(runs.genenet("status"), cwd=tmp_path / "results")
    assert done.returncode == 1
    assert done.stderr == (
        "genenet: error: config.yaml: no such file; go to the folder of the search, or name its config\n"
    )
    shutil.rmtree(search.paths.results)
    done = runs.run(runs.genenet("status", "--json"), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no results yet; start the search: snakemake --profile profiles/local" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_nothing_is_cut_off_in_eighty_columns(search):
    fill(search)
    search.train("baselines/unet2015", 100, host="cn1234.biowulf.nih.gov", slurm_job_id="12345678")
    text = search.text(80)
    assert "…" not in text
    assert "cn1234" in text
    assert "12345678" in text


@pytest.mark.process
def test_watching_ends_with_ctrl_c(search):
    fill(search)
    ours, theirs = pty.openpty()
    command = runs.genenet("status", search.folder / "config.yaml", "--watch", "--every", "0.2")
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "80"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # also if we ignore it
    )
    os.close(theirs)
    said = b""
    while said.count(b"trainings") < 3:
        said += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    with suppress(OSError):  # Linux says so at the end
        while more := os.read(ours, 4096):
            said += more
    os.close(ours)
    assert process.wait() == 0
    assert b"Traceback" not in said


@pytest.mark.process
def test_watching_ends_when_all_is_done(search):
    search.finish_trainings()
    search.choose()
    for part in (1, 2):
        receipt(search, part)
    for path in (search.paths.tiff("demo"), search.paths.report):
        Path(path).touch()
    done = runs.run(runs.genenet("status", search.folder / "config.yaml", "--watch"))
    assert (done.returncode, done.stdout.count("trainings  6 done")) == (0, 1)


@pytest.mark.process
def test_a_real_training_that_is_killed(search):
    (search.folder / "r").mkdir()
    command = runs.make(
        search.folder / "r", iterations=100_000, validation_interval=20, checkpoint_seconds=0.1
    )
    out, log = search.paths.run("r0/000"), search.paths.train_log("r0/000")
    process = subprocess.Popen([*command, "--out", out.folder, "--log", log], stderr=subprocess.DEVNULL)
    try:
        while not out.progress.exists():
            assert process.poll() is None
            time.sleep(0.05)
        found = search.of("r0/000")
        assert (found.phase, found.iterations, found.host) == ("training", 100_000, socket.gethostname())
        assert found.iteration >= 20
        assert found.ari is not None
        assert search.read().left.seconds > 0
    finally:
        process.kill()
        process.wait()
    dead = search.of("r0/000")
    assert dead.phase == "interrupted"
    assert dead.iteration >= found.iteration


def test_with_folds_each_is_a_training_and_only_joined_ones_are_compared(search):
    values = yaml.safe_load((search.folder / "config.yaml").read_text())
    values["data"] |= {"validation": [], "folds": 2}
    (search.folder / "config.yaml").write_text(yaml.safe_dump(values))
    for run, ari in (("r0/000/folds/0", 0.9), ("r0/000/folds/1", 0.3), ("r0/001/folds/0", 0.95)):
        search.publish(run, ari)
    search.publish("r0/000", 0.6)
    search.publication("r0/002/folds/1").failure("unfinished", "the disk is full")
    found = search.read()
    assert len(found.runs) == 2 * (4 + 2)
    assert [run.run for run in found.of_phase("done")] == [
        "r0/000/folds/0",
        "r0/000/folds/1",
        "r0/001/folds/0",
    ]
    assert [run.run for run in found.failures] == ["r0/002/folds/1"]
    assert (found.best.run, found.best.ari) == ("r0/000", 0.6)
    text = search.text(300)
    assert "4 genomes, 2 baselines, each in 2 folds" in text
    assert "r0/002/folds/1  unfinished: the disk is full" in text
    stages_ = {stage.name: stage for stage in found.stages}
    assert stages_["selection"].text == "for 8 trainings"
    assert "folds/0/train, folds/0/validation" in stages_["images"].text
