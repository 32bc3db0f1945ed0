"""One search of nine trainings, to which nearly all happens that can happen on a cluster, and what comes of it."""

import csv
import itertools
import json
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from genenet.training.stopping import minutes_to_use
from tests.support.searches import ClusterSearch, digest, until

GOOD = [f"r0/00{i}" for i in range(6)]
DIVERGES, TOO_LARGE, CRASHES = BAD = [f"r0/00{i}" for i in range(6, 9)]
# Trainings are told that their jobs have two or ten minutes. Jobs have an hour, so that on a slow machine too, none
# reaches its limit before it is meant to.
TRAIN = ("--set-resources", "train:mem_mb=1500", "train:slurm_extra=--gpus\\=1 --time\\=60")
SLICES, WHOLE = (*TRAIN, "train:runtime=2"), (*TRAIN, "train:runtime=10")
SLICE_S = 60 * minutes_to_use(2)
YOUNG_S = SLICE_S / 2  # a training of this age has time left in its slice
DOWN_S = 60  # accounting
LONG = 600  # minutes
# A wait fails when nothing changes for so long: a busy machine may be slow, and the successor of a controller waits
# up to five minutes for jobs that don't end.
SILENCE_S = 600
DATA = [f"results/data/{split}.zarr.zip" for split in ("train", "validation")]


def prepare(search):
    """Make all that comes before training with the local profile; spoil three genomes."""
    genomes = [f"results/genomes/{run}.json" for run in GOOD + BAD]
    search.snakemake(*DATA, *genomes, "results/settings/train.json")
    wild = {"log_learning_rate": 0, "log_alpha1": 0, "log_alpha2": 0, "decay_rate": 1}  # 0 / 0 in Adam
    spoil(search, DIVERGES, **wild, n_convlayers=6, input_size=80, activation=1)
    spoil(search, TOO_LARGE, n_convkernels=1024, input_size=4096)
    (search.run_folder(CRASHES) / "progress.csv").mkdir(parents=True)  # in its way whenever it starts


def spoil(search, run, **deltas):
    path = search.results / f"genomes/{run}.json"
    genome = json.loads(path.read_text())
    genome["deltas"]["net"].update(deltas)
    path.write_text(json.dumps(genome))


def reference(search, run):
    """Train a genome undisturbed, outside of the cluster; return the digest of its weights."""
    out = search.folder / "undisturbed" / run
    search.genenet_train(run, out)
    return digest(out / "model.safetensors")


def finished(search, run):
    """What must not change of a training that has ended: its scores, with the time it took, and its attempts."""
    return digest(search.run_folder(run) / "scores.json"), search.attempts(run)


