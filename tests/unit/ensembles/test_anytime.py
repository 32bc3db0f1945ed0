"""What a search was worth at any time; who descends from whom."""

import csv
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genenet.core.outputs import Outputs
from genenet.core.paths import ResultPaths, RunPaths
from genenet.ensembles.anytime import Attempt, _Spent, moments, write_moments
from genenet.ensembles.curve import curve_of
from genenet.genes.genome import Genome
from genenet.report import network_plots, plots
from genenet.training.outcome_reader import read_outcome
from genenet.training.outcomes import Outcome
from genenet.training.prepared import open_prepared
from genenet.training.probabilities import write_probabilities
from genenet.training.scores import Scores
from tests.support.examples import examples
from tests.support.runs import CLASSES, write_split

SHAPE = (1, 48, 56)


def at(second):
    return f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}Z"


def attempt(began, ended, first, last, exit="finished"):
    times = {"began": at(began), "ended": None if ended is None else at(ended), "exit": exit}
    where = {"fingerprint": "x", "host": "cn0001"}
    return {**where, **times, "began_at_iteration": first, "ended_at_iteration": last}


class Searched:
    """Trainings as files: probabilities that are right but for noise, and attempts."""

    def __init__(self, folder):
        write_split(folder, "validation", SHAPE, 2)
        self.paths = ResultPaths(folder)
        self.validation = open_prepared(folder / "validation.zarr.zip")
        self.labels = np.asarray(self.validation.images[0].labels)
        self.outcomes, self.arrays = [], {}

    def add(self, run, noise, attempts, status="ok"):
        files = self.paths.run(run)
        files.folder.mkdir(parents=True)
        random = np.random.default_rng(int(run[-1]))
        p = np.eye(len(CLASSES))[self.labels] + noise * random.random((*SHAPE, len(CLASSES)))
        levels = np.moveaxis(p / p.sum(axis=-1, keepdims=True) * 255, -1, 0).astype(np.uint8)
        self.arrays[run] = levels
        if status == "ok":
            slices = [(z, levels[:, z : z + 1]) for z in range(SHAPE[0])]
            checksum, outputs = self.validation.checksum, Outputs(CLASSES)
            write_probabilities(files.validation, checksum, outputs, [(SHAPE, slices)])
        (alone,) = curve_of([self.labels], [[levels]], [1], len(CLASSES), "mean")
        ari = alone.contingency.adjusted_rand_index
        scores = {"status": status, "validation": {"ari": ari}, "seconds": 7.0, "iterations": 30}
        files.scores.write_text(json.dumps(scores))
        if attempts is not None:
            files.attempts.write_text(json.dumps({"format": "genenet.attempts/1", "attempts": attempts}))
        self.outcomes.append(read_outcome(self.paths, run))

    def moments(self, size=2):
        return moments(self.paths, self.outcomes, self.validation, size, "mean")


@pytest.fixture
def searched(tmp_path):
    search = Searched(tmp_path)
    search.add("r0/000", 2.5, [attempt(0, 20, 0, 30)])
    # two slices, with another training beside the first, and one that was killed in between
    search.add("r0/001", 1.5, [attempt(10, 30, 0, 10), attempt(30, None, 10, None), attempt(50, 70, 12, 40)])
    search.add("r0/002", 3.5, [attempt(20, 40, 0, 30)])
    search.add("r0/003", 1.0, [attempt(40, 45, 0, 5)], status="diverged")
    return search


def test_time_and_iterations_are_those_of_all_jobs_until_then(searched):
    found = searched.moments()
    assert [m.run for m in found] == ["r0/000", "r0/002", "r0/001"]
    assert [m.job_seconds for m in found] == [20 + 10, 20 + 20 + 20, 20 + 20 + 20 + 5 + 20]
    assert [m.iterations for m in found] == [30, 30 + 10 + 30, 30 + 10 + 30 + 5 + 30]
    assert [m.n_trained for m in found] == [1, 2, 3]


