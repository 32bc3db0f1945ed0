"""The search as one Slurm array, without Snakemake: interrupted jobs go on, and nothing of the result changes."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from safetensors.numpy import load_file

from tests.support.searches import ClusterSearch, until


def weights(folder):
    """All weights, bit for bit; the file's header names its fields in any order."""
    return {name: value.tobytes() for name, value in load_file(folder / "model.safetensors").items()}


class Submitted(ClusterSearch):
    """A working folder whose trainings are submitted with `genenet submit`."""

    def __init__(self, slurm, folder, n_genomes, iterations):
        super().__init__(slurm, folder)
        self.values = yaml.safe_load((Path(__file__).parent / "faults.yaml").read_text())
        self.values["search"]["n_genomes"] = n_genomes
        self.runs = [f"r0/{index:03d}" for index in range(n_genomes)]
        self.processes, self.frozen = [], set()
        self.iterate(iterations)

    def iterate(self, iterations):
        self.values["training"]["iterations"] = iterations
        self.configs = []
        self.add("config.yaml", yaml.safe_dump(self.values))

    def submit(self, *options):
        """Start `genenet submit`; it is stopped with the test, at the latest."""
        command = [sys.executable, "-m", "genenet", "submit", "--cluster", "slurm", "--mem-gb", "2", *options]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.processes.append(subprocess.Popen(command, cwd=self.folder, env=self.environment, **pipes))
        return self.processes[-1]

    def undisturbed(self, folder):
        """Train once more, outside of the cluster; return the weights."""

        def train(run):
            self.genenet_train(run, folder / run)
            return weights(folder / run)

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(train, self.runs))

    def freezes_all(self):
        """Freeze trainings that have a checkpoint, so that none ends in its first job; whether all are frozen."""
        for run in filter(self.trainer, self.runs):
            self.freeze(run)
            self.frozen.add(run)
        return len(self.frozen) == len(self.runs)

    def weights(self):
        return [weights(self.run_folder(run)) for run in self.runs]


@pytest.fixture
def new_search(slurm, tmp_path):
    """Makes a search; none of its processes and jobs is left, also if the test fails."""
    made = []

    def make(n_genomes, iterations):
        made.append(Submitted(slurm, tmp_path, n_genomes, iterations))
        return made[-1]

    yield make
    for process in [process for each in made for process in each.processes if process.poll() is None]:
        process.kill()
        process.communicate()
    slurm.cancel_all()


def finish(process, seconds):
    output = process.communicate(timeout=seconds)[0]
    assert process.returncode == 0, output
    assert "Traceback" not in output
    return output


def test_an_array_in_the_container_with_a_time_limit_and_a_requeue_in_the_middle(
    slurm, image, tmp_path, new_search
):
    search = new_search(n_genomes=2, iterations=1000)
    gpu = ("--partition", "gpu", "--account", "lab", "--gpu", "gres=gpu:k80:1,lscratch:10")
    process = search.submit(*gpu, "--minutes", "10", "--container", str(image))
    until(search.freezes_all, 600, "both train")
    array = min(int(search.holder(run)["slurm_job_id"]) for run in search.runs)
    slurm.run("scontrol", "requeue", f"{array}_0")
    slurm.end_in(2, f"{array}_1")  # Slurm asks the training to stop, and lets it continue for that
    with ThreadPoolExecutor(1) as pool:
        expected = pool.submit(search.undisturbed, tmp_path / "undisturbed")
        until(lambda: search.attempts("r0/001")[0]["exit"], 600, "the time of r0/001 is over")
        slurm.limit(f"{array}_1", 60)  # minutes, also for its next job; the other task may have ended
        output = finish(process, 600)
    assert "2 of 2 trainings ok" in output
    for run in search.runs:  # neither ended in its first job
        attempts = search.attempts(run)
        *before, last = [a["exit"] for a in attempts]
        assert before
        assert set(before) <= {"stopped", None}, before
        assert last == "finished"
        assert all(a["began_at_iteration"] > 0 for a in attempts[1:])
        assert len({a["slurm_job_id"] for a in attempts}) == 1
        assert f"in {image}" in (search.results / f"logs/train/{run}.log").read_text()
    arrays = {j["JobID"].partition("_")[0] for j in slurm.sacct() if j["JobName"] == "genenet-submit"}
    assert arrays == {str(array)}
    assert f"Slurm job {array}; " in output
    assert search.weights() == expected.result()
    assert not {"generate", "baseline", "train"} & set(search.planned())


def test_after_an_error_of_the_machine_a_job_returns_to_the_queue(slurm, new_search):
    search = new_search(n_genomes=2, iterations=10)
    obstacle = search.run_folder("r0/000") / "progress.csv"
    obstacle.mkdir(parents=True)  # the first attempt fails, as on a node whose disk is broken
    process = search.submit()
    until(
        lambda: any(a["ending"] for a in search.attempts("r0/000")), 300, "the first attempt of r0/000 ends"
    )
    obstacle.rmdir()
    output = finish(process, 300)
    assert "2 of 2 trainings ok" in output
    *failed, last = search.attempts("r0/000")
    assert {a["ending"] for a in failed} == {"machine"}
    assert last["ending"] == "finished"
    array = output.partition("Slurm job ")[2].partition(";")[0]
    states = [j["State"] for j in slurm.sacct() if j["JobID"] == f"{array}_0"]
    assert "REQUEUED" in states


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--partition", "nope"), "invalid partition specified: nope"),
        (("--account", "nope"), "Invalid account or account/partition combination specified"),
        (("--gpu", "gres=gpu:v100x:1"), "Requested node configuration is not available"),
    ],
)
def test_what_slurm_refuses_is_one_line(new_search, options, said):
    process = new_search(n_genomes=2, iterations=10).submit(*options)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 1
    assert output.splitlines()[-1].startswith("genenet: error: Slurm doesn't take the trainings: ")
    assert said in output.splitlines()[-1]
    assert len(output.splitlines()) == 2


def test_without_waiting_it_says_how_to_watch(slurm, new_search):
    search = new_search(n_genomes=2, iterations=10)
    output = finish(search.submit("--no-wait"), 300)
    job = output.splitlines()[-1].split("squeue -j ")[1].split(",")[0]
    assert slurm.run("squeue", "-h", "-r", "-j", job).count("\n") == 2 or search.published("r0/000")
    until(lambda: all(search.published(run) for run in search.runs), 600, "both are trained")
