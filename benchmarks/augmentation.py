"""How long augmentation takes for a batch, each option alone and all together, on two cores.

python benchmarks/augmentation.py

For comparison: a training step of a U-Net of 16 kernels with 4 patches of 128 × 128 takes about 50 ms there.
"""

import statistics

import torch

from bench_tools import parser, timed
from genenet.config.training import Augmentation
from genenet.training.augmentation import Augmenter

THREADS = 2
RUNS, WARM_UP = 100, 5
BATCHES = {
    "4 × 1 × 128²": ((4, 1, 1, 128, 128), (4, 1, 88, 88)),
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
    """Return the median time of some runs, each with another seed."""
    images, labels = torch.randn(image_shape), torch.randint(7, label_shape, dtype=torch.uint8)
    weights = torch.ones(label_shape)
    times = [timed(augmenter, images, labels, weights, seed) for seed in range(RUNS + WARM_UP)]
    return 1000 * statistics.median(times[WARM_UP:])


def main():
    """Print the table."""
    parser(__doc__).parse_args()
    torch.set_num_threads(THREADS)
    everything = {key: value for option in OPTIONS.values() for key, value in option.items()}
    print(f"{'ms per batch':20}", *(f"{name:>14}" for name in BATCHES))
    for name, options in [*OPTIONS.items(), ("all", everything)]:
        augmenter = Augmenter(Augmentation(**options))
        times = (milliseconds(augmenter, *shapes) for shapes in BATCHES.values())
        print(f"{name:20}", *(f"{time_:14.2f}" for time_ in times))


if __name__ == "__main__":
    main()
