"""How soon ``genenet status`` answers for a search of 1 000 genomes, beside ``ls -R`` and ``snakemake -n``.

python benchmarks/status.py
"""

import json
import shutil
import tempfile
from pathlib import Path

import yaml

from bench_tools import GENENET, ROOT, SNAKEMAKE, parser, print_times
from genenet.config.model import check_config
from genenet.config.stages import settings_json
from genenet.core.atomic_files import write_csv, write_json
from genenet.core.attempts import Attempts
from genenet.core.paths import ResultPaths
from genenet.training.state_file import TrainingState

RUNS, GENOMES = 5, 1000
DONE, TRAINING = 600, 100  # the others have not begun
COLUMNS = ("iteration", "training_loss", "learning_rate", "validation_ari", "seconds")


def write_search(folder):
    """Write the files of a search that is running; return their paths."""
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
    """Return the first rows of a history."""
    return [(100 * (i + 1), 0.5, 1e-3, 0.5 + i / 40, 12.5 * i + 10) for i in range(n)]


def write_done(files, i):
    """Write the files of a training that has ended."""
    validation = {"ari": 0.5 + i / 10_000, "accuracy": 0.9, "mean_iou": 0.5, "iou": [0.5] * 7}
    scores = {"status": "ok", "iterations": 1000, "best_iteration": 900, "seconds": 125.0}
    write_json(files.scores, {"format": "genenet.scores/1", **scores, "validation": validation})
    write_csv(files.history, COLUMNS, history(10))
    write_csv(files.progress, COLUMNS, history(10))
    Attempts(files.attempts, "x").run(lambda: True, 0, lambda: 1000, lambda: 1000)


def write_training(files, log):
    """Write the files of a training that is running."""
    Attempts(files.attempts, "x")._begin(0)
    holder = {"host": "elsewhere", "pid": 1, "slurm_job_id": "1234567"}
    files.lock.write_text(json.dumps(holder))
    write_csv(files.progress, COLUMNS, history(5))
    state = TrainingState(
        iteration=510, iterations=1000, best_ari=0.6, seconds_per_iteration=0.125, host="elsewhere"
    )
    write_json(files.state, state.model_dump(mode="json"))
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(
        "--- now, elsewhere: genenet train\n" + "r0_700  510/1000  ARI 0.600  8.0 iterations/s\n" * 40
    )


def main():
    """Print the table."""
    parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_search(folder)
        shutil.copytree(ROOT / "workflow", folder / "workflow")
        commands = {
            "genenet --help": [*GENENET, "--help"],
            "genenet status": [*GENENET, "status"],
            "genenet status --json": [*GENENET, "status", "--json"],
            "ls -lR results": ["ls", "-lR", "results"],
            "snakemake -n": [*SNAKEMAKE, "-n", "--cores", "1", "--quiet", "all"],
        }
        print_times(commands, RUNS, "snakemake -n", cwd=folder)


if __name__ == "__main__":
    main()
