"""Evolution beside random search in real runs: as many genomes, each with as many iterations, on a phantom.

Each search is a run of the workflow in a folder that is kept, so that an interrupted search continues.
"""

import json
import statistics
import subprocess

import yaml

from bench_tools import ROOT, SNAKEMAKE, mean_and_spread
from genenet.phantoms.phantom import CLASSES

N = 24  # genomes of a search
BREEDING = {"population": 12, "tournament": 4}
SEARCHES = {
    "random": {"strategy": "random", "n_genomes": N},
    "evolution": {"strategy": "evolution", "n_genomes": [N // 3] * 3, "evolution": BREEDING},
}
CONFIG = """
data:
  voxel_size_nm: [40, 10, 10]
  train: [{phantom: {shape: [6, 256, 256], seed: 1}}]
  validation: [{phantom: {shape: [2, 256, 256], seed: 2}}]
  test: [{phantom: {shape: [2, 256, 256], seed: 3}}]
search:
  regions:
    net:
      n_convkernels: [4, 12]
      n_stacks: [1, 3]
      n_convlayers: [1, 3]
      input_size: [48, 128]
      log_learning_rate: [-4.0, -1.5]
      norm: [none, batch]
      activation: [relu, elu]
    stack: {n_convlayers: [-1, 1]}
training:
  {iterations: 360, validation_interval: 40, batch_size: 2, threads: 1, device: cpu, precision: float32}
ensemble: {size: 4}
"""
SCORES = ("best", "ensemble", "test")


def run(folder, name, seed):
    """Do a search, unless it is done; return its scores and its iterations."""
    folder.mkdir(parents=True, exist_ok=True)
    values = yaml.safe_load(CONFIG)
    values["data"]["classes"] = list(CLASSES)
    values["search"] |= {**SEARCHES[name], "seed": seed}
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    command = [*SNAKEMAKE, "--snakefile", ROOT / "workflow/Snakefile", "--profile", ROOT / "profiles/local"]
    command += ["--cores", "2", "results/test_scores.json"]
    with (folder / "log.txt").open("w") as log:
        subprocess.run(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, check=True)
    results = folder / "results"
    outcomes = [json.loads(path.read_text()) for path in results.glob("runs/r*/*/scores.json")]
    ok = [outcome for outcome in outcomes if outcome["status"] == "ok"]
    return {
        "best": max(outcome["validation"]["ari"] for outcome in ok),
        "ensemble": json.loads((results / "ensemble/ensemble.json").read_text())["validation"]["ari"],
        "test": json.loads((results / "test_scores.json").read_text())["ari"],
        "iterations": sum(outcome["iterations"] for outcome in ok),
    }


def evolve(work, n_seeds):
    """Print a line for each search, and means with spreads."""
    found = {name: [] for name in SEARCHES}
    for seed in range(n_seeds):
        for name, results in found.items():
            results.append(run(work / f"{name}_{seed}", name, seed))
            figures = "  ".join(f"{key} {value:.4g}" for key, value in results[-1].items())
            print(f"seed {seed} {name:12} {figures}", flush=True)
    rows = {name: [mean_and_spread([r[k] for r in rs], ".4f") for k in SCORES] for name, rs in found.items()}
    for name, results in found.items():
        rows[name].append(f"{statistics.mean(result['iterations'] for result in results):.0f}")
    pairs = list(zip(found["evolution"], found["random"], strict=True))
    rows["difference"] = [mean_and_spread([a[key] - b[key] for a, b in pairs], "+.4f") for key in SCORES]
    for name, cells in {"": [*SCORES, "iterations"], **rows}.items():
        print(f"{name:12}" + "".join(f"{cell:>20}" for cell in cells))
