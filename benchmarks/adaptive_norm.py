"""Batch normalisation with the statistics of the image to be segmented (Li et al. 2016), beside those of the training.

python benchmarks/adaptive_norm.py [axon mito phantom …]

Two networks of preset: modern are trained for 100 s of the processor each. Then the validation and the test images are
segmented with the statistics of the training (share 0), with those of 16 patches of the image itself (share 1), and
with the means of both (share 0.5). The real data is looked for in $GENENET_TEST_DATA, or in ../shared/data beside the
clone.
"""

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from bench_tools import parser, processor_name
from genenet.core.resources import keep_freed_memory
from peers import recipe
from recipe import genomes_of, iterations_in, maker, probabilities, scored, trained
from transfer_data import TRANSFER_SETS

SECONDS, N_NETWORKS, N_PATCHES = 100, 2, 16
SHARES = (0.0, 0.5, 1.0)


def patches(image, size, rng):
    """Yield random patches (1, 1, 1, Y, X) of an image, normalised."""
    voxels = image.normalisation.apply(image.image, 0)
    for _ in range(N_PATCHES):
        z = rng.integers(len(voxels))
        y, x = (rng.integers(max(1, n - s + 1)) for n, s in zip(voxels.shape[1:], size[1:], strict=True))
        patch = voxels[z : z + 1, y : y + size[1], x : x + size[2]]
        yield torch.from_numpy(np.ascontiguousarray(patch, np.float32))[None, None]


def adapted(trainer, image, share):
    """Return an image's probabilities, with batch statistics that are by ``share`` those of the image."""
    norms = [module for module in trainer.network.modules() if isinstance(module, _BatchNorm)]
    stored = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all patches
    trainer.network.train()
    with torch.no_grad():
        for patch in patches(image, trainer.network.plan.input_shape, np.random.default_rng(0)):
            trainer.network(patch)
    for norm, (mean, variance) in zip(norms, stored, strict=True):
        norm.running_mean.mul_(share).add_(mean, alpha=1 - share)
        norm.running_var.mul_(share).add_(variance, alpha=1 - share)
    found = probabilities(trainer, image)
    for norm, (mean, variance) in zip(norms, stored, strict=True):
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
    return found


def line(name, seed=1):
    """Print a data set's scores, ARI / mean IoU, by network, split and share."""
    data = TRANSFER_SETS[name]("image")
    smallest = min(min(image.image.shape[1:]) for image in data.train)
    for genome in genomes_of(recipe(), smallest, seed, N_NETWORKS):
        make = maker(data, genome, recipe(), seed)
        trainer, _ = trained(make, iterations_in(make, SECONDS))
        for split in ("validation", "test"):
            images = getattr(data, split)
            for share in SHARES:
                outputs = [[adapted(trainer, image, share)] for image in images]
                found = scored(images, outputs, data.n_classes)
                row = name, genome.id, split, share, f"{found['ari']:.3f} / {found['mean_iou']:.3f}"
                print(" | ".join(map(str, row)), flush=True)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("data", nargs="*", help=", ".join(TRANSFER_SETS))
    options = arguments.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    print(processor_name())
    for chosen in options.data or TRANSFER_SETS:
        line(chosen)
