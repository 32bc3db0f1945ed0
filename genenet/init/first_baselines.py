"""The baselines of a first search: the U-Net of 2015, and nnU-Net's residual encoder where there is time for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genenet.init.costs import baseline_cost

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

UNET, RESENC = "unet2015", "resenc"
KERNELS = (32, 24, 16, 8)  # of resenc: nnU-Net's, and what smaller machines have time for
MOST_OPERATIONS = (
    1.6  # of a step, times those of an average genome: no job of the search is much longer than the others
)
LARGEST_PATCH = 512
SMALLEST_PATCH = 64  # of resenc
SMALLEST_BOTTOM = 16  # voxels of a patch along y and x at the lowest scale
MOST_POOLINGS = 5


@dataclass(frozen=True)
class WhyNot:
    """Why a search has no resenc, and the options that it would have."""

    reason: str
    options: Mapping[str, Any]


def unet_options(smallest: int, n_convkernels: int, log_learning_rate: float) -> dict[str, Any]:
    """Return options of the U-Net for images of at least ``smallest`` voxels along y and x."""
    return {
        "n_convkernels": n_convkernels,
        "input_size": 252 if smallest >= 128 else 220,
        "log_learning_rate": log_learning_rate,
    }


def resenc_options(
    smallest: int, genome_flops: float, batch_size: int, n_classes: int, log_learning_rate: float
) -> dict[str, Any] | None:
    """Return options of resenc: as many kernels as train about as fast as a genome; None if it doesn't fit.

    Args:
        smallest: the smallest size along y and x of the training images.
        genome_flops: operations of a training step of an average genome.
        batch_size: patches of a step.
        n_classes: of the labels.
        log_learning_rate: log10 of the learning rate.
    """
    if smallest < SMALLEST_PATCH:
        return None
    for n_convkernels in KERNELS:
        for size in sorted({min(LARGEST_PATCH, smallest), min(LARGEST_PATCH // 2, smallest)}, reverse=True):
            poolings = min(MOST_POOLINGS, (size // SMALLEST_BOTTOM).bit_length() - 1)
            options = {
                "n_convkernels": n_convkernels,
                "n_stacks": poolings,
                "input_size": size >> poolings << poolings,
                "log_learning_rate": log_learning_rate,
            }
            cost = baseline_cost(RESENC, options, batch_size, n_classes)
            if cost.flops <= MOST_OPERATIONS * genome_flops:
                return options
    return None
