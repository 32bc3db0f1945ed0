"""Which space and which training recipe segment *another* image best, at the same processor time.

python benchmarks/recipe.py                          print the table of the cells that are done
python benchmarks/recipe.py run [--data axon mito] [--recipe init same] [--seeds 3]

One cell is a data set, a recipe and a seed: a small search of three networks with 300 seconds of the processor for
their trainings, whose ensemble (the mean of the probabilities) is scored on the test image: another animal, another
volume, or a phantom of another contrast. Cells that are in benchmarks/data/recipe.json are not computed again, so an
interrupted run continues. The table gives the means over seeds, and for each recipe the mean paired difference to
the reference with its standard error.

The real data is looked for in $GENENET_TEST_DATA, or in ../shared/data beside the clone.
"""

import json
import math
import statistics
import time
from datetime import date

import numpy as np
import torch
import yaml

from bench_tools import ROOT, parser, processor_name
from genenet.config.search import Draws
from genenet.core.atomic_files import write_json
from genenet.core.resources import keep_freed_memory
from genenet.genes.generation import draw
from genenet.metrics.contingency import Contingency, scores
from transfer_data import TRANSFER_SETS

CELLS = ROOT / "benchmarks/data/recipe.json"
RECIPES = yaml.safe_load((ROOT / "benchmarks/recipes.yaml").read_text())
REFERENCE = "init"
SECONDS = 300
N_NETWORKS = 3
VALIDATIONS = 4  # of each training
SAMPLE_STEPS = 6  # by which the speed of a network is measured


def recipe_of(name):
    """Return a recipe's regions, keys of ``training`` and normalisation; it adds to the recipe it is based on."""
    own = RECIPES[name]
    based = recipe_of(own["based_on"]) if "based_on" in own else {"net": {}, "stack": {}, "training": {}}
    merged = {key: {**based[key], **own.get(key, {})} for key in ("net", "stack", "training")}
    normalisation = own.get("normalisation") or based.get("normalisation", "image")
    return {**merged, "normalisation": normalisation}


def genomes_of(recipe, smallest, seed):
    """Draw a search's genomes; patches aren't larger than the training images."""
    net = dict(recipe["net"])
    net["input_size"] = [min(size, smallest) for size in net["input_size"]]
    regions = {"net": net, "stack": recipe["stack"]} if recipe["stack"] else {"net": net}
    return [draw(Draws(regions=regions).feasible_regions(), seed, i) for i in range(N_NETWORKS)]


def iterations_in(make, seconds):
    """Return how many iterations fit into so many seconds of the processor, validations included."""
    trial = make(10_000)
    trial.step()  # warms up
    began = time.process_time()
    for _ in range(SAMPLE_STEPS):
        trial.step()
    step = (time.process_time() - began) / SAMPLE_STEPS
    began = time.process_time()
    trial.validate()
    validation = time.process_time() - began
    return max(VALIDATIONS, int((seconds - VALIDATIONS * validation) / step))


def trained(data, genome, recipe, seed, seconds):
    """Train a genome for so many seconds of the processor; return the trainer with its best weights, and facts."""

    def make(iterations):
        every = math.ceil(iterations / VALIDATIONS)
        settings = {"batch_size": 4, "threads": 1, "iterations": iterations, "validation_interval": every}
        return data.trainer(genome, seed, **{**settings, **recipe["training"]})

    n = iterations_in(make, seconds)
    trainer, began = make(n), time.process_time()
    for _ in trainer.run():
        pass
    used = time.process_time() - began
    trainer.use_best()
    return trainer, {"id": genome.id, "iterations": n, "seconds": round(used, 1)}


def probabilities(trainer, image):
    """Return (C, Z, Y, X) in 255 levels, as the program stores them."""
    return np.concatenate([p for _, p in trainer.predict(image)], axis=1)


def scored(images, predictions, n_classes):
    """Return ARI, mean IoU and IoU by class of the mean of several networks' probabilities of each image."""
    table = Contingency.empty(n_classes)
    for image, of_networks in zip(images, predictions, strict=True):
        mean = np.mean(of_networks, axis=0, dtype=np.float32)
        table.add(image.labels, mean.argmax(axis=0))
    found = scores(table)
    return {"ari": found["ari"], "mean_iou": found["mean_iou"], "iou": found["iou"]}