def test_the_ensemble_is_that_of_the_best_so_far(searched):
    first, second, last = searched.moments()
    ari = {o.run: o.ari for o in searched.outcomes}
    assert first.ensemble_ari == pytest.approx(ari["r0/000"])
    assert first.best_ari == second.best_ari == ari["r0/000"]
    assert last.best_ari == ari["r0/001"]
    for moment, runs in ((second, ("r0/000", "r0/002")), (last, ("r0/001", "r0/000"))):
        arrays, aris = [[searched.arrays[run]] for run in runs], [ari[run] for run in runs]
        point = curve_of([searched.labels], arrays, aris, len(CLASSES), "mean")[-1]
        assert moment.ensemble_ari == point.contingency.adjusted_rand_index


def test_the_last_moment_is_the_total_whatever_failed_after_it(searched):
    searched.add("r0/004", 1.0, [attempt(0, 200, 0, 9)], status="diverged")
    searched.paths.run("r0/002").attempts.write_text("{")  # damaged
    scores = searched.paths.run("r0/002").scores
    os.utime(scores, (1767225660, 1767225660))  # 00:01:00
    last = searched.moments()[-1]
    assert last.job_seconds == 20 + (20 + 20) + 7 + 5 + 200
    assert last.iterations == 30 + 40 + 30 + 5 + 9


@examples(50)
@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 9)), min_size=1),
    st.integers(0, 200),
)
def test_sums_are_those_of_each_attempt_by_itself(values, now):
    attempts = [Attempt(a, a + length, n) for a, length, n in values]
    seconds, iterations = _Spent(attempts).until(now)
    assert seconds == sum(max(0, min(each.ended, now) - each.began) for each in attempts)
    assert iterations == sum(each.iterations for each in attempts if each.ended <= now)


def test_a_training_without_a_record_counts_with_its_own_seconds(tmp_path):
    search = Searched(tmp_path)
    search.add("r0/000", 1.0, None)
    scores = search.paths.run("r0/000").scores
    os.utime(scores, (10**9, 10**9))
    (only,) = search.moments()
    assert (only.job_seconds, only.iterations) == (7.0, 30)


def test_the_file_is_plotted_in_units_that_suit(searched, tmp_path):
    write_moments(tmp_path / "anytime.csv", searched.moments())
    with (tmp_path / "anytime.csv").open() as file:
        rows = list(csv.DictReader(file))
    plot = plots.anytime(rows, 2)
    assert plot.xaxis[0].axis_label == "seconds of training jobs so far"
    assert plots.anytime(rows[:1], 2) is None
    longer = [{**row, "job_seconds": str(float(row["job_seconds"]) * 600)} for row in rows]
    assert plots.anytime(longer, 2).xaxis[0].axis_label == "hours of training jobs so far"


def a_run(folder, run, genome, ari, parents=()):
    Genome(run, {"net": {}}, parents=parents).write(folder / f"{run}.json")
    scores = Scores.model_validate({"status": "ok", "genome": genome, "validation": {"ari": ari}})
    return Outcome(
        run=run, files=RunPaths(folder / "x"), genome_file=folder / f"{run}.json", phase="done", scores=scores
    )


def test_children_are_joined_to_their_parents_by_ari_and_round(tmp_path):
    drawn = [a_run(tmp_path, "r0/000", "a", 0.5), a_run(tmp_path, "r0/001", "b", 0.6)]
    assert network_plots.family(drawn) is None
    child = a_run(tmp_path, "r1/000", "c", 0.7, ("a", "b"))
    plot = network_plots.family([child, *drawn, replace(child, run="baselines/unet2015")])
    lines = plot.renderers[0].data_source.data
    assert sorted(map(tuple, lines["ys"])) == [(0.5, 0.7), (0.6, 0.7)]
    dots = plot.renderers[1].data_source.data
    assert dict(zip(dots["run"], dots["parents"], strict=True))["r1/000"] == "r0/000, r0/001"
