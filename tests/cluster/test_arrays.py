"""Job arrays on a real Slurm: forty tasks of uneven length, of which some fail and some run out of memory."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.searches import FIRST_CHECK_S, most_at_once

HERE = Path(__file__).parent
JOBS = 12  # at a time
FAIL = [3, 13, 23, 33]
NEED_MEMORY = [7, 17, 27, 37]
OPTIONS = [
    *("--executor", "slurm", "--jobs", str(JOBS), "--retries", "2", "--latency-wait", "20"),
    *("--default-resources", "slurm_account=lab", "slurm_partition=main", "runtime=10", "disk_mb=1000"),
    *("--slurm-array-jobs", "work", "--slurm-array-limit", "11", "--slurm-jobname-prefix", "arrays"),
    *("--slurm-init-seconds-before-status-checks", str(FIRST_CHECK_S)),
]


@pytest.fixture(scope="module")
def done(slurm, tmp_path_factory):
    """The folder in which all tasks have run, with Slurm's jobs and what Snakemake printed."""
    folder = tmp_path_factory.mktemp("arrays")
    path = f"{Path(sys.executable).parent}:{slurm.environment['PATH']}"
    process = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", HERE / "arrays.smk", *OPTIONS],
        cwd=folder,
        env={**slurm.environment, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    jobs = slurm.sacct("JobID", "JobName", "State", "Submit", "Start", "End", "ReqMem")
    jobs = [job for job in jobs if job["JobName"].startswith("arrays")]
    return folder, jobs, process


def attempts(folder, number):
    """The attempts at a task: Slurm's job, memory that the job knows, memory that Slurm gave, in MB."""
    return [line.split() for line in (folder / f"attempts/{number}.txt").read_text().splitlines()]


def test_every_task_ends_well(done):
    folder, _, process = done
    assert process.returncode == 0, process.stdout
    for number in range(40):
        for output in (f"out/{number}.txt", f"folder{number}/of/its/own.txt"):
            assert (folder / output).read_text() == str(number)


def test_what_was_finished_is_not_done_again(done):
    folder, _, _ = done
    n_attempts = {number: len(attempts(folder, number)) for number in range(40)}
    assert n_attempts == {number: 2 if number in FAIL + NEED_MEMORY else 1 for number in range(40)}


@pytest.mark.parametrize("number", NEED_MEMORY)
def test_a_retry_asks_for_more_memory_and_gets_it(done, number):
    first, second = attempts(done[0], number)
    assert [first[1], second[1]] == ["300", "600"]
    assert 300 <= int(first[2]) < 400  # the plugin adds a little in arrays
    assert int(second[2]) >= 600


def test_jobs_that_are_ready_together_are_tasks_of_arrays(done):
    """Later ones become ready as places fall free, on a slow machine one by one."""
    _, jobs, _ = done
    assert len(jobs) == 48
    first = sorted(jobs, key=lambda job: (job["Submit"], job["JobID"]))[:JOBS]
    assert all("_" in job["JobID"] for job in first), first


def test_no_place_is_lost(done):
    """Jobs that the plugin didn't submit would keep their places, until nothing runs any more."""
    _, jobs, _ = done
    assert 4 <= most_at_once(jobs, "Submit") <= JOBS
