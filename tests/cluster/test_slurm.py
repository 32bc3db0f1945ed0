"""The test cluster itself: it queues for GPUs, survives the loss of a node, and refuses what a cluster refuses."""

import time
from datetime import datetime

GPUS = 4
WAIT_S = 40


def ended(slurm, *jobs):
    """Wait until the jobs are out of the queue."""
    wait(
        lambda: not slurm.run("squeue", "-h", "-t", "PD,R,CG,S", "-j", ",".join(jobs)), f"jobs {jobs} to end"
    )


def wait(condition, what):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S} s for {what}"
        time.sleep(0.2)


def submit(slurm, tmp_path, *options):
    return slurm.run("sbatch", "--parsable", f"--chdir={tmp_path}", *options).strip()


def state(slurm, job):
    return slurm.run("squeue", "-h", "-j", job, "-o", "%T").strip()


def test_jobs_queue_for_gpus(slurm, tmp_path):
    jobs = [submit(slurm, tmp_path, "--mem=500", "--gpus=k80:1", "--wrap=sleep 2") for _ in range(6)]
    ended(slurm, *jobs)
    rows = [row for row in slurm.sacct("JobID", "State", "Start", "End") if row["JobID"] in jobs]
    assert [row["State"] for row in rows] == ["COMPLETED"] * 6
    times = [[datetime.fromisoformat(row[name]) for name in ("Start", "End")] for row in rows]
    at_once = [sum(start <= moment < end for start, end in times) for moment, _ in times]
    assert 1 < max(at_once) <= GPUS
    assert min(start for start, _ in times) < max(start for start, _ in times)


def test_jobs_of_a_dead_node_run_on_the_other(slurm, tmp_path):
    script = "--wrap=hostname; sleep $((20 * (1 - ${SLURM_RESTART_COUNT:-0})))"
    job = submit(slurm, tmp_path, "--requeue", "--nodelist=n1", script)
    slurm.run("scontrol", "update", f"JobId={job}", "ReqNodeList=", check=False)
    wait(lambda: state(slurm, job) == "RUNNING", f"job {job} to run")
    slurm.kill_node("n1")
    try:
        wait(lambda: slurm.run("sinfo", "-h", "-p", "main", "-n", "n1", "-o", "%T").startswith("down"), "n1")
    finally:
        slurm.start_node("n1")
