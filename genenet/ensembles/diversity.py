"""How much the members of an ensemble disagree, pair by pair, on the validation images."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from genenet.ensembles.curve import open_run
from genenet.ensembles.selection import ProbabilityProducts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.core.paths import ResultPaths
    from genenet.training.prepared import Prepared

DIGITS = 6


def pair_ambiguities(paths: ResultPaths, runs: Sequence[str], validation: Prepared) -> list[list[float]]:
    """Return the ambiguity of each pair of trainings as an ensemble of two, from their stored probabilities.

    Args:
        paths: of the search.
        runs: of the members.
        validation: the prepared validation images.

    Raises:
        InputError: If probabilities are of other images than the prepared ones.
    """
    with ExitStack() as stack:
        files = [open_run(paths.run(run), validation, stack) for run in runs]
        products = ProbabilityProducts.of([image.labels for image in validation.images], files)
    return [[round(float(value), DIGITS) for value in row] for row in products.pair_ambiguities()]
