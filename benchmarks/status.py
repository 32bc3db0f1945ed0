"""How soon ``genenet status`` answers of a search of 1 000 genomes, beside ``ls -R`` and ``snakemake -n``.

python benchmarks/status.py
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from genenet.config.model import check_config
from genenet.config.stages import settings_json
from genenet.core.atomic_files import write_csv, write_json
from genenet.core.paths import ResultPaths
from genenet.training.attempts import Attempts

ROOT = Path(__file__).parents[1]
RUNS, GENOMES = 5, 1000
DONE, TRAINING = 600, 100  # the others wait
COLUMNS = ("iteration", "training_loss", "learning_rate", "validation_ari", "seconds")


def write_search(folder):
    """Write a search in the middle; return its config."""
    values = yaml.safe_load((ROOT / "config.yaml").read_text())
    values["search"]["n_genomes"] = GENOMES
    values["training"]["iterations"] = 1000
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    config, paths = check_config(values), ResultPaths(folder / "results")
    for stage in ("train", "generate"):
        write_json(Path(paths.settings(stage)), json.loads(settings_json(config, stage)))
    for i in range(GENOMES):
        files = paths.run(f"r0/{i:03d}")
        files.folder.mkdir(parents=True)
        if i < DONE:
            write_done(files, i)
        elif i < DONE + TRAINING:
            write_training(files, Path(paths.train_log(f"r0/{i:03d}")))
    return paths


def history(n):
    """Return rows of a training."""
    return [(100 * (i + 1), 0.5, 1e-3, 0.5 + i / 40, 12.5 * i + 10) for i in range(n)]


def write_done(files, i):
    """Write what a training leaves that has ended."""
    classes = {f"class {k}": {"iou": 0.5, "dice": 0.6, "precision": 0.5, "recall": 0.5} for k in range(7)}
    validation = {"ari": 0.5 + i / 10_000, "accuracy": 0.9, "mean_iou": 0.5, "classes": classes}
    scores = {"status": "ok", "iterations": 1000, "best_iteration": 900, "seconds": 125.0}
    write_json(files.scores, {"format": "genenet.scores/1", **scores, "validation": validation})
    write_csv(files.history, COLUMNS, history(10))
    write_csv(files.progress, COLUMNS, history(10))
    with Attempts(files.attempts, "x").attempt(0, lambda: 1000):
        pass


def write_training(files, log):
    """Write what a training leaves that goes on."""
    Attempts(files.attempts, "x")._begin(0)
    holder = {"host": "elsewhere", "pid": 1, "slurm_job_id": "1234567"}
    files.lock.write_text(json.dumps(holder))
    write_csv(files.progress, COLUMNS, history(5))
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(
        "--- now, elsewhere: genenet train\n" + "r0_700  510/1000  ARI 0.600  8.0 iterations/s\n" * 40
    )


def seconds(command, folder):
    """Return the median wall and CPU time of some runs, after one to warm up."""
    walls, processors = [], []
    for _ in range(RUNS + 1):
        began, used = time.monotonic(), sum(os.times()[2:4])
        subprocess.run(command, check=True, cwd=folder, capture_output=True)
        walls.append(time.monotonic() - began)
        processors.append(sum(os.times()[2:4]) - used)
    return statistics.median(walls[1:]), statistics.median(processors[1:])


def main():
    """Print the table."""
    python = [sys.executable, "-m", "genenet"]
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_search(folder)
        shutil.copytree(ROOT / "workflow", folder / "workflow")
        commands = {
            "genenet --help": [*python, "--help"],
            "genenet status": [*python, "status"],
            "genenet status --json": [*python, "status", "--json"],
            "ls -lR results": ["ls", "-lR", "results"],
            "snakemake -n": [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--quiet", "all"],
        }
        times = {what: seconds(command, folder) for what, command in commands.items()}
    _, peer = times["snakemake -n"]
    print(f"{'':24} {'wall':>8} {'CPU':>8}   CPU, of snakemake -n")
    for what, (wall, processor) in times.items():
        print(f"{what:24} {wall:6.2f} s {processor:6.2f} s   {processor / peer:5.2f}")


if __name__ == "__main__":
    main()
