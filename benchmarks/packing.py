"""Trainings side by side: 8 genomes on 2 cores as 1 × 2 threads and as 2 × 1 thread, and the makespan of the demo.

    python benchmarks/packing.py                      # about an hour on a quiet machine of two cores
    python benchmarks/packing.py --genomes 2 --iterations 20 --repeats 1 --no-demo     # a trial of some minutes

Each of the ways trains the same genomes by one job of ``genenet train-pack``, whose processes are those of a search.
Runs of the two ways alternate, since a machine's speed changes. Iterations per second are those of all trainings
together, from the start of the job to its end, start-up included; those of the steps alone, without start-up and
validation, stand beside. Seconds of the processor show what is wasted. The demo is config.yaml with the local
profile: the whole workflow, with ``training.threads`` 2, and 1 for two trainings at a time.
"""

import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from bench_tools import GENENET, ROOT, SNAKEMAKE, parser, processor_name

CORES = 2
WAYS = {"1 x 2 threads": 2, "2 x 1 thread": 1}  # threads of each training


@dataclass
class Measured:
    """One way of training, on these cores.

    Attributes:
        seconds: from the start to the end.
        cpu_seconds: of all processes.
        iterations: of all trainings; 0 for the demo.
        step_seconds: of all trainings: the time of their steps, by their histories.
    """

    seconds: float
    cpu_seconds: float
    iterations: int = 0
    step_seconds: float = 0.0


def main():
    """Measure, print the medians, and write all figures as JSON."""
    arguments = parser(__doc__)
    arguments.add_argument("--genomes", type=int, default=8)
    arguments.add_argument("--iterations", type=int, default=300)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--no-demo", action="store_true", help="leave out the makespan of the demo")
    arguments.add_argument("--out", type=Path, default=Path("packing.json"))
    options = arguments.parse_args()
    if len(os.sched_getaffinity(0)) < CORES:
        sys.exit(f"this needs {CORES} cores")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    found = {
        "trainings": alternating(options.repeats, lambda threads: trained(threads, options)),
        **({} if options.no_demo else {"demo": alternating(options.repeats, demo)}),
    }
    facts = {"processor": processor_name(), "genomes": options.genomes, "iterations": options.iterations}
    options.out.write_text(json.dumps({**facts, **found}, indent=1))
    for what, ways in found.items():
        show(what, ways)
    print(f"all figures: {options.out}")


def alternating(repeats, measure):
    """Measure each way some times, in turn, the first of them last in every second round."""
    found = {way: [] for way in WAYS}
    for repeat in range(repeats):
        for way in list(WAYS)[:: 1 if repeat % 2 == 0 else -1]:
            found[way].append(asdict(measure(WAYS[way])))
            print(f"round {repeat + 1} of {repeats}, {way}: {found[way][-1]['seconds']:.0f} s", flush=True)
    return found


def trained(threads, options):
    """Train all genomes in one job, in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        config = demo_config(threads)
        config["search"]["n_genomes"] = options.genomes
        config["training"] |= {"iterations": options.iterations, "validation_interval": options.iterations}
        config["training"]["per_job"] = options.genomes
        (Path(folder) / "config.yaml").write_text(yaml.safe_dump(config))
        genomes = [f"results/genomes/r0/{i:03d}.json" for i in range(options.genomes)]
        data = [f"results/data/{split}.zarr.zip" for split in ("train", "validation")]
        snakemake(folder, *genomes, *data, "results/settings/train.json")
        span = f"000-{options.genomes - 1:03d}"
        command = [
            "train-pack",
            "--results",
            "results",
            "--round",
            "0",
            "--span",
            span,
            "--cores",
            str(CORES),
        ]
        measured = timed([*GENENET, *command], folder)
        for history in Path(folder).glob("results/runs/r0/*/history.csv"):
            with history.open() as file:
                last = list(csv.DictReader(file))[-1]
            measured.iterations += int(last["iteration"])
            measured.step_seconds += float(last["seconds"])
        return measured


def demo(threads):
    """Run the demo in a new folder, from an empty one to the report."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.yaml").write_text(yaml.safe_dump(demo_config(threads)))
        return timed(workflow(), folder)


def demo_config(threads):
    """Return config.yaml with another number of threads."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["training"]["threads"] = threads
    return config


def workflow(*targets):
    """Return the command that runs the workflow on the cores."""
    return [
        *(*SNAKEMAKE, *targets, "--snakefile", str(ROOT / "workflow/Snakefile")),
        *("--configfile", "config.yaml", "--profile", str(ROOT / "profiles/local"), "--cores", str(CORES)),
    ]


def snakemake(folder, *targets):
    """Make files that the trainings need."""
    timed(workflow(*targets), folder)


def timed(command, folder):
    """Run a command and measure it and all processes that it starts and waits for."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return Measured(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def show(what, ways):
    """Print the medians of each way, and the ratio of their times."""
    medians = {}
    for way, runs in ways.items():
        seconds = medians[way] = statistics.median(run["seconds"] for run in runs)
        text = f"{what}, {way}: {seconds:.1f} s, {statistics.median(r['cpu_seconds'] for r in runs):.1f} s of a core"
        if runs[0]["iterations"]:
            text += (
                f", {statistics.median(r['iterations'] / r['seconds'] for r in runs):.2f} iterations/s in all"
            )
            side_by_side = CORES // WAYS[way]
            of_steps = statistics.median(r["iterations"] / r["step_seconds"] for r in runs) * side_by_side
            text += f" ({of_steps:.2f} while they train)"
        print(text)
    first, second = medians.values()
    print(f"{what}: 2 x 1 thread takes {second / first:.2f} of the time of 1 x 2 threads")


if __name__ == "__main__":
    main()
