"""The intervals of an ensemble's lead, from the stored probabilities of the validation images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from numpy.random import PCG64, Generator, SeedSequence

from genenet.core.random_streams import Stream
from genenet.ensembles.calibration import stored_means
from genenet.ensembles.claims import by_title
from genenet.ensembles.description import LeadInterval
from genenet.metrics.intervals import BlockTables, block_shape, interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from genenet.core.geometry import Triple
    from genenet.core.paths import ResultPaths
    from genenet.training.outcomes import Outcome
    from genenet.training.prepared import Prepared


@dataclass(frozen=True)
class ValidationBlocks:
    """The validation images of a search, cut into blocks."""

    paths: ResultPaths
    prepared: Prepared

    @property
    def block(self) -> Triple:
        """The shape of the blocks."""
        return block_shape([image.volume.shape for image in self.prepared.images])

    def tables(
        self, members: Sequence[tuple[Outcome, float]], combination: str = "mean"
    ) -> NDArray[np.int64]:
        """Return the contingency tables (B, C, C) of the blocks, of trainings with their weights."""
        images = enumerate(self.prepared.images)
        places = [(index, z) for index, image in images for z in range(image.labels.shape[0])]
        found = BlockTables(len(self.prepared.classes), self.block)
        predicted = stored_means(self.paths, members, self.prepared, combination)
        for (index, z), (truth, p) in zip(places, predicted, strict=True):
            found.add(index, z, truth, p.argmax(axis=0))
        return found.stacked()


def lead_intervals(
    validation: ValidationBlocks,
    members: Sequence[tuple[Outcome, float]],
    runs: Sequence[Outcome],
    combination: str,
    metric: str,
) -> list[LeadInterval]:
    """Return the intervals of an ensemble's lead over the best network, and over each baseline.

    Args:
        validation: the images.
        members: of the ensemble, with their weights.
        runs: all trainings, best first.
        combination: of the members, a name of COMBINATIONS.
        metric: of SELECTION_METRICS.
    """
    rng = Generator(PCG64(SeedSequence(0, spawn_key=(Stream.INTERVALS,))))
    ours, found = validation.tables(members, combination), []
    for title, seeds in _others(runs):
        theirs = [validation.tables([(seed, 1.0)]) for seed in seeds]
        if between := interval(ours, theirs, metric, rng):
            found.append(LeadInterval(against=title, low=between.low, high=between.high, n_blocks=len(ours)))
    return found


def _others(runs: Sequence[Outcome]) -> Iterator[tuple[str, list[Outcome]]]:
    """Yield the best network with its name, and the seeds of each baseline with its title."""
    single = next((run for run in runs if run.is_ok and not run.is_baseline), None)
    if single:
        yield single.run, [single]
    for seeds in by_title(runs):
        yield seeds[0].title, seeds
