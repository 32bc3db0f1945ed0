"""The controller cancels what its predecessor has left."""

import subprocess

from tests.support.searches import ClusterSearch, until


def test_it_cancels_the_task_that_is_left_of_an_array(slurm, tmp_path):
    """Slurm names the array and its last task by the same number; when that task has ended, the number of another task
    cancels nothing."""
    search = ClusterSearch(slurm, tmp_path, "tiny.yaml")
    options = ["--account=lab", "--mem=100M", "--array=1-2", "--job-name=genenet_old", "--output=/dev/null"]
    done = subprocess.run(
        ["sbatch", "--parsable", *options, "--wrap", "[ $SLURM_ARRAY_TASK_ID = 2 ] || sleep 600"],
        cwd=search.folder,
        env=search.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    array = done.stdout.strip()

    def tasks():
        return slurm.run("squeue", "-h", "-j", array, "-o", "%i %T", check=False).strip()

    until(lambda: tasks() == f"{array}_1 RUNNING", 60, tasks)
    controller = search.sbatch_controller("--version")
    until(lambda: not slurm.run("squeue", "-h", "-j", controller, check=False), 300, search.log)
    log = search.log()
    assert f"cancels jobs of its predecessor, which continue from their checkpoints: {array}\n" in log
    assert "haven't ended" not in log
    (state,) = [job["State"] for job in slurm.sacct() if job["JobID"] == f"{array}_1"]
    assert state.startswith("CANCELLED")
