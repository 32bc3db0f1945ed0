"""Evolution beside random search in real runs: as many genomes, each with as many iterations, on a phantom.

Each search is a run of the workflow in a folder that is kept, so that an interrupted search continues.
"""

import statistics
from pathlib import Path

import yaml

from bench_tools import mean_and_spread
from genenet.core.atomic_files import read_json
from tests.support.search import Search

N = 24  # genomes of a search
BREEDING = {"population": 12, "tournament": 4}
SEARCHES = {
    "random": {"strategy": "random", "n_genomes": N},
    "evolution": {"strategy": "evolution", "n_genomes": [N // 3] * 3, "evolution": BREEDING},
}
CONFIG = (Path(__file__).parent / "evolve.yaml").read_text()
SCORES = ("best", "ensemble", "test")


def run(folder, name, seed):
    """Do a search, unless it is done; return its scores and its iterations."""
    folder.mkdir(parents=True, exist_ok=True)
    search = Search(folder.resolve())
    search.add("evolve.yaml", CONFIG)
    search.add("search.yaml", yaml.safe_dump({"search": {**SEARCHES[name], "seed": seed}}))
    search.snakemake("results/test_scores.json")
    outcomes = [read_json(path) for path in search.results.glob("runs/r*/*/scores.json")]
    ok = [outcome for outcome in outcomes if outcome["status"] == "ok"]
    return {
        "best": max(outcome["validation"]["ari"] for outcome in ok),
        "ensemble": read_json(search.results / "ensemble/ensemble.json")["validation"]["ari"],
        "test": read_json(search.results / "test_scores.json")["ari"],
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
