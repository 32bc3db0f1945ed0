"""The genomes of a later round of ``search.strategy: surrogate``: the best of many candidates under a model.

They depend on the seed and on the results of the earlier rounds alone, so they are the same on any machine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import SeedSequence

from genenet.core.errors import InputError
from genenet.core.logs import quiet
from genenet.core.random_streams import Stream
from genenet.genes import generation
from genenet.genes.genome import Genome, read_genome
from genenet.genes.prediction import PredictedScore
from genenet.search.evolution import child_of
from genenet.search.features import FeatureTable
from genenet.search.surrogate import propose

if TYPE_CHECKING:
    from genenet.config.search import Surrogate
    from genenet.config.settings import BreedSettings
    from genenet.search.evolution import Scored
    from genenet.search.round_files import TrainingResult

FAULT_OF_GENOME = ("diverged", "out_of_memory", "infeasible")
DIGITS = 6  # of a prediction in a genome's file

log = logging.getLogger(__name__)


def tried(
    rounds: Sequence[Sequence[TrainingResult]], genome_file: Callable[[str], str], metric: str
) -> list[tuple[Genome, float | None]]:
    """Return the genomes of the earlier rounds with what the model learns of each: a score, or None for nothing.

    A genome whose training failed by its own fault (it diverged, or its network is too large) gets the worst score that
    another one has, so that the search avoids its neighbours. A training that failed for another reason, such as a
    broken disk, says nothing about its genome.
    """
    results = [result for results in rounds for result in results if result.run is not None]
    scores = [score for result in results if result.is_ok and (score := result.score(metric)) is not None]
    worst = min(scores, default=None)
    return [
        (
            read_genome(genome_file(str(result.run))),
            result.score(metric) if result.is_ok else worst if result.status in FAULT_OF_GENOME else None,
        )
        for result in results
    ]


def proposed(
    settings: BreedSettings,
    surrogate: Surrogate,
    earlier: Sequence[tuple[Genome, float | None]],
    round_: int,
    index: int,
) -> Genome:
    """Return genome ``index`` of a round; the genomes before it don't depend on it.

    Args:
        settings: of all later rounds.
        surrogate: their part for the model.
        earlier: the genomes of the earlier rounds with their scores (``tried``).
        round_: its number.
        index: of the genome in the round.

    Raises:
        InputError: If too few candidates differ from one another and from earlier genomes.
    """
    scored = [(genome, score) for genome, score in earlier if score is not None]
    few = len(scored) < surrogate.least_scores
    with quiet(generation.__name__):  # of draws that are rejected
        pool = candidates(settings, surrogate, [] if few else scored, {g.id for g, _ in earlier}, round_)
    if index >= len(pool):
        raise InputError(
            f"round {round_}: only {len(pool)} of {surrogate.candidates} candidates differ from earlier genomes; give "
            "search.regions more room, or raise search.surrogate.candidates"
        )
    name = f"r{round_}_{index:03d}"
    if few:
        log.info(
            "round %d: drawn at random, since only %d genomes have a score; the model needs %d",
            round_, len(scored), surrogate.least_scores,
        )  # fmt: skip
        return replace(pool[index], name=name, round=round_)
    chosen, prediction = _choose(settings, scored, pool, round_, index)
    log.info("predicted: %.3f ± %.3f", prediction.mean, prediction.deviation)
    return replace(chosen, name=name, round=round_, prediction=prediction)


def candidates(
    settings: BreedSettings, surrogate: Surrogate, scored: Scored, known: set[str], round_: int
) -> list[Genome]:
    """Return different genomes that aren't known: random draws, and as many children of the best, if there are any."""
    regions, half = settings.feasible_regions(), surrogate.candidates // 2
    n_children = surrogate.candidates - half if scored else 0
    n_draws = surrogate.candidates - n_children
    drawn = [generation.draw(regions, settings.seed, index, round_) for index in range(n_draws)]
    best_last = sorted(scored, key=lambda each: each[1])
    children = [child_of(settings, regions, best_last, (round_, index, 0)) for index in range(n_children)]
    by_id = {genome.id: genome for genome in reversed([*drawn, *children])}
    return [genome for genome in reversed(by_id.values()) if genome.id not in known]


def _choose(
    settings: BreedSettings, scored: Scored, pool: Sequence[Genome], round_: int, index: int
) -> tuple[Genome, PredictedScore]:
    table = FeatureTable.of([*(genome for genome, _ in scored), *pool])
    known, rest = table.rows[: len(scored)], table.rows[len(scored) :]
    scores = np.array([score for _, score in scored])
    seeds = [_seed(settings.seed, round_, number) for number in range(index + 1)]
    found = propose(known, scores, rest, index + 1, seeds)[index]
    mean, deviation = round(found.mean, DIGITS), round(found.deviation, DIGITS)
    return pool[found.candidate], PredictedScore(metric=settings.metric, mean=mean, deviation=deviation)


def _seed(seed: int, round_: int, number: int) -> int:
    return int(SeedSequence(seed, spawn_key=(Stream.SURROGATE, round_, number)).generate_state(1)[0])
