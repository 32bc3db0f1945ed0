"""Many tiny trainings as job arrays on a real Slurm: what takes time beside training and start-up.

python benchmarks/cluster.py [--genomes 300] [--iterations 100]

As root on Debian 12: it starts the cluster of the tests (two nodes, four GPUs that are files, Snakemake, controller and
database on the same machine). A job asks for so many of these that one job runs on each core. What is measured begins
when everything but the trainings is made, and ends with the ranking:

- training: as scores.json counts it, validations included;
- start-up: the rest of the life of `genenet train`, from its log's first line to the last, publishing included;
- in the job: what Slurm counts for the job beyond these (its batch step, Snakemake in the job, srun);
- between jobs: what is left of the cores' time: a place is free, the next job not there yet.

The controller's time of the processor is Snakemake's, with all sbatch and sacct that it called.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support import debian  # noqa: E402  (it lies with the tests)
from tests.support import slurm as slurm_module  # noqa: E402
from tests.support.searches import ClusterSearch  # noqa: E402

CONFIG = """
results: results
data:
  classes: [background, cell, mitochondrion, alpha granule, canalicular vessel, dense granule body, dense granule core]
  voxel_size_nm: [40, 10, 10]
  train: [{{phantom: {{shape: [2, 128, 128], seed: 1}}}}]
  validation: [{{phantom: {{shape: [1, 128, 128], seed: 2}}}}]
search:
  seed: 1
  n_genomes: {genomes}
  regions:
    net: {{n_convkernels: [4, 6], n_stacks: 1, n_convlayers: 1, input_size: 48}}
training: {{iterations: {iterations}, batch_size: 2, threads: 1, validation_interval: {iterations}, device: cpu}}
ensemble: {{size: 2}}
"""
EDITS = [  # the site's, and numbers that suit this machine; how often is asked, and how arrays are made, is as it is
    ("# slurm_account: mylab", "slurm_account: lab"),
    *(("runtime: 120", "runtime: 10"), ("runtime: 240", "runtime: 10")),
    *(("mem_mb: 8000", "mem_mb: 1000"), ("mem_mb: 16000", "mem_mb: 1000")),
]


def life_of(log):
    """Return the s from a log's birth to its last line."""
    done = subprocess.run(["stat", "--format=%.W %.Y", log], capture_output=True, text=True, check=True)
    birth, last = map(float, done.stdout.split())
    return last - birth


def timed(search):
    """Run the trainings and their ranking; return begin, wall time and the controller's processor time in s."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    search.on_cluster("results/ranking.csv")
    wall, after = time.time() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return began, wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def jobs_since(cluster, began):
    """Return the trainings' jobs as Slurm's accounting has them, and how many calls of sbatch they took."""
    fields = ("JobID", "SubmitLine", "Submit", "Start", "End")
    since = datetime.fromtimestamp(began).isoformat(timespec="seconds")
    rows = [r for r in cluster.sacct(*fields) if r["Submit"] >= since and "rule_train" in r["SubmitLine"]]
    return rows, len({row["JobID"].split("_")[0] for row in rows})


def measure(cluster, folder, n_genomes, iterations):
    """Print the table of one search."""
    cores = os.cpu_count() or 1
    gpus = slurm_module.GPUS_PER_NODE * len(slurm_module.NODES)
    places = min(gpus, cores)
    search = ClusterSearch(cluster, folder)
    search.add("search.yaml", CONFIG.format(genomes=n_genomes, iterations=iterations))
    search.edit_profile(*EDITS, ("&gpu --gpus\\=1", f"&gpu --gpus\\=k80:{gpus // places}"))
    runs = [f"r0/{i:03}" for i in range(n_genomes)]
    data = [f"results/data/{split}.zarr.zip" for split in ("train", "validation")]
    search.snakemake(*data, "results/settings/train.json", *(f"results/genomes/{run}.json" for run in runs))
    began, wall, controller = timed(search)
    rows, calls = jobs_since(cluster, began)
    training = [search.scores(run)["seconds"] for run in runs]
    lives = [life_of(search.results / f"logs/train/{run}.log") for run in runs]
    begins, ends = (
        [datetime.fromisoformat(row[name]).timestamp() for row in rows] for name in ("Start", "End")
    )
    elapsed = (sum(ends) - sum(begins)) / n_genomes
    trained, life = statistics.mean(training), statistics.mean(lives)
    share = wall * places / n_genomes
    print(f"{n_genomes} trainings of {iterations} iterations, {places} at a time")
    print(f"{len(rows)} jobs, in {calls} calls of sbatch")
    print(f"{wall:.0f} s in all; {share:.1f} s of a place for each training, of which")
    parts = {
        "training": trained,
        "start-up": life - trained,
        "in the job": elapsed - life,
        "between jobs": share - elapsed,
    }
    for name, seconds in parts.items():
        print(f"  {name:13} {seconds:6.2f} s {100 * seconds / share:4.0f} %")
    first = min(begins) - began
    print(
        f"first job {first:.0f} s after the start, ranking {began + wall - max(ends):.0f} s after the last job"
    )
    print(f"controller: {controller / n_genomes:.2f} s of the processor for each training", flush=True)


def main():
    """Start the cluster and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--genomes", type=int, default=300)
    parser.add_argument("--iterations", type=int, default=100)
    options = parser.parse_args()
    if reasons := slurm_module.missing():
        parser.error(f"the cluster can't run here: {', '.join(reasons)}")
    debian.install(slurm_module.PACKAGES)
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        work = Path(folder) / "w"
        work.mkdir()
        with slurm_module.Slurm(Path(folder) / "c") as cluster:
            measure(cluster, work, options.genomes, options.iterations)


if __name__ == "__main__":
    main()
