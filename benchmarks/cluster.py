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

On a busy machine, seconds of a core say more than these times. Slurm's own accounting (TotalCPU)
reads 0 here. So this program adopts the processes that Slurm starts for jobs (PR_SET_CHILD_SUBREAPER of Linux' prctl);
when such a process ends, the kernel tells its parent what it and its children took. Beside them stands what `genenet
train` takes for some of the same trainings outside of Slurm; the difference is the overhead.

The controller's processor time is that of Snakemake, with all sbatch and sacct that it called.
"""

import contextlib
import ctypes
import os
import resource
import statistics
import subprocess
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path

from bench_tools import parser
from tests.support import debian
from tests.support import slurm as slurm_module
from tests.support.searches import ClusterSearch

PR_SET_CHILD_SUBREAPER = 36
ALONE = 4  # trainings that run outside of Slurm, too
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


class Orphans:
    """Processes of Slurm's jobs whose parent has ended: this process becomes their parent, and counts what they took.

    They are waited for at once, since Slurm takes a job for unfinished as long as one of its processes is a zombie.
    """

    def __init__(self):
        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
        self.core_seconds = 0.0
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self):
        while True:
            for pid in [pid for pid, state in self._there() if state == "Z"]:
                _, _, used = os.wait4(pid, 0)
                self.core_seconds += used.ru_utime + used.ru_stime
            time.sleep(0.1)

    def _there(self):
        """Yield the number and the state of each of these processes; stepd is the parent of a job's command."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended
                command, rest = (process / "stat").read_text().split("(", 1)[1].rsplit(") ", 1)
                state, parent, *_ = rest.split()
                if int(parent) == os.getpid() and command in ("slurmstepd", "srun"):
                    yield int(process.name), state

    def all_core_seconds(self):
        """Wait until all of them have ended; return the seconds of a core that they and their children have taken."""
        while list(self._there()):
            time.sleep(0.1)
        return self.core_seconds


def core_seconds(function, *arguments):
    """Return the seconds of a core of the processes that a function starts and waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    function(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run_trainings(search):
    """Run the trainings and their ranking; return begin, wall time and the controller's processor time in s."""
    began = time.time()
    controller = core_seconds(search.on_cluster, "results/ranking.csv")
    return began, time.time() - began, controller


def jobs_since(cluster, began):
    """Return start and end of each job of trainings, and the number of calls of sbatch."""
    fields = ("JobID", "SubmitLine", "Submit", "Start", "End")
    since = datetime.fromtimestamp(began).isoformat(timespec="seconds")
    rows = [r for r in cluster.sacct(*fields) if r["Submit"] >= since and "rule_train" in r["SubmitLine"]]
    begins, ends = ([datetime.fromisoformat(r[name]).timestamp() for r in rows] for name in ("Start", "End"))
    return begins, ends, len({row["JobID"].split("_")[0] for row in rows})


def measure(cluster, orphans, folder, n_genomes, iterations, per_job):
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
    before = orphans.all_core_seconds()
    began, wall, controller = run_trainings(search)
    in_jobs = (orphans.all_core_seconds() - before) / n_genomes
    alone = statistics.mean(
        core_seconds(search.genenet_train, run, folder / f"alone/{run}") for run in runs[:ALONE]
    )
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
    print(
        f"seconds of a core for each training: {in_jobs:.2f} in jobs, {alone:.2f} for genenet train outside of Slurm;"
    )
    print(
        f"  the overhead is {in_jobs - alone:.2f}; the controller took {controller / n_genomes:.2f}",
        flush=True,
    )


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
    orphans = Orphans()
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        work = Path(folder) / "w"
        work.mkdir()
        with slurm_module.Slurm(Path(folder) / "c") as cluster:
            measure(cluster, orphans, work, options.genomes, options.iterations, options.per_job)


if __name__ == "__main__":
    main()
