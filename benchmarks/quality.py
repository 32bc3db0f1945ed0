"""What the full recipe brings on real data, beside the plain one: the same network, the same minutes on two cores.

python benchmarks/quality.py [platelet|axon|flyem] [--minutes 10] [--seeds 3] [--recipe NAME]

The data is looked for in $GENENET_TEST_DATA, or in ../shared/data beside the project. How many iterations the
minutes are is measured first. On a machine that does something else meanwhile, say it: --iterations N, and
--threads 1 to run two at a time; the scores are the same but for rounding.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

import numpy as np
import tifffile
import torch

from genenet.config.training import Training
from genenet.core.resources import keep_freed_memory
from genenet.genes.genome import Genome
from genenet.genes.plan import plan
from genenet.metrics.contingency import Contingency, scores
from genenet.training.prepared_images import LabelledArray
from genenet.training.trainer import Trainer
from genenet.volumes.normalisation import Normalisation

DATA = Path(os.environ.get("GENENET_TEST_DATA", Path(__file__).parents[2] / "shared/data"))
VALIDATIONS = 10
NET = {
    "n_convkernels": 16,
    "n_stacks": 3,
    "n_convlayers": 2,
    "input_size": 236,
    "norm": 1,
    "decay_steps": 500,
    "decay_rate": 0.7,
    "log_learning_rate": -2.7,
}
PLAIN = {
    "precision": "float32",
    "loss": {"class_weight_exponent": 0.25},
}
DICE = {"loss": {"kind": "dice_cross_entropy", "class_weight_exponent": 0.25}}
AUGMENTED = {
    "augmentation": {
        "elastic_voxels": 3,
        "brightness": 0.2,
        "contrast": 0.2,
        "gamma": 0.3,
        "blur_voxels": 0.7,
        "noise": 0.15,
    }
}
OPTIMISED = {
    "optimiser": {"kind": "adamw", "weight_decay": 0.01, "gradient_clip": 1.0, "ema_decay": 0.995},
    "schedule": {"kind": "cosine", "warm_up_iterations": 50},
}
RARE = {"sampling": {"rare_classes": 0.3}}
RECIPES = {
    "plain": PLAIN,
    "bfloat16": {**PLAIN, "precision": "auto"},
    "dice": {**DICE},
    "augmented": {**PLAIN, "precision": "auto", **AUGMENTED},
    "optimised": {**PLAIN, "precision": "auto", **OPTIMISED},
    "rare": {**PLAIN, "precision": "auto", **RARE},
    "full": {**DICE, **AUGMENTED, **OPTIMISED},
    "default weights": {"precision": "auto"},
    "full, default weights": {**AUGMENTED, **OPTIMISED},
    "full and rare": {**DICE, **AUGMENTED, **OPTIMISED, **RARE},
}


def labelled(folder, image, labels, region=np.s_[:]):
    """Return a labelled image, normalised by its own mean and deviation."""
    image, labels = (tifffile.imread(DATA / folder / name) for name in (image, labels))
    image, labels = (
        np.ascontiguousarray(np.atleast_3d(a.T).T if a.ndim == 2 else a)[region] for a in (image, labels)
    )
    norm = Normalisation.of_volume(float(image.mean()), float(image.std()))
    return LabelledArray(
        folder, np.ascontiguousarray(image), np.ascontiguousarray(labels.astype(np.uint8)), norm
    )


def platelet():
    """Return training and validation images, and the number of classes."""
    names = "platelet", "50_z0_raw.tif", "50_z0_semantic7.tif"
    train, validation = (labelled(*names, np.s_[:, :, part]) for part in (slice(240, 800), slice(0, 240)))
    together = LabelledArray("b", validation.image, validation.labels, train.normalisation)
    return [train], [together], 7


def axon():
    """The rats' spinal cords."""
    stems = {
        "train": ["rat1_sample-data1", "rat3_sample-data9", "rat3_sample-data10", "rat3_sample-data11"],
        "validation": ["rat4_sample-data12"],
    }
    images = {
        split: [labelled("axon_sem", f"sub-{n}_SEM_raw.tif", f"sub-{n}_SEM_semantic3.tif") for n in names]
        for split, names in stems.items()
    }
    return images["train"], images["validation"], 3


def flyem():
    """Membranes of the fly's brain."""
    train, test = (
        labelled("flyem", f"flyem_crop_{split}_raw.tif", f"flyem_crop_{split}_boundary.tif")
        for split in ("train", "test")
    )
    return [train], [test], 2


def trainer(data, recipe, seed, iterations, threads=2):
    """Return a trainer."""
    train, validation, n_classes = data
    genome = Genome("quality", {"net": NET})
    counts = np.sum([np.bincount(i.labels.ravel(), minlength=256)[:n_classes] for i in train], axis=0)
    values = {"iterations": iterations, "batch_size": 2, "threads": threads, "device": "cpu"}
    interval = max(1, iterations // VALIDATIONS)
    settings = Training(**{**values, "validation_interval": interval, **recipe})
    network_plan = plan(genome.net, n_classes)
    return Trainer(genome, network_plan, train, validation, counts, settings, seed, torch.device("cpu"))


def iterations_in(data, recipe, minutes):
    """Return how many iterations fit into the time, validations included."""
    trial = trainer(data, recipe, 0, 10_000)
    for _ in range(5):
        trial.step()
    began = time.monotonic()
    for _ in range(20):
        trial.step()
    step = (time.monotonic() - began) / 20
    began = time.monotonic()
    trial.validate()
    validation = time.monotonic() - began
    return max(100, int((60 * minutes - VALIDATIONS * validation) / step))


def result(t):
    """Train; return ARI and mean IoU of the chosen weights."""
    for _ in t.run():
        pass
    t.use_best()
    table = Contingency.empty(t.network.plan.n_classes)
    for image in t.validation:
        for z, probabilities in t.predict(image):
            table.add(image.labels[z : z + 1], probabilities.argmax(axis=0))
    found = scores(table)
    return found["ari"], found["mean_iou"]


def main():
    """Print a line for each training, and means with spreads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", nargs="*", default=["platelet", "axon", "flyem"])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--recipe", action="append", choices=RECIPES)
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    for name in options.data:
        data = {"platelet": platelet, "axon": axon, "flyem": flyem}[name]()
        for recipe in options.recipe or ["plain", "full"]:
            n = options.iterations or iterations_in(data, RECIPES[recipe], options.minutes)
            found = []
            for seed in range(options.first_seed, options.first_seed + options.seeds):
                t = trainer(data, RECIPES[recipe], seed, n, options.threads)
                found.append(result(t))
                ari, iou = found[-1]
                line = f"seed {seed}: ARI {ari:.4f} mean IoU {iou:.4f}, {t.seconds:.0f} s"
                print(f"{name:9} {recipe:13} {n:6} iterations, {line}", flush=True)
            if len(found) > 1:
                ari, iou = (
                    [f"{f(v):.3f}" for f in (statistics.mean, statistics.stdev)]
                    for v in zip(*found, strict=True)
                )
                print(f"{name:9} {recipe:13} ARI {' ± '.join(ari)}, mean IoU {' ± '.join(iou)}", flush=True)


if __name__ == "__main__":
    main()