def cell(data_name, recipe_name, seed):
    """Compute one cell."""
    recipe = recipe_of(recipe_name)
    data = TRANSFER_SETS[data_name](recipe["normalisation"])
    smallest = min(min(image.image.shape[1:]) for image in data.train)
    members, outputs = [], {"validation": [], "test": []}
    for genome in genomes_of(recipe, smallest, seed):
        trainer, facts = trained(data, genome, recipe, seed, SECONDS / N_NETWORKS)
        for split, found in outputs.items():
            of_images = [probabilities(trainer, image) for image in getattr(data, split)]
            found.append(of_images)
            score = scored(getattr(data, split), [[p] for p in of_images], data.n_classes)
            facts[split] = {name: round(score[name], 4) for name in ("ari", "mean_iou")}
        members.append(facts)
        print(f"  {facts}", flush=True)
    ensemble = {
        split: scored(getattr(data, split), zip(*found, strict=True), data.n_classes)
        for split, found in outputs.items()
    }
    where = {"processor": processor_name(), "date": date.today().isoformat()}
    return {"data": data_name, "recipe": recipe_name, "seed": seed, **where, "members": members, **ensemble}


def read_cells():
    """Return the cells that are done, by data set, recipe and seed."""
    cells = json.loads(CELLS.read_text()) if CELLS.exists() else []
    return {(c["data"], c["recipe"], c["seed"]): c for c in cells}


def run(options):
    """Compute the cells that aren't done, seed by seed, and store each."""
    for seed in range(1, options.seeds + 1):
        for recipe in options.recipe:
            for data in options.data:
                if (data, recipe, seed) in read_cells():
                    continue
                print(f"{data} {recipe} seed {seed}", flush=True)
                found = cell(data, recipe, seed)
                write_json(CELLS, [*read_cells().values(), found])
                print(f"  ensemble: {found['test']}", flush=True)


def differences(cells, recipe, metric):
    """Return the differences to the reference on the test images, of the cells that both have."""
    return [
        c["test"][metric] - cells[data, REFERENCE, seed]["test"][metric]
        for (data, name, seed), c in cells.items()
        if name == recipe and (data, REFERENCE, seed) in cells
    ]


def with_error(values):
    """Write a mean with its standard error."""
    if len(values) < 2:
        return " ".join(f"{v:+.3f}" for v in values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):+.3f} ± {error:.3f}"


def print_table():
    """Print the mean test scores of each recipe on each data set, and the differences to the reference."""
    cells = read_cells()
    sets = [name for name in TRANSFER_SETS if any(data == name for data, _, _ in cells)]
    print("| recipe | " + " | ".join(sets) + f" | ARI, paired with {REFERENCE} | mean IoU | cells |")
    print("| --- |" + " --- |" * (len(sets) + 3))
    for recipe in [name for name in RECIPES if any(r == name for _, r, _ in cells)]:
        columns = []
        for name in sets:
            tests = [c["test"] for (data, r, _), c in cells.items() if (data, r) == (name, recipe)]
            means = [statistics.mean(t[metric] for t in tests) for metric in ("ari", "mean_iou") if tests]
            columns.append(" / ".join(f"{mean:.3f}" for mean in means))
        paired = [differences(cells, recipe, metric) for metric in ("ari", "mean_iou")]
        print("|", " | ".join([recipe, *columns, *map(with_error, paired), str(len(paired[0]))]), "|")


def main():
    """Compute cells if asked to, and print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("what", nargs="?", choices=["run", "table"], default="table")
    arguments.add_argument("--data", nargs="+", choices=TRANSFER_SETS, default=list(TRANSFER_SETS))
    arguments.add_argument("--recipe", nargs="+", choices=RECIPES, default=list(RECIPES))
    arguments.add_argument("--seeds", type=int, default=3)
    options = arguments.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    if options.what == "run":
        run(options)
    print_table()


if __name__ == "__main__":
    main()
