"""Finds the parent whose weights a child begins with: a training of an earlier round, by the id of its genome."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genenet.core.errors import InputError
from genenet.core.paths import fold_run
from genenet.genes.genome import read_genome
from genenet.genes.inheritance import n_inherited
from genenet.genes.plan import plan
from genenet.search.halving import read_round
from genenet.training.parent import Parent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from genenet.core.paths import ResultPaths
    from genenet.genes.genome import Genome
    from genenet.genes.plan import Plan


def parent_of(paths: ResultPaths, fold: int | None, child: Genome, network_plan: Plan) -> Parent:
    """Return the parent whose weights fill more of a child's; if two fill equally many, the first of its parents.

    Args:
        paths: of the search.
        fold: in which the child is trained, and its parent was; None without folds.
        child: a genome that evolution has bred.
        network_plan: of the child's network.

    Raises:
        InputError: If the genome has no parent with weights in an earlier round.
    """
    parents = list(_parents(paths, fold, child))
    if not parents:
        raise InputError(
            f"{child.name}: no earlier round has weights of its parents ({', '.join(child.parents) or 'none'}), with "
            "which it should begin (search.evolution.inherit_weights)"
        )
    if len(parents) == 1:
        return parents[0]
    n_classes = network_plan.n_classes
    return max(parents, key=lambda each: n_inherited(network_plan, plan(each.genome.net, n_classes)))


def _parents(paths: ResultPaths, fold: int | None, child: Genome) -> Iterator[Parent]:
    """Yield the parents of a child that have weights; of several trainings of a genome, the first."""
    rounds = [Path(paths.round(number)) for number in range(child.round or 0)]
    trained = [(gathered, result) for gathered in rounds for result in read_round(gathered) if result.is_ok]
    for parent in child.parents:
        for gathered, result in trained:
            if result.genome == parent and result.run:
                yield _parent(paths, fold, gathered, result.run, result.weights)
                break


def _parent(
    paths: ResultPaths, fold: int | None, gathered: Path, whole: str, checksums: Sequence[str]
) -> Parent:
    if len(checksums) <= (fold or 0):
        raise InputError(
            f"{gathered}: has no checksums of the weights of {whole}; remove it and start the workflow again"
        )
    run = whole if fold is None else fold_run(whole, fold)
    return Parent(run, read_genome(paths.genome(run)), paths.run(run).weights, checksums[fold or 0], gathered)
