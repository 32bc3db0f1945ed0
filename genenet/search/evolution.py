"""Regularised evolution (Real et al. 2019): the choice of parents, and their children. The same on any machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from numpy.random import PCG64, Generator, SeedSequence

from genenet.config.selection_metrics import RANKING_METRIC
from genenet.core.errors import InputError
from genenet.core.random_streams import Stream
from genenet.genes.genome import Genome, read_genome
from genenet.genes.variation import cross, mutate

if TYPE_CHECKING:
    from genenet.config.search import Breeding
    from genenet.config.settings import BreedSettings
    from genenet.genes.feasible_regions import Regions
    from genenet.search.round_files import TrainingResult

TRIES = 100  # children that equal an earlier genome are redrawn up to this many times

Scored = Sequence[tuple[Genome, float]]  # with their validation score, the oldest first


def scored(
    rounds: Sequence[Sequence[TrainingResult]],
    genome_file: Callable[[str], str],
    metric: str = RANKING_METRIC,
) -> Scored:
    """Return the genomes that have a score by ``metric``, the oldest first, from what the rounds' files say."""
    return [
        (read_genome(genome_file(result.run)), score)
        for results in rounds
        for result in results
        if result.is_ok and result.run is not None and (score := result.score(metric)) is not None
    ]


def breed(settings: BreedSettings, candidates: Scored, round_: int, index: int) -> Genome:
    """Return child ``index`` of a round.

    The children before it are bred as well, so that no two are equal; later children don't change earlier ones.

    Raises:
        InputError: If no genome has a score, or all children equal earlier genomes.
    """
    if not candidates:
        raise InputError(
            f"round {round_}: no genome of an earlier round has a score, so there are no parents; see their logs"
        )
    known = {genome.id for genome, _ in candidates}
    regions = settings.feasible_regions()
    for number in range(index + 1):
        child = _new_child(settings, regions, candidates, (round_, number), known)
        known.add(child.id)
    return child


def _new_child(
    settings: BreedSettings, regions: Regions, candidates: Scored, key: tuple[int, int], known: set[str]
) -> Genome:
    for attempt in range(TRIES):
        child = child_of(settings, regions, candidates, (*key, attempt))
        if child.id not in known:
            return replace(child, round=key[0])
    raise InputError(
        f"round {key[0]}: {TRIES} children in a row equal earlier genomes; raise search.evolution.mutation.rates, "
        "or give search.regions more room"
    )


def child_of(settings: BreedSettings, regions: Regions, candidates: Scored, key: tuple[int, ...]) -> Genome:
    """Return the child of one or two parents that win tournaments; each key gives another one."""
    rng = Generator(PCG64(SeedSequence(settings.seed, spawn_key=(Stream.PARENTS, *key))))
    evolution, name = settings.evolution, f"r{key[0]}_{key[1]:03d}"
    first = parent(candidates, evolution, rng)
    second = parent(candidates, evolution, rng) if rng.random() < evolution.crossover else first
    if second.id == first.id:
        return mutate(first, regions, evolution.mutation, settings.seed, name, key)
    return cross(first, second, regions, settings.seed, name, key)


def parent(candidates: Scored, evolution: Breeding, rng: Generator) -> Genome:
    """Return the best of a few of the newest, drawn without replacement: tournament selection."""
    alive = candidates[-evolution.population :]
    drawn = rng.choice(len(alive), min(evolution.tournament, len(alive)), replace=False)
    return alive[max(sorted(map(int, drawn)), key=lambda i: alive[i][1])][0]
