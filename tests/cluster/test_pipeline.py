"""The whole pipeline through profiles/slurm, in the container: what comes out is what a laptop gets."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
import tifffile
import zarr

from tests.support.searches import FIRST_CHECK_S, ClusterSearch, digest, most_at_once

N_GPUS = 4
OVERLAY = """
search: {{n_genomes: 5}}
container: {image}
"""
EDITS = [  # what docs/cluster.md says is the site's, and numbers that suit two nodes and minutes
    ("# slurm_account: mylab", "slurm_account: lab"),
    ("# slurm_partition: gpu", "slurm_partition: gpu"),
    ("&gpu --gpus\\=1", "&gpu --gpus\\=k80:1"),
    (  # segment asks in the other way
        "  segment:\n    slurm_partition: gpu\n    mem_mb: 16000\n    slurm_extra: *gpu",
        "  segment:\n    slurm_partition: gpu\n    mem_mb: 16000\n    slurm_extra: --gres\\=gpu:k80:1,lscratch:10",
    ),
    *(("jobs: 100", "jobs: 5"), ("runtime: 120", "runtime: 10"), ("runtime: 240", "runtime: 10")),
    *(("mem_mb: 8000", "mem_mb: 1000"), ("mem_mb: 16000", "mem_mb: 1500")),
    *(("status-checks: 40", f"status-checks: {FIRST_CHECK_S}"), ("latency-wait: 60", "latency-wait: 20")),
]


@pytest.fixture(scope="module")
def searches(slurm, image, tmp_path_factory):
    """The same search, on the cluster in the container, and here without."""
    there = ClusterSearch(slurm, tmp_path_factory.mktemp("cluster"), "tiny.yaml")
    there.add("container.yaml", OVERLAY.format(image=image))
    there.edit_profile(*EDITS)
    there.without_torch(tmp_path_factory.mktemp("without"))
    began = datetime.now().isoformat(timespec="seconds")  # as sacct writes; its database lags behind
    here = ClusterSearch(slurm, tmp_path_factory.mktemp("laptop"), "tiny.yaml")
    here.add("more.yaml", "search: {n_genomes: 5}")
    with ThreadPoolExecutor(1) as pool:  # jobs wait for Slurm most of the time
        laptop = pool.submit(here.snakemake)
        there.output = there.on_cluster()
        laptop.result()
    jobs = slurm.sacct("JobID", "SubmitLine", "AllocTRES", "Submit", "Start", "End")
    there.jobs = [job for job in jobs if job["Submit"] >= began]
    return there, here


def store_digest(path):
    """A digest of a Zarr store's arrays and attributes."""
    group = zarr.open(path, mode="r")
    result = hashlib.sha256()
    for name, array in sorted(group.members(max_depth=None)):
        result.update(name.encode() + (array[...].tobytes() if isinstance(array, zarr.Array) else b""))
    return result.hexdigest()


def test_the_results_are_those_of_the_local_profile_bit_for_bit(searches):
    there, here = searches
    runs = [f"r0/00{i}" for i in range(5)] + ["baselines/unet2015"]
    files = [f"genomes/{run}.json" for run in runs] + [f"runs/{run}/model.safetensors" for run in runs]
    files += [
        "ensemble_curve.csv",
        "segmentations/demo/scores.json",
        "test_scores.json",
    ]
    for file in files:
        assert digest(there.results / file) == digest(here.results / file), file
    labels = [tifffile.imread(search.results / "segmentations/demo.tif") for search in searches]
    assert (labels[0] == labels[1]).all()
    stores = [search.results / "segmentations/demo.ome.zarr" for search in searches]
    assert store_digest(stores[0]) == store_digest(stores[1])
    assert (there.results / "report.html").exists()


def test_jobs_ask_for_one_gpu_each_and_wait_for_it(searches):
    there, _ = searches
    trainings = [job for job in there.jobs if "rule_train" in job["SubmitLine"]]
    assert len(trainings) == 6
    assert all("gres/gpu=1" in job["AllocTRES"].split(",") for job in trainings)
    with_gpu = [job for job in there.jobs if "gres/gpu" in job["AllocTRES"]]
    assert len(with_gpu) == 6 + 2 + 1
    assert 2 <= most_at_once(with_gpu) <= N_GPUS
    assert all(" -p gpu " in job["SubmitLine"] for job in with_gpu)


def test_both_ways_to_ask_for_a_gpu_reach_sbatch(searches):
    there, _ = searches
    for rule, option in (("train", "--gpus=k80:1"), ("segment", "--gres=gpu:k80:1,lscratch:10")):
        lines = [job["SubmitLine"] for job in there.jobs if f"rule_{rule}" in job["SubmitLine"]]
        assert lines
        assert all(f" {option} " in line for line in lines), lines


def test_trainings_are_arrays_and_no_more_jobs_are_in_flight_than_the_limit(searches):
    """With more trainings than that, the plugin alone would stall."""
    there, _ = searches
    trainings = [job["JobID"] for job in there.jobs if "rule_train" in job["SubmitLine"]]
    assert sum("_" in job for job in trainings) >= 2, trainings  # how many are ready together is chance
    assert most_at_once(there.jobs, "Submit") <= 5


def test_every_job_ran_in_the_container(searches, image):
    there, _ = searches
    for kind in ("train/r0/000", "prepare/train", "select", "segment/demo/001-of-002", "report"):
        assert f"in {image}: genenet" in (there.results / f"logs/{kind}.log").read_text()
    assert f"in {image}" not in (there.results / "logs/generate/r0/000.log").read_text()  # the launcher's


def test_the_workflow_is_done(searches):
    there, _ = searches
    output = there.on_cluster("--dry-run")
    assert "Nothing to be done" in output
    assert "ensemble of 2 networks: validation ARI" in there.output


def test_another_time_limit_makes_nothing_again(searches):
    there, _ = searches
    assert "Nothing to be done" in there.on_cluster("--dry-run", "--set-resources", "train:runtime=99")
