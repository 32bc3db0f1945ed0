"""How large a first search is, by the kind of machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genenet.init.machine import Kind


@dataclass(frozen=True)
class Scale:
    """How large a search is on one kind of machine.

    Attributes:
        net: regions that replace the preset's, whose sizes are those of a CPU.
        n_genomes: of a first search.
        operations: of the first search, its baselines included.
        per_step: operations that could be done in the fixed time of a step.
        most_iterations: of a training on small patches, which could do more of them with these operations.
        unet: of the baseline: kernels and log10 of the learning rate.
        refit_ratio: iterations of all members' training on all images, relative to those of all genomes; None: each
            member has as many as it had in the search.
    """

    net: Mapping[str, Any]
    n_genomes: int
    operations: float
    per_step: float
    most_iterations: int
    unet: tuple[int, float]
    refit_ratio: int | None

    def of_fold(self, n_folds: int) -> Scale:
        """Return the scale of a search that takes one of ``n_folds`` parts of the time."""
        most = max(1, self.most_iterations // n_folds)
        return replace(self, operations=self.operations / n_folds, most_iterations=most)


# The operations are those of the searches that genenet init wrote before, of valid convolutions and 1000 or 20 000
# iterations: a search takes as long as it took, and teaches more voxels. On a CPU core a step takes 27 ms, and a second
# for each 4.5e10 operations (measured with 6 to 16 kernels). A search for a third of the time and refits for the rest
# give better networks than a search for all of it (docs/benchmarks.md). GPUs weren't measured.
SCALES: Mapping[Kind, Scale] = {
    "cpu": Scale({}, 6, 2.3e13, 1.2e9, 1000, (8, -2.5), 2),
    "gpu": Scale(
        {
            "n_convkernels": [16, 64],
            "n_convlayers": [1, 3],
            "input_size": [224, 320],
            "log_learning_rate": [-3.5, -2.5],
        },
        20,
        4.5e16,
        0.0,
        20_000,
        (32, -3.5),
        None,
    ),
}