class Story:
    """The search, and what was seen on the way."""

    def __init__(self, slurm, folder):
        self.slurm, self.search = slurm, ClusterSearch(slurm, folder)
        self.run, self.job, self.attempt = {}, {}, {}  # by fault
        self.search.add("faults.yaml", (Path(__file__).parent / "faults.yaml").read_text())
        prepare(self.search)

    def until(self, condition):
        """Wait for a condition; the controllers' log and Slurm's queue tell why it doesn't come."""
        return until(condition, SILENCE_S, lambda: self.search.log() + self.slurm.queue(), self.state)

    def state(self):
        """What changes as long as anything is done: jobs, the controllers' log, attempts at trainings."""
        jobs = self.slurm.run("squeue", "-h", "-o", "%A %T %N", check=False)
        return jobs, self.search.log(), [self.search.attempts(run) for run in GOOD + BAD]

    def ended(self, job):
        return not self.slurm.run("squeue", "-h", "-j", job, check=False)

    def others(self):
        """Return the trainings that nothing has happened to yet."""
        return [run for run in GOOD if run not in self.run.values()]

    def hold(self):
        """Freeze each training that nothing has happened to when it has a checkpoint, until its slice is over.

        On a machine of any speed, no training ends before something happens to it. Each stops by its clock after its
        slice, so that other jobs can take its place.
        """
        for run in filter(self.search.trainer, self.others()):
            if self.search.age_s(run) < YOUNG_S:
                self.search.freeze(run)
            elif self.search.age_s(run) > SLICE_S:
                self.search.resume(run)

    def hold_until(self, condition):
        def met():
            self.hold()
            return condition()

        return self.until(met)

    def at_work(self, runs, node=None):
        """Find a training that has just begun, on ``node`` if given: run, job's id, job's name."""
        assert " ends with " not in self.search.log(), self.search.log()
        running = self.slurm.run("squeue", "-h", "-t", "R", "-o", "%A %i %N").splitlines()
        names = {job: (name, where) for job, name, where in map(str.split, running)}
        for run in runs:
            job = self.search.trainer(run).get("slurm_job_id")
            name, where = names.get(job, (None, None))
            if name and node in (None, where) and self.search.age_s(run) < YOUNG_S:
                return run, job, name
        return None

    def befalls(self, fault, node=None):
        """Choose a training that nothing has happened to yet; note its run and job, return the job's name.

        It is frozen.
        """
        self.run[fault], self.job[fault], name = self.hold_until(lambda: self.at_work(self.others(), node))
        self.search.freeze(self.run[fault])
        # not its first, if its node had died
        self.attempt[fault] = len(self.search.attempts(self.run[fault])) - 1
        return name  # 4_7, a task of an array; its raw id 4 would stand for the whole array

    def jobs_are_hit(self):
        """A node dies; one job is requeued, one hangs, one is cancelled, one is held for later."""
        name = self.befalls("node", "n2")
        self.slurm.kill_node("n2")
        on_n1 = ["squeue", "-h", "-j", name, "-t", "R", "-w", "n1"]
        self.hold_until(lambda: self.slurm.run(*on_n1, check=False))
        self.slurm.start_node("n2")
        self.slurm.run("scontrol", "requeue", self.befalls("requeue"))
        self.hung = self.befalls("hang")
        self.slurm.run("scancel", self.befalls("scancel"))
        self.befalls("orphan")
        for run in self.others():
            self.search.resume(run)

    def accounting_is_down(self):
        """For a minute, in which a job reaches its time limit and others end."""
        self.slurm.stop_accounting()
        began = time.monotonic()
        self.slurm.end_in(1, self.hung)
        self.until(lambda: self.ended(self.hung))
        time.sleep(max(0, began + DOWN_S - time.monotonic()))
        self.slurm.start_accounting()

    def controllers_die(self):
        """The first one's time is over, its successor's Snakemake is killed, another controller finishes."""
        self.finished = {run: finished(self.search, run) for run in GOOD + BAD if self.search.published(run)}
        self.slurm.end_in(2, self.first)
        self.until(lambda: "it requeues itself" in self.search.log())
        self.slurm.limit(self.first, LONG)  # or its successor would have the short one
        self.until(lambda: self.search.log().count("starts snakemake") == 2)
        self.until(lambda: self.at_work([self.run["orphan"]]))
        self.search.freeze(self.run["orphan"])
        (snakemake,) = re.findall(r"snakemake is process (\d+)", self.search.log())[1:]
        os.kill(int(snakemake), signal.SIGKILL)
        self.until(lambda: self.ended(self.first))
        last = self.search.sbatch_controller("results/ranking.csv", *WHOLE)
        self.until(lambda: self.ended(last))

    def happens(self):
        """Let it all happen; train once more, undisturbed, what something happens to."""
        self.first = self.search.sbatch_controller("results/ranking.csv", *SLICES, sbatch=["--nodelist=n1"])
        self.jobs_are_hit()
        with ThreadPoolExecutor(1) as pool:  # Slurm and Snakemake wait most of the time
            references = pool.map(partial(reference, self.search), self.run.values())
            self.accounting_is_down()
            self.controllers_die()
            self.expected = dict(zip(self.run.values(), references, strict=True))
        self.log = self.search.log()
        self.jobs = self.slurm.sacct("JobID", "JobIDRaw", "State", "NodeList", "Start", "End")


