"""Rounds and rungs on the cluster: a controller that is killed between rounds, a genome that fails in a rung."""

import itertools
import json
import os
import re
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.searches import ClusterSearch, digest, until

STEPS = """
data: {test: []}
baselines: {unet2015: null}
search: {strategy: evolution_and_halving, n_genomes: [4, 3], halving: {eta: 2, rungs: 2}}
training: {iterations: 40, validation_interval: 10}
"""
CRASHES = "r0/001"
RUNG = ("--set-resources", "rung:mem_mb=1500", "rung:runtime=10")
SILENCE_S = 600  # a wait fails when nothing changes for so long: a busy machine may be slow


def begin(search):
    """Spoil a genome: something is in its training's way whenever it starts; three attempts at it have failed."""
    search.add("steps.yaml", STEPS)
    (search.run_folder(CRASHES) / "progress.csv").mkdir(parents=True)
    search.snakemake("results/rungs/r0/20/001.json", "--retries", "2", check=False)
    assert len(search.attempts(CRASHES)) == 3


@pytest.fixture(scope="module")
def searches(slurm, tmp_path_factory):
    """The search on the cluster, whose controller is killed when round 0 is over, and the same on this machine."""
    there = ClusterSearch(slurm, tmp_path_factory.mktemp("steps"), "tiny.yaml")
    begin(there)
    here = ClusterSearch(slurm, tmp_path_factory.mktemp("laptop"), "tiny.yaml")
    here.add("steps.yaml", STEPS)
    shutil.copytree(there.folder, here.folder, dirs_exist_ok=True)
    with ThreadPoolExecutor(1) as pool:  # jobs wait for Slurm most of the time
        # the spoiled training is given up after five attempts, and then the search continues
        laptop = pool.submit(here.snakemake, "results/ranking.csv", "--retries", "4")
        kill_between_rounds(slurm, there)
        laptop.result()
    return there, here


def kill_between_rounds(slurm, there):
    def wait(condition):
        jobs = ("squeue", "-h", "-o", "%A %T %N")
        until(condition, SILENCE_S, there.log, lambda: (slurm.run(*jobs, check=False), there.log()))

    def end_of(job):
        wait(lambda: not slurm.run("squeue", "-h", "-j", job, check=False))

    try:
        first = there.sbatch_controller("results/ranking.csv", *RUNG)
        wait((there.results / "rounds/r0.json").exists)
        (snakemake,) = re.findall(r"snakemake is process (\d+)", there.log())
        os.kill(int(snakemake), signal.SIGKILL)
        end_of(first)
        there.was_complete = (there.results / "ranking.csv").exists()
        end_of(there.sbatch_controller("results/ranking.csv", *RUNG))
    finally:
        slurm.cancel_all()


def runs(search):
    return sorted("/".join(path.parts[-3:-1]) for path in search.results.glob("runs/*/*/scores.json"))


def test_the_search_ends_as_on_one_machine_bit_for_bit(searches):
    there, here = searches
    assert not there.was_complete
    assert there.log().rstrip().endswith("ends with 0"), there.log()
    assert runs(there) == runs(here) == [*(f"r0/00{i}" for i in range(4)), *(f"r1/00{i}" for i in range(3))]
    names = [f"runs/{run}/model.safetensors" for run in runs(here)]
    names += [f"genomes/r1/00{i}.json" for i in range(3)] + [
        "rungs/r0/20.json",
        "rungs/r1/20.json",
        "rounds/r0.json",
    ]
    for name in names:
        assert digest(there.results / name) == digest(here.results / name), name


def test_the_genome_that_failed_neither_went_on_nor_stopped_the_others(searches):
    for search in searches:
        assert search.scores(CRASHES)["status"] == "unfinished"
        ranking = json.loads((search.results / "rungs/r0/20.json").read_text())["slots"]
        assert (ranking[-1]["run"], ranking[-1]["status"]) == (CRASHES, "unfinished")
        done = {run: search.scores(run)["iterations"] for run in runs(search) if run != CRASHES}
        assert sorted(n for run, n in done.items() if run.startswith("r0/")) == [20, 40, 40]
        assert sorted(n for run, n in done.items() if run.startswith("r1/")) == [20, 20, 40]


def test_nothing_was_trained_twice(searches):
    there, _ = searches
    for run in runs(there):
        attempts = [a for a in there.attempts(run) if run != CRASHES and a["exit"] is not None]
        for before, after in itertools.pairwise(attempts):
            assert after["began_at_iteration"] == before["ended_at_iteration"]
