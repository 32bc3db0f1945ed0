"""What is said, and that nothing is submitted, when the site or the image isn't what the config says."""

import json
import re
import shutil
import subprocess

import pytest

from genenet import __version__
from tests.support import container
from tests.support.search import ROOT
from tests.support.searches import ClusterSearch


@pytest.fixture
def search(slurm, tmp_path):
    return ClusterSearch(slurm, tmp_path, "tiny.yaml")


def refused(search, *options):
    """Run; return what Snakemake says. Nothing was submitted."""
    output = search.on_cluster(*options, check=False)
    (name,) = re.findall(r"SLURM run ID: (\S+)", output)  # of all jobs that this Snakemake submits
    assert name not in [job["JobName"] for job in search.slurm.sacct()], output
    assert "Traceback" not in output
    return output


def last_line(output):
    return [line for line in output.splitlines() if line.strip()][-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--set-resources", "train:slurm_partition=gpuu"],
            "Slurm doesn't take jobs of rule train: invalid partition",
        ),
        (
            ["--set-resources", "train:slurm_account=theirs"],
            "Slurm doesn't take jobs of rule train: The given account theirs appears to be invalid",
        ),
        (
            ["--set-resources", "train:mem_mb=900000"],
            "Slurm doesn't take jobs of rule train: Requested node",
        ),
        (["--set-resources", "train:slurm_extra=--gpus\\=h100:1"], "Slurm doesn't take jobs of rule train: "),
    ],
)
def test_what_slurm_would_refuse_is_said_before_anything_is_submitted(search, options, message):
    output = refused(search, *options)
    assert message in output
    assert "correct the profile" in output


@pytest.mark.usefixtures("image")
def test_a_missing_image_and_one_that_is_none(search):
    search.add("image.yaml", "container: nowhere.sif")
    assert (
        "container: nowhere.sif: no such file; build it (make container), or set container: null"
        in refused(search)
    )
    (search.folder / "nowhere.sif").write_text("no image\n" * 100)
    assert "container: nowhere.sif: can't be run: " in refused(search)


def test_an_image_of_another_genenet(search, image):
    """Of the launcher's, that is: a changed copy of the project starts the search."""
    shutil.copytree(ROOT / "genenet", search.folder / "genenet")
    changed = search.folder / "genenet/volumes/palette.py"
    changed.write_text(changed.read_text() + "# changed\n")
    search.environment["PYTHONPATH"] = str(search.folder)
    search.add("image.yaml", f"container: {image}")
    output = refused(search)
    assert f"container: {image}: the image {image} holds genenet 0." in output
    assert "build the image again (make container)" in output


def test_images_that_the_container_does_not_see(search, image, tmp_path_factory):
    made = ["results/phantoms/2x128x128-seed1/image.tif", "results/phantoms/2x128x128-seed1/labels.tif"]
    search.snakemake(*made)
    hidden = "/var/lib/genenet-tests"
    subprocess.run(["mkdir", "-p", hidden], check=True)
    try:
        for name in ("image.tif", "labels.tif"):
            shutil.copy(search.results / f"phantoms/2x128x128-seed1/{name}", hidden)
        own = f"data: {{train: [{{path: {hidden}/image.tif, labels: {hidden}/labels.tif}}]}}"
        search.add("own.yaml", f"{{container: {image}, {own}}}")
        output = refused(search)
        assert f"container: {hidden}/image.tif and 1 more can't be seen from inside the container" in output
        assert f"--bind {hidden}" in output
        seen = search.on_cluster("results/settings/train.json", f"--apptainer-args= --nv --bind {hidden}")
        assert "can't be seen" not in seen
    finally:
        shutil.rmtree(hidden)


def test_a_gpu_that_slurm_grants_and_torch_does_not_see(search, image):
    search.add("auto.yaml", f"{{container: {image}, training: {{device: auto}}, search: {{n_genomes: 1}}}}")
    data = [f"results/data/{split}.zarr.zip" for split in ("train", "validation")]
    search.snakemake(*data, "results/genomes/r0/000.json", "results/settings/train.json")
    small = ("--set-resources", "train:mem_mb=1500", "train:slurm_extra=--gpus\\=1")
    output = search.on_cluster("results/runs/r0/000/scores.json", *small, "--retries", "0", check=False)
    assert "Slurm granted this job a GPU, but torch" in output
    assert "--nv" in output
    assert not (search.run_folder("r0/000") / "scores.json").exists()


def test_the_doctor_in_a_job_says_that_the_gpu_is_not_seen_and_why(slurm, image):
    job = ("srun", "--account=lab", "--partition=gpu", "--gpus=1", "--cpus-per-task=2")
    doctor = ("apptainer", "exec", "--nv", image, "genenet", "doctor", "--json")
    done = subprocess.run([*job, *doctor], env=slurm.environment, capture_output=True, text=True, check=False)
    found = {finding["topic"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert done.returncode == 1
    assert [topic for topic, finding in found.items() if finding["status"] == "problem"] == ["GPU"]
    assert found["GPU"]["text"].startswith("Slurm granted this job one, but torch finds none")
    assert "partition gpu, granted a GPU" in found["Slurm job"]["text"]
    assert found["container"]["text"] == f"inside {image}"
    assert "SLURM_CPUS_PER_TASK is 2; training.threads is 1" in found["cores"]["text"]


def test_the_images_labels_say_which_genenet_it_holds(slurm, image):
    command = ["apptainer", "inspect", "--json", image]
    said = subprocess.run(command, env=slurm.environment, capture_output=True, text=True, check=True).stdout
    labels = json.loads(said)["data"]["attributes"]["labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.revision"] == container.COMMIT
