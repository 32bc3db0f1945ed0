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

import math
import time
from dataclasses import replace
from datetime import date

import numpy as np
import yaml

import cells
from bench_tools import ROOT, processor_name
from genenet.config.search import Draws
from genenet.genes.generation import draw
from genenet.metrics.contingency import Contingency, scores
from genenet.networks.symmetry import Turn
from transfer_data import TRANSFER_SETS

CELLS = cells.Cells(ROOT / "benchmarks/data/recipe.json", "recipe", "init")
RECIPES = yaml.safe_load((ROOT / "benchmarks/recipes.yaml").read_text())
SECONDS = 300
N_NETWORKS = 3
VALIDATIONS = 4  # of each training
SAMPLE_STEPS = 6  # by which the speed of a network is measured
TURNS = [Turn(quarters, flip) for quarters in range(4) for flip in (False, True)]


def recipe_of(name):
    """Return a recipe's regions, keys of ``training`` and normalisation; it adds to the recipe it is based on."""
    own = RECIPES[name]
    based = recipe_of(own["based_on"]) if "based_on" in own else {"net": {}, "stack": {}, "training": {}}
    merged = {key: {**based[key], **own.get(key, {})} for key in ("net", "stack", "training")}
    normalisation = own.get("normalisation") or based.get("normalisation", "image")
    return {**merged, "normalisation": normalisation}


def genomes_of(recipe, smallest, seed, n):
    """Draw a search's genomes; patches aren't larger than the training images."""
    net = dict(recipe["net"])
    net["input_size"] = [min(size, smallest) for size in net["input_size"]]
    regions = {"net": net, "stack": recipe["stack"]} if recipe["stack"] else {"net": net}
    return [draw(Draws(regions=regions).feasible_regions(), seed, i) for i in range(n)]


def maker(data, genome, recipe, seed, validations=VALIDATIONS):
    """Return a function that makes the trainer of a genome for a number of iterations."""

    def make(iterations):
        every = math.ceil(iterations / validations)
        settings = {"batch_size": 4, "threads": 1, "iterations": iterations, "validation_interval": every}
        return data.trainer(genome, seed, **{**settings, **recipe["training"]})

    return make


def iterations_in(make, seconds, validations=VALIDATIONS):
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
    return max(validations, int((seconds - validations * validation) / step))


def trained(make, iterations):
    """Train for so many iterations; return the trainer with its best weights, and the processor's seconds."""
    trainer, began = make(iterations), time.process_time()
    for _ in trainer.run():
        pass
    used = time.process_time() - began
    trainer.use_best()
    return trainer, used


def probabilities(trainer, image):
    """Return (C, Z, Y, X) in 255 levels, as the program stores them."""
    return np.concatenate([p for _, p in trainer.predict(image)], axis=1)


def turned_probabilities(trainer, image):
    """Return the mean of ``probabilities`` over all flips and turns, as ``segmentation.turns`` computes it."""
    of_turns = (
        turn.back(probabilities(trainer, replace(image, image=turn(image.image), labels=turn(image.labels))))
        for turn in TURNS
    )
    return sum(p.astype(np.float32) for p in of_turns) / len(TURNS)


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
    genomes = [(genome, seed) for genome in genomes_of(recipe, smallest, seed, N_NETWORKS)]
    members, outputs = outputs_of(data, genomes, recipe, SECONDS / N_NETWORKS)
    ensemble = {split: ensemble_scores(data, split, found) for split, found in outputs.items()}
    return {"data": data_name, "recipe": recipe_name, "seed": seed, **where(), "members": members, **ensemble}


def where():
    """Return on which processor a cell is computed, and when."""
    return {"processor": processor_name(), "date": date.today().isoformat()}


def ensemble_scores(data, split, outputs):
    """Return the scores of the mean of networks' outputs for the images of a split."""
    return scored(getattr(data, split), zip(*outputs, strict=True), data.n_classes)


def outputs_of(data, genomes, recipe, seconds, turns=False):
    """Train genomes, given with seeds; return facts of each, and its probabilities of each image by split.

    With ``turns``, the split "turned" has those of the test images, averaged over flips and turns.
    """
    members, outputs, turned = [], {"validation": [], "test": []}, []
    for genome, seed in genomes:
        make = maker(data, genome, recipe, seed)
        n = iterations_in(make, seconds)
        trainer, used = trained(make, n)
        facts = {"id": genome.id, "iterations": n, "seconds": round(used, 1)}
        for split, found in outputs.items():
            if not getattr(data, split):
                continue  # no image is left to validate with
            facts[split], of_images = single_scores(trainer, data, split)
            found.append(of_images)
        if turns:
            turned.append([turned_probabilities(trainer, image) for image in data.test])
        members.append(facts)
        print(f"  {facts}", flush=True)
    return members, {**outputs, "turned": turned} if turns else outputs


def single_scores(trainer, data, split):
    """Return ARI and mean IoU of one network for the images of a split, and its probabilities of each image."""
    images = getattr(data, split)
    outputs = [probabilities(trainer, image) for image in images]
    score = scored(images, [[p] for p in outputs], data.n_classes)
    return {name: round(score[name], 4) for name in cells.METRICS}, outputs


if __name__ == "__main__":
    cells.main(__doc__, CELLS, cell, TRANSFER_SETS, RECIPES)
