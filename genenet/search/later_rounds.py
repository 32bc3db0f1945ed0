"""The genomes of rounds that depend on the scores of earlier ones, whatever the strategy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genenet.search.evolution import breed, scored
from genenet.search.halving import read_round

if TYPE_CHECKING:
    from genenet.config.settings import BreedSettings
    from genenet.core.paths import ResultPaths
    from genenet.genes.genome import Genome


def later_genome(settings: BreedSettings, paths: ResultPaths, round_: int, index: int) -> Genome:
    """Make genome ``index`` of a round from what the rounds before it have left in the results folder."""
    earlier = [read_round(Path(paths.round(number))) for number in range(round_)]
    if settings.surrogate is None:
        return breed(settings, scored(earlier, paths.genome, settings.metric), round_, index)
    from genenet.search.proposals import proposed, tried  # imports scikit-learn

    known = tried(earlier, paths.genome, settings.metric)
    return proposed(settings, settings.surrogate, known, round_, index)
