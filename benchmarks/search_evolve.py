"""Evolution beside random search in real runs, with and without inherited weights, at equal iterations on a phantom.

All searches have the same number of iterations: the sum over all of their trainings, the parents' included. A child
that inherits weights has a third of the iterations, so that search trains more networks: 8 + 48 instead of 24.

Each search is a run of the workflow in a folder that is kept, so that an interrupted search continues. Its scores are a
cell of benchmarks/data/evolve.json, which is committed; cells that are there aren't computed again.
"""

import statistics
from pathlib import Path

import yaml

from bench_tools import mean_and_spread, processor_name
from cells import Cells
from genenet.core.atomic_files import read_json
from tests.support.search import Search

N = 24  # trainings of full length that a search could do
BREEDING = {"population": 12, "tournament": 4}
SEARCHES = {
    "random": {"strategy": "random", "n_genomes": N},
    "evolution": {"strategy": "evolution", "n_genomes": [N // 3] * 3, "evolution": BREEDING},
    "inheritance": {
        "strategy": "evolution",
        "n_genomes": [N // 3, *[N // 2] * 4],
        "evolution": {**BREEDING, "inherit_weights": {"iterations": 1 / 3}},
    },
}
CONFIG = (Path(__file__).parent / "evolve.yaml").read_text()
SCORES = ("best", "ensemble", "test")
CELLS = Cells(Path(__file__).parent / "data" / "evolve.json", "search", "random")


def compute(work, name, seed):
    """Do a search, unless it is done; return its cell: scores and iterations."""
    folder = work / f"{name}_{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    search = Search(folder.resolve())
    search.add("evolve.yaml", CONFIG)
    search.add("search.yaml", yaml.safe_dump({"search": {**SEARCHES[name], "seed": seed}}))
    search.snakemake("results/test_scores.json")
    outcomes = [read_json(path) for path in search.results.glob("runs/r*/*/scores.json")]
    ok = [outcome for outcome in outcomes if outcome["status"] == "ok"]
    return {
        "data": "phantom",
        "search": name,
        "seed": seed,
        "best": max(outcome["validation"]["ari"] for outcome in ok),
        "ensemble": read_json(search.results / "ensemble/ensemble.json")["validation"]["ari"],
        "test": read_json(search.results / "test_scores.json")["ari"],
        "iterations": sum(outcome["iterations"] for outcome in ok),
        "networks": len(ok),
        "processor": processor_name().partition(",")[0],  # all compute in float32
    }


def evolve(work, n_seeds, only=""):
    """Do the searches whose names begin with ``only`` and whose cells are missing; print means of all cells."""
    names = [name for name in SEARCHES if name.startswith(only)]
    CELLS.run(lambda _, name, seed: compute(work, name, seed), ["phantom"], names, n_seeds)
    print_table()


def print_table():
    """Print mean scores with standard deviations, and the differences of the seeds that two searches share."""
    cells = {(name, seed): cell for (_, name, seed), cell in CELLS.read().items()}
    print("| | " + " | ".join((*SCORES, "iterations", "networks", "seeds")) + " |")
    print("|---" * (len(SCORES) + 4) + "|")
    for name in SEARCHES:
        found = [cell for (search, _), cell in cells.items() if search == name]
        if found:
            means = [mean_and_spread([cell[key] for cell in found]) for key in SCORES]
            sizes = [
                f"{statistics.mean(cell[key] for cell in found):.0f}" for key in ("iterations", "networks")
            ]
            print("|", " | ".join([name, *means, *sizes, str(len(found))]), "|")
    for name, reference in (("evolution", "random"), ("inheritance", "random"), ("inheritance", "evolution")):
        seeds = [s for n, s in cells if n == name and (reference, s) in cells]
        if seeds:
            pairs = [(cells[name, seed], cells[reference, seed]) for seed in seeds]
            means = [mean_and_spread([a[key] - b[key] for a, b in pairs], "+.3f") for key in SCORES]
            print("|", " | ".join([f"{name} minus {reference}", *means, "", "", str(len(seeds))]), "|")
