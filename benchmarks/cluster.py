"""Many tiny trainings as job arrays on a real Slurm: what takes time beside training and start-up.

python benchmarks/cluster.py [--genomes 300] [--iterations 100] [--per-job 1]

As root on Debian 12: it starts the cluster of the tests (two nodes, four GPUs that are files; Snakemake, controller
and database on the same machine). A job asks for so many of these GPUs that one job runs on each core. The measurement
begins when everything but the trainings is made, and ends with the ranking:

- training: as scores.json counts it, validations included;
- start-up: the rest of the life of `genenet train`, from the first line of its log to the last, publishing included;
- in the job: the rest of the job's time in Slurm (its batch step, Snakemake in the job, srun);
- between jobs: the rest of the cores' time, in which a place is free and the next job has not started.

With --per-job 8, a job trains eight genomes one after the other on its core; all times are still for each training.

The controller's processor time is that of Snakemake, with all sbatch and sacct that it called.
"""

import os
import resource
import statistics
import subprocess
import tempfile
import time
from datetime import datetime
from pathlib import Path

from bench_tools import parser
from tests.support import debian
from tests.support import slurm as slurm_module
from tests.support.searches import ClusterSearch

CONFIG = (Path(__file__).parent / "cluster.yaml").read_text()
EDITS = [  # account, times and memory; how often states are asked for, and how arrays are made, stay as they are
    ("# slurm_account: mylab", "slurm_account: lab"),
    *(("runtime: 120", "runtime: 10"), ("runtime: 240", "runtime: 10")),
    *(("mem_mb: 8000", "mem_mb: 1000"), ("mem_mb: 16000", "mem_mb: 1000")),
    ("mem_mb: 32000", "mem_mb: 1000"),
    ("set-resources:", "set-threads: {train_pack: 1}\nset-resources:", 1),
]


def life_of(log):
    """Return the seconds from the creation of a log to its last line."""
    done = subprocess.run(["stat", "--format=%.W %.Y", log], capture_output=True, text=True, check=True)
    birth, last = map(float, done.stdout.split())
    return last - birth


def run_trainings(search):
    """Run the trainings and their ranking; return begin, wall time and the controller's processor time in s."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    search.on_cluster("results/ranking.csv")
    wall, after = time.time() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return began, wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def jobs_since(cluster, began):
    """Return start and end of each job of trainings, and the number of calls of sbatch."""
    fields = ("JobID", "SubmitLine", "Submit", "Start", "End")
    since = datetime.fromtimestamp(began).isoformat(timespec="seconds")
    rows = [r for r in cluster.sacct(*fields) if r["Submit"] >= since and "rule_train" in r["SubmitLine"]]
    begins, ends = ([datetime.fromisoformat(r[name]).timestamp() for r in rows] for name in ("Start", "End"))
    return begins, ends, len({row["JobID"].split("_")[0] for row in rows})


def measure(cluster, folder, n_genomes, iterations, per_job):
    """Print the table of one search."""
    gpus = slurm_module.GPUS_PER_NODE * len(slurm_module.NODES)
    places = min(gpus, os.cpu_count() or 1)
    search = ClusterSearch(cluster, folder)
    search.add("cluster.yaml", CONFIG)
    training = f"{{iterations: {iterations}, validation_interval: {iterations}, per_job: {per_job}}}"
    search.add("size.yaml", f"search: {{n_genomes: {n_genomes}}}\ntraining: {training}\n")
    search.edit_profile(*EDITS, ("&gpu --gpus\\=1", f"&gpu --gpus\\=k80:{gpus // places}"))
    runs = [f"r0/{i:03}" for i in range(n_genomes)]
    data = [f"results/data/{split}.zarr.zip" for split in ("train", "validation")]
    search.snakemake(*data, "results/settings/train.json", *(f"results/genomes/{run}.json" for run in runs))
    began, wall, controller = run_trainings(search)
    begins, ends, calls = jobs_since(cluster, began)
    trained = statistics.mean(search.scores(run)["seconds"] for run in runs)
    life = statistics.mean(life_of(search.results / f"logs/train/{run}.log") for run in runs)
    elapsed = (sum(ends) - sum(begins)) / n_genomes
    share = wall * places / n_genomes
    print(f"{n_genomes} trainings of {iterations} iterations, {per_job} in a job, {places} jobs at a time")
    print(f"{len(begins)} jobs, in {calls} calls of sbatch")
    print(f"{wall:.0f} s in all; {share:.1f} s of a place for each training, of which")
    parts = {"training": trained, "start-up": life - trained}
    parts |= {"in the job": elapsed - life, "between jobs": share - elapsed}
    for name, seconds in parts.items():
        print(f"  {name:13} {seconds:6.2f} s {100 * seconds / share:4.0f} %")
    first, last = min(begins) - began, began + wall - max(ends)
    print(f"first job {first:.0f} s after the start, ranking {last:.0f} s after the last job")
    print(f"controller: {controller / n_genomes:.2f} s of the processor for each training", flush=True)


def main():
    """Start the cluster and measure."""
    arguments = parser(__doc__)
    arguments.add_argument("--genomes", type=int, default=300)
    arguments.add_argument("--iterations", type=int, default=100)
    arguments.add_argument("--per-job", type=int, default=1, help="training.per_job")
    options = arguments.parse_args()
    if reasons := slurm_module.missing():
        arguments.error(f"the cluster can't run here: {', '.join(reasons)}")
    debian.install(slurm_module.PACKAGES)
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        work = Path(folder) / "w"
        work.mkdir()
        with slurm_module.Slurm(Path(folder) / "c") as cluster:
            measure(cluster, work, options.genomes, options.iterations, options.per_job)


if __name__ == "__main__":
    main()