@pytest.fixture(scope="module")
def story(slurm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults") / "link"  # as a lab's folder often is
    folder.symlink_to(tmp_path_factory.mktemp("storage"))
    story = Story(slurm, folder)
    try:
        story.happens()
    finally:
        slurm.cancel_all()
    return story


def states(story, job):
    return [j["State"].split()[0] for j in story.jobs if job in (j["JobID"], j["JobIDRaw"])]


def test_the_run_finishes(story):
    assert story.log.rstrip().endswith("ends with 0"), story.log
    assert (story.search.results / "ranking.csv").exists()


@pytest.mark.parametrize("fault", ["node", "requeue", "hang", "scancel", "orphan"])
def test_whatever_happened_the_weights_are_those_of_an_undisturbed_training(story, fault):
    run = story.run[fault]
    assert story.search.scores(run)["status"] == "ok"
    assert digest(story.search.run_folder(run) / "model.safetensors") == story.expected[run]


def attempts_around(story, fault):
    """The attempt that a fault ended, and the one after it."""
    attempts, index = story.search.attempts(story.run[fault]), story.attempt[fault]
    assert attempts[index]["slurm_job_id"] == story.job[fault]
    assert attempts[index]["exit"] in ("stopped", None)  # it heard SIGTERM, or was killed
    return attempts[index], attempts[index + 1]


def test_the_dead_nodes_training_went_on_from_its_checkpoint_on_the_other_node(story):
    _, after = attempts_around(story, "node")
    assert after["began_at_iteration"] > 0
    runs = [j for j in story.jobs if j["JobIDRaw"] == story.job["node"]]
    assert (runs[0]["State"], runs[0]["NodeList"]) == ("NODE_FAIL", "n2")
    assert after["slurm_job_id"] == story.job["node"]  # requeued by Slurm, not submitted once more
    assert runs[1]["NodeList"] == "n1"


def test_the_requeued_job_ran_again_under_its_id_and_went_on(story):
    before, after = attempts_around(story, "requeue")
    assert after["slurm_job_id"] == before["slurm_job_id"]
    assert after["began_at_iteration"] > 0


@pytest.mark.parametrize(("fault", "state"), [("hang", "TIMEOUT"), ("scancel", "CANCELLED")])
def test_a_job_that_ended_at_its_limit_or_was_cancelled_was_submitted_again(story, fault, state):
    before, after = attempts_around(story, fault)
    assert state in states(story, story.job[fault])
    assert after["slurm_job_id"] != before["slurm_job_id"]
    assert after["began_at_iteration"] > 0


def test_long_trainings_stop_by_the_clock_and_go_on(story):
    exits = [a["exit"] for run in GOOD for a in story.search.attempts(run)]
    assert "stopped" in exits
    assert all(e in ("stopped", "finished", None) for e in exits), exits


@pytest.mark.parametrize("run", GOOD)
def test_no_two_processes_wrote_one_run_directory(story, run):
    attempts = story.search.attempts(run)
    assert attempts[-1]["exit"] == "finished"
    for before, after in itertools.pairwise(attempts):
        assert (before["ended"] or before["began"]) <= after["began"]
        assert (before["ended_at_iteration"] or before["began_at_iteration"]) <= after["began_at_iteration"]


def test_nothing_finished_was_done_again(story):
    assert story.finished
    assert {run: finished(story.search, run) for run in story.finished} == story.finished


def test_trainings_of_a_dead_controller_were_cancelled_and_went_on(story):
    before, after = attempts_around(story, "orphan")
    assert "CANCELLED" in states(story, story.job["orphan"])
    assert after["slurm_job_id"] != before["slurm_job_id"]
    assert after["began_at_iteration"] > 0


def test_the_controller_requeued_itself_and_its_successor_cancelled_what_it_left(story):
    assert f"genenet controller, job {story.first}" in story.log
    assert story.log.count("it requeues itself and continues") == 1
    assert story.log.count("cancels jobs of its predecessor") >= 2
    assert states(story, story.first).count("REQUEUED") == 1 or len(states(story, story.first)) > 1


def test_what_failed_is_said_with_why_and_where_the_log_is(story):
    with (story.search.results / "ranking.csv").open() as file:
        status = {row["run"]: row["status"] for row in csv.DictReader(file)}
    assert [status[run] for run in BAD] == ["diverged", "out_of_memory", "unfinished"]
    output = story.search.snakemake()  # the rest, on this machine
    report = (story.search.results / "report.html").read_text()
    for run in BAD:
        log = f"results/logs/train/{run}.log"
        assert log in output
        assert log in report
        assert (story.search.folder / log).exists()
    assert "r0/008 unfinished: given up after 5 attempts without progress beyond iteration 0" in output
    assert "IsADirectoryError" in (story.search.folder / "results/logs/train/r0/008.log").read_text()
