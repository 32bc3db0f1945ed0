"""What the full recipe brings on real data, beside the plain one: the same network, the same minutes on two cores.

python benchmarks/quality.py [platelet] [axon] [flyem] [--minutes 10] [--seeds 3] [--recipe NAME]

The data is looked for in $GENENET_TEST_DATA, or in ../shared/data beside the clone. The number of iterations that fit
into the minutes is measured first. On a busy machine give it instead: --iterations N, and --threads 1 to run two at a
time; the scores are the same up to rounding.
"""

import time

import torch
import yaml

from bench_data import DATA_SETS
from bench_tools import mean_and_spread, parser, rate
from genenet.core.resources import keep_freed_memory
from genenet.genes.genome import Genome
from genenet.metrics.contingency import Contingency, scores

VALIDATIONS = 10
NET = yaml.safe_load("""
{n_convkernels: 16, n_stacks: 3, n_convlayers: 2, input_size: 236, norm: 1,
 decay_steps: 500, decay_rate: 0.7, log_learning_rate: -2.7}
""")
PLAIN = {"precision": "float32", "loss": {"class_weight_exponent": 0.25}}
AUTO = {**PLAIN, "precision": "auto"}
DICE = {"loss": {"kind": "dice_cross_entropy", "class_weight_exponent": 0.25}}
GREY_VALUES = {"brightness": 0.2, "contrast": 0.2, "gamma": 0.3, "blur_voxels": 0.7, "noise": 0.15}
AUGMENTED = {"augmentation": {"elastic_voxels": 3, **GREY_VALUES}}
OPTIMISED = {
    "optimiser": {"kind": "adamw", "weight_decay": 0.01, "gradient_clip": 1.0, "ema_decay": 0.995},
    "schedule": {"kind": "cosine", "warm_up_iterations": 50},
}
RARE = {"sampling": {"rare_classes": 0.3}}
RECIPES = {
    "plain": PLAIN,
    "bfloat16": AUTO,
    "dice": DICE,
    "augmented": {**AUTO, **AUGMENTED},
    "optimised": {**AUTO, **OPTIMISED},
    "rare": {**AUTO, **RARE},
    "full": {**DICE, **AUGMENTED, **OPTIMISED},
    "default weights": {"precision": "auto"},
    "full, default weights": {**AUGMENTED, **OPTIMISED},
    "full and rare": {**DICE, **AUGMENTED, **OPTIMISED, **RARE},
}


def trainer(data, recipe, seed, iterations, threads=2):
    """Return the trainer of the network with a recipe."""
    settings = {"iterations": iterations, "validation_interval": max(1, iterations // VALIDATIONS)}
    return data.trainer(
        Genome("quality", {"net": NET}), seed, batch_size=2, threads=threads, **settings, **recipe
    )


def iterations_in(data, recipe, minutes):
    """Return how many iterations fit into the time, validations included."""
    trial = trainer(data, recipe, 0, 10_000)
    rate(trial.step, 1)  # warms up
    steps_per_second = rate(trial.step, 10)
    began = time.monotonic()
    trial.validate()
    validation = time.monotonic() - began
    return max(100, int((60 * minutes - VALIDATIONS * validation) * steps_per_second))


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


def measure(name, recipe, options):
    """Train with each seed; print a line for each training, and means with spreads."""
    data = DATA_SETS[name]()
    n = options.iterations or iterations_in(data, RECIPES[recipe], options.minutes)
    found = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        t = trainer(data, RECIPES[recipe], seed, n, options.threads)
        ari, iou = result(t)
        found.append((ari, iou))
        line = f"seed {seed}: ARI {ari:.4f} mean IoU {iou:.4f}, {t.seconds:.0f} s"
        print(f"{name:9} {recipe:13} {n:6} iterations, {line}", flush=True)
    ari, iou = (mean_and_spread(values) for values in zip(*found, strict=True))
    print(f"{name:9} {recipe:13} ARI {ari}, mean IoU {iou}", flush=True)


def main():
    """Measure each recipe on each data set."""
    arguments = parser(__doc__)
    arguments.add_argument("data", nargs="*", default=["platelet", "axon", "flyem"])
    arguments.add_argument("--minutes", type=float, default=10)
    arguments.add_argument("--iterations", type=int)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--first-seed", type=int, default=0)
    arguments.add_argument("--recipe", action="append", choices=RECIPES)
    options = arguments.parse_args()
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    for name in options.data:
        for recipe in options.recipe or ["plain", "full"]:
            measure(name, recipe, options)


if __name__ == "__main__":
    main()
