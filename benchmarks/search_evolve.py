"""Evolution beside random search by real runs: as many genomes, each with as many iterations, on a phantom.

Each search is the product's own, by Snakemake in a folder that is kept, so that an interrupted one goes on.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
N = 24  # genomes of a search
SEARCHES = {
    "random": {"strategy": "random", "n_genomes": N},
    "evolution": {
        "strategy": "evolution",
        "n_genomes": [8, 8, 8],
        "evolution": {"population": 12, "tournament": 4},
    },
}
CONFIG = {
    "data": {
        "classes": [
            *("background", "cell", "mitochondrion", "alpha granule", "canalicular vessel"),
            *("dense granule body", "dense granule core"),
        ],
        "voxel_size_nm": [40, 10, 10],
        "train": [{"phantom": {"shape": [6, 256, 256], "seed": 1}}],
        "validation": [{"phantom": {"shape": [2, 256, 256], "seed": 2}}],
        "test": [{"phantom": {"shape": [2, 256, 256], "seed": 3}}],
    },
    "training": {
        "iterations": 360,
        "validation_interval": 40,
        "batch_size": 2,
        "threads": 1,
        "device": "cpu",
        "precision": "float32",
    },
    "ensemble": {"size": 4},
}
REGIONS = {
    "net": {
        "n_convkernels": [4, 12],
        "n_stacks": [1, 3],
        "n_convlayers": [1, 3],
        "input_size": [48, 128],
        "log_learning_rate": [-4.0, -1.5],
        "norm": ["none", "batch"],
        "activation": ["relu", "elu"],
    },
    "stack": {"n_convlayers": [-1, 1]},
}


def run(folder, name, seed):
    """Do a search, unless it is done; return what it came to and cost."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {**CONFIG, "search": {**SEARCHES[name], "seed": seed, "regions": REGIONS}}
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "workflow/Snakefile"]
    command += ["--profile", ROOT / "profiles/local", "--cores", "2", "results/test_scores.json"]
    with (folder / "log.txt").open("w") as log:
        subprocess.run(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, check=True)
    outcomes = [json.loads(path.read_text()) for path in folder.glob("results/runs/r*/*/scores.json")]
    ok = [outcome for outcome in outcomes if outcome["status"] == "ok"]
    ensemble = json.loads((folder / "results/ensemble/ensemble.json").read_text())
    test = json.loads((folder / "results/test_scores.json").read_text())
    return {
        "best": max(outcome["validation"]["ari"] for outcome in ok),
        "ensemble": ensemble["validation"]["ari"],
        "test": test["ari"],
        "iterations": sum(outcome["iterations"] for outcome in ok),
    }


def evolve(work, n_seeds):
    """Print a line for each search, and means with spreads."""
    found = {name: [] for name in SEARCHES}
    for seed in range(n_seeds):
        for name in SEARCHES:
            result = run(Path(work) / f"{name}_{seed}", name, seed)
            found[name].append(result)
            print(
                f"seed {seed} {name:12} " + "  ".join(f"{k} {v:.4g}" for k, v in result.items()), flush=True
            )
    keys = ("best", "ensemble", "test")
    print(f"{'':12}" + "".join(f"{key:>20}" for key in (*keys, "iterations")))
    for name, results in found.items():
        cells = [mean_and_spread([result[key] for result in results]) for key in keys]
        cells.append(f"{statistics.mean(result['iterations'] for result in results):.0f}")
        print(f"{name:12}" + "".join(f"{cell:>20}" for cell in cells))
    pairs = list(zip(found["evolution"], found["random"], strict=True))
    cells = [mean_and_spread([own[key] - other[key] for own, other in pairs], "+") for key in keys]
    print(f"{'difference':12}" + "".join(f"{cell:>20}" for cell in cells))


def mean_and_spread(values, sign=""):
    """Return mean and standard deviation over seeds, as text."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):{sign}.4f} ± {spread:.4f}"
