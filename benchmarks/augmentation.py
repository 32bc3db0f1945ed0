"""How long augmentation takes: each option alone for a batch, and that of preset: modern in a training.

python benchmarks/augmentation.py

The training is that of three networks of the preset on a phantom. Their steps with the preset's augmentation
alternate with steps without any. All times are the processor's, on one core.
"""

import statistics
import time

import torch

from bench_data import phantom
from bench_tools import parser
from genenet.config.presets import preset_values
from genenet.config.training import Augmentation
from genenet.training.augmentation import Augmenter
from recipe import genomes_of

RUNS, WARM_UP = 40, 5
N_NETWORKS, STEPS = 3, 30
BATCHES = {
    "2 × 1 × 224²": ((2, 1, 1, 224, 224), (2, 1, 224, 224)),
    "2 × 16 × 96²": ((2, 1, 16, 96, 96), (2, 8, 56, 56)),
}
OPTIONS = {
    "elastic": {"elastic_voxels": 4.0},
    "rotation and scaling": {"rotation_degrees": 30.0, "scaling": 0.3},
    "shifted slices": {"shifted_slices": 0.1, "shifted_slices_voxels": 6},
    "curves": {"curves": 0.5},
    "convolutions": {"random_convolutions": 0.5},
    "blur": {"blur_voxels": 1.5},
    "contrast": {"contrast": 0.3},
    "brightness": {"brightness": 0.3},
    "gamma": {"gamma": 0.3},
    "noise": {"noise": 0.3},
    "missing slices": {"missing_slices": 0.05},
}


def milliseconds(augmenter, image_shape, label_shape):
    """Return the processor's median time of some runs, each with another seed."""
    images, labels = torch.randn(image_shape), torch.randint(7, label_shape, dtype=torch.uint8)
    weights = torch.ones(label_shape)
    return median_milliseconds(lambda seed: augmenter(images, labels, weights, seed), RUNS)[0]


def median_milliseconds(run, n, n_parts=1):
    """Return the processor's median times of the parts of n runs, which alternate: run i is of part i % n_parts."""
    times = []
    for i in range(n_parts * (n + WARM_UP)):
        began = time.process_time()
        run(i)
        times.append(1000 * (time.process_time() - began))
    return [statistics.median(times[part + n_parts * WARM_UP :: n_parts]) for part in range(n_parts)]


def in_a_training():
    """Print how long the steps of networks of the preset take without augmentation, and with the preset's."""
    preset = preset_values("modern")
    regions = preset["search"]["regions"]
    data = phantom()
    common = {**preset["training"], "batch_size": 2, "threads": 1, "iterations": 1000}
    for genome in genomes_of({"net": regions["net"], "stack": regions["stack"]}, 320, 1, N_NETWORKS):
        trainers = [
            data.trainer(genome, 1, **{**common, "augmentation": augmentation})
            for augmentation in ({}, preset["training"]["augmentation"])
        ]
        without, augmented = median_milliseconds(lambda i, of=trainers: of[i % 2].step(), STEPS, 2)
        print(
            f"a step of {genome.id}: {without:.0f} ms without, {augmented:.0f} ms ({augmented / without - 1:+.1%})"
        )


def main():
    """Print the table and the times in a training."""
    parser(__doc__).parse_args()
    torch.set_num_threads(1)
    everything = {key: value for option in OPTIONS.values() for key, value in option.items()}
    print(f"{'ms per batch':20}", *(f"{name:>14}" for name in BATCHES))
    for name, options in [*OPTIONS.items(), ("all", everything)]:
        augmenter = Augmenter(Augmentation(**options))
        times = (milliseconds(augmenter, *shapes) for shapes in BATCHES.values())
        print(f"{name:20}", *(f"{time_:14.2f}" for time_ in times))
    in_a_training()


if __name__ == "__main__":
    main()
