"""Rounds and rungs: how many genomes a search trains, and for how long. The config fixes both: the DAG is static."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genenet.config.search import Search


@dataclass(frozen=True)
class Rung:
    """A step of successive halving: ``n_slots`` genomes are trained until they have ``iterations``."""

    iterations: int
    n_slots: int


@dataclass(frozen=True)
class Round:
    """Genomes that are made at the same time; without rungs, each is trained to the end at once.

    Attributes:
        number: from 0.
        n_genomes: how many.
        is_bred: whether they are made from the scores of earlier rounds; otherwise they are drawn.
        iterations: of a training to the end.
        inherits: whether trainings begin with the weights of a parent.
        rungs: the steps of halving.
    """

    number: int
    n_genomes: int
    is_bred: bool
    iterations: int
    inherits: bool = False
    rungs: tuple[Rung, ...] = ()

    @property
    def runs(self) -> list[str]:
        """The names of its trainings, such as ``r0/000``."""
        return [run_name(self.number, index) for index in range(self.n_genomes)]

    def before(self, iterations: int) -> Rung | None:
        """Return the rung before the one that ends after ``iterations``; None for the first."""
        shorter = [rung for rung in self.rungs if rung.iterations < iterations]
        return shorter[-1] if shorter else None


def run_name(round_: int, index: int) -> str:
    """Name a genome's training: ``r0/003``."""
    return f"r{round_}/{index:03d}"


def expanded(names: Iterable[str]) -> list[str]:
    """Return names of trainings; ``r0:3`` means ``r0/000``, ``r0/001`` and ``r0/002``.

    So a line with the names of ten thousand stays short enough for a shell.
    """
    found = []
    for name in names:
        many = re.fullmatch(r"r(\d+):(\d+)", name)
        found += [run_name(int(many[1]), i) for i in range(int(many[2]))] if many else [name]
    return found


def rounds(search: Search, iterations: int, validation_interval: int) -> list[Round]:
    """Return the rounds of a search.

    Args:
        search: strategy and numbers.
        iterations: of a whole training that begins with random weights.
        validation_interval: rungs end with a validation that a whole training has as well, so that a genome that
            reaches the last rung ends with the weights that it would have without halving.

    Raises:
        ValueError: If rungs fall together, or one is left without a genome.
    """
    found = []
    for number, n in enumerate(search.n_by_round):
        first = number if search.halves and not search.breeds else 0  # of a bracket
        is_bred = search.breeds and number > 0
        inherited = search.evolution.inherit_weights if is_bred and search.evolves else None
        whole = inherited.iterations_of_child(iterations, validation_interval) if inherited else iterations
        budgets = rung_iterations(search, whole, validation_interval)[first:] if search.halves else []
        rungs = tuple(
            Rung(budget, _slots(n, search.halving.eta, step)) for step, budget in enumerate(budgets)
        )
        found.append(Round(number, n, is_bred, whole, inherited is not None, rungs))
    return found


def planned_iterations(rounds: Iterable[Round]) -> int:
    """Return the iterations of all trainings of a search together."""
    total = 0
    for each in rounds:
        for rung in each.rungs or (Rung(each.iterations, each.n_genomes),):
            before = each.before(rung.iterations)
            total += rung.n_slots * (rung.iterations - (before.iterations if before else 0))
    return total


def rung_iterations(search: Search, iterations: int, validation_interval: int) -> list[int]:
    """Return after how many iterations each rung ends: multiples of the validation interval, but for the last."""
    eta, k = search.halving.eta, search.halving.rungs
    exact = [iterations / eta ** (k - 1 - j) for j in range(k)]
    found = [max(1, round(e / validation_interval)) * validation_interval for e in exact[:-1]] + [iterations]
    if any(a >= b for a, b in pairwise(found)):
        raise ValueError(
            f"search.halving: rungs would end after {', '.join(map(str, found))} iterations, where validations are; "
            "lower training.validation_interval or search.halving.rungs, or raise training.iterations"
        )
    return found


def _slots(n: int, eta: int, step: int) -> int:
    found: int = n // eta**step
    if not found:
        raise ValueError(
            f"search.halving: of {n} genomes none is left for rung {step + 1} with eta {eta}; "
            f"raise search.n_genomes to {eta**step} or more, or lower search.halving.rungs"
        )
    return found
