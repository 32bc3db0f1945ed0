"""How far chance decides the scores of a search: the same genomes, trained with several seeds, by two recipes.

python benchmarks/chance.py                          print the table of the trainings that are done
python benchmarks/chance.py run [--data axon] [--recipe batch_2 falling] [--genomes 6] [--seeds 2] [--seconds 60]

One cell is a data set, a recipe of benchmarks/recipes.yaml, a genome and a seed: one training of 60 seconds of the
processor. The recipes share their space, so both train the same genomes; all seeds of a genome make as many iterations
as the first. Cells that are in benchmarks/data/chance.json are not computed again, so an interrupted run continues.

The table says, for the scores on the validation and on the test images:

rank      Spearman's rank correlation of the genomes' scores with one seed and with another, the mean over the pairs of
          seeds: 1 if the ranking follows the genomes, 0 if it follows chance
seeds     standard deviation of a genome's score between seeds
genomes   standard deviation of the genomes' mean scores over the seeds
jump      mean absolute difference of the validation score between one validation and the next, of the last half

The real data is looked for in $GENENET_TEST_DATA, or in ../shared/data beside the clone.
"""

import itertools
import json
import math
import statistics

import torch
from scipy.stats import spearmanr

from bench_tools import ROOT, parser
from cells import METRICS
from genenet.core.atomic_files import write_json
from genenet.core.resources import keep_freed_memory
from recipe import RECIPES, genomes_of, iterations_in, maker, recipe_of, single_scores, trained, where
from transfer_data import TRANSFER_SETS

PATH = ROOT / "benchmarks/data/chance.json"
KEYS = ("data", "recipe", "genome", "seed")
DRAW_SEED = 1  # of the genomes; the seeds of the cells are those of the trainings
VALIDATIONS = 8  # of each training
SPLITS = ("validation", "test")


def main():
    """Run the cells that the command line asks for, and print the table."""
    options = arguments().parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    if options.what == "run":
        seeds = range(1, options.seeds + 1)
        for key in itertools.product(options.data, range(options.genomes), seeds, options.recipe):
            run(*key, options.seconds)
    print_table(list(read().values()))


def arguments():
    """Return the parser of the command line."""
    found = parser(__doc__)
    found.add_argument("what", nargs="?", choices=["run", "table"], default="table")
    found.add_argument("--data", nargs="+", choices=TRANSFER_SETS, default=["axon"])
    found.add_argument("--recipe", nargs="+", choices=RECIPES, default=["batch_2", "falling"])
    found.add_argument("--genomes", type=int, default=6)
    found.add_argument("--seeds", type=int, default=2)
    found.add_argument("--seconds", type=float, default=60, help="of the processor for each training")
    return found


def read():
    """Return the cells by data set, recipe, genome and seed."""
    cells = json.loads(PATH.read_text()) if PATH.exists() else []
    return {tuple(cell[key] for key in KEYS): cell for cell in cells}


def run(data_name, index, seed, recipe_name, seconds):
    """Compute a cell and store it, if that hasn't been done."""
    key = (data_name, recipe_name, index, seed)
    done = read()
    if key in done:
        return
    iterations = next((c["iterations"] for k, c in done.items() if k[:3] == key[:3]), None)
    found = {**dict(zip(KEYS, key, strict=True)), **where(), **training(*key, seconds, iterations)}
    write_json(PATH, [*read().values(), found])
    print(*key, *(f"{split} {found[split]}" for split in SPLITS), flush=True)


def training(data_name, recipe_name, index, seed, seconds, iterations):
    """Train a genome with a seed; return its scores. ``iterations`` of None are as many as fit into the seconds."""
    recipe = recipe_of(recipe_name)
    data = TRANSFER_SETS[data_name](recipe["normalisation"])
    smallest = min(min(image.image.shape[1:]) for image in data.train)
    genome = genomes_of(recipe, smallest, DRAW_SEED, index + 1)[index]
    make = maker(data, genome, recipe, seed, VALIDATIONS)
    trainer, used = trained(make, iterations or iterations_in(make, seconds, VALIDATIONS))
    rows = [{"ari": row.validation_ari, "mean_iou": row.validation_mean_iou} for row in trainer.history]
    return {
        "id": genome.id,
        "iterations": trainer.iteration,
        "seconds": round(used, 1),
        **{split: single_scores(trainer, data, split)[0] for split in SPLITS},
        "history": [{name: round(row[name], 4) for name in METRICS} for row in rows],
    }


def print_table(cells):
    """Print a row for each data set, recipe and score."""
    print("| data | recipe | score | rank: validation, test | seeds | genomes | jump | trainings |")
    print("|---|---|---|---|---|---|---|---|")
    groups = dict.fromkeys((cell["data"], cell["recipe"]) for cell in cells)
    for (data, recipe), metric in itertools.product(groups, METRICS):
        of_group = [cell for cell in cells if (cell["data"], cell["recipe"]) == (data, recipe)]
        tables = [scores_by_genome(of_group, split, metric) for split in SPLITS]
        columns = [
            ", ".join(f"{measure(table):.{digits}f}" for table in tables)
            for measure, digits in ((rank_correlation, 2), (between_seeds, 4), (between_genomes, 4))
        ]
        columns.append(f"{jump(of_group, metric):.4f}")
        print("|", " | ".join([data, recipe, metric, *columns, str(len(of_group))]), "|")


def scores_by_genome(cells, split, metric):
    """Return a row of scores, one for each seed, for each genome that was trained with all seeds."""
    seeds = sorted({cell["seed"] for cell in cells})
    found = {(cell["genome"], cell["seed"]): cell[split][metric] for cell in cells}
    rows = [[found.get((genome, seed)) for seed in seeds] for genome in sorted({g for g, _ in found})]
    return [row for row in rows if None not in row]


def rank_correlation(table):
    """Return Spearman's correlation of the genomes' scores, the mean over the pairs of seeds."""
    if len(table) < 3 or len(table[0]) < 2:
        return math.nan
    pairs = itertools.combinations(zip(*table, strict=True), 2)
    return statistics.mean(float(spearmanr(a, b).statistic) for a, b in pairs)


def between_seeds(table):
    """Return the standard deviation of one genome's scores: the root of the mean variance."""
    if not table or len(table[0]) < 2:
        return math.nan
    return math.sqrt(statistics.mean(statistics.variance(row) for row in table))


def between_genomes(table):
    """Return the standard deviation of the genomes' mean scores."""
    return statistics.stdev(map(statistics.mean, table)) if len(table) > 1 else math.nan


def jump(cells, metric):
    """Return the mean absolute difference between successive validations in the last half of the trainings."""
    last = [[row[metric] for row in cell["history"][VALIDATIONS // 2 :]] for cell in cells]
    return statistics.mean(abs(b - a) for scores in last for a, b in itertools.pairwise(scores))


if __name__ == "__main__":
    main()
