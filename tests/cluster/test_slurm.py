"""The test cluster itself: jobs queue for its GPUs, it survives the loss of a node, and refuses what a cluster refuses."""

import time
from datetime import datetime

import pytest

GPUS = 4
WAIT_S = 60


def wait(condition, what):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S} s for {what}"
        time.sleep(0.2)


def submit(slurm, folder, *options):
    return slurm.run("sbatch", "--parsable", f"--chdir={folder}", "--mem=500", *options).strip()


def queue(slurm, job, what):
    return slurm.run("squeue", "-h", "-j", job, "-o", what).strip()


def runs(slurm, jobs):
    """What accounting knows of the jobs' runs, once the last run of each is over."""
    rows = lambda: [row for row in slurm.sacct() if row["JobID"] in jobs]  # noqa: E731
    last = lambda: {row["JobID"]: row["End"] for row in rows()}  # noqa: E731
    wait(lambda: len(last()) == len(jobs) and "Unknown" not in last().values(), f"the end of {jobs}")
    return rows()


def test_jobs_queue_for_gpus(slurm, tmp_path):
    jobs = [submit(slurm, tmp_path, "--gpus=k80:1", "--wrap=sleep 2") for _ in range(6)]
    rows = runs(slurm, jobs)
    assert [row["State"] for row in rows] == ["COMPLETED"] * 6
    times = [tuple(datetime.fromisoformat(row[name]) for name in ("Start", "End")) for row in rows]
    at_once = [sum(start <= moment < end for start, end in times) for moment, _ in times]
    assert 1 < max(at_once) <= GPUS


def test_a_job_of_a_dead_node_runs_on_the_other(slurm, tmp_path):
    job = submit(slurm, tmp_path, "--wrap=[ $SLURM_RESTART_COUNT ] || sleep 600")
    wait(lambda: queue(slurm, job, "%T") == "RUNNING", f"job {job} to run")
    dead = queue(slurm, job, "%N")
    slurm.kill_node(dead)
    try:
        # for a moment accounting shows the job as over, before it shows that it waits again
        wait(
            lambda: [row["State"] for row in runs(slurm, [job])] == ["NODE_FAIL", "COMPLETED"], "a second run"
        )
        assert [row["NodeList"] == dead for row in runs(slurm, [job])] == [True, False]
    finally:
        slurm.start_node(dead)
    wait(lambda: slurm.run("sinfo", "-h", "-n", dead, "-p", "main", "-o", "%t").strip() == "idle", dead)


@pytest.mark.parametrize(
    ("option", "error"),
    [("--partition=nowhere", "invalid partition"), ("--account=nobody", "Invalid account")],
)
def test_what_the_cluster_does_not_know_is_refused(slurm, tmp_path, option, error):
    with pytest.raises(RuntimeError, match=error):
        submit(slurm, tmp_path, option, "--wrap=true")
