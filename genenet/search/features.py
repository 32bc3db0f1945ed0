"""What a surrogate model knows of a genome: sizes of its network, and its values of all hyperparameters, as numbers.

The features are named after the table of hyperparameters, so that a new hyperparameter becomes a feature by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from genenet.genes.hyperparameters import HYPERPARAMETERS
from genenet.genes.plan import plan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from genenet.genes.gene_graph import Gene
    from genenet.genes.genome import Genome
    from genenet.genes.hyperparameters import Hyperparameter
    from genenet.genes.plan import Plan

SAME = 1e-9  # by less than this, columns don't differ


@dataclass(frozen=True, order=True)
class Feature:
    """One number of a genome.

    Attributes:
        of: the hyperparameter, or the size of the network, such as ``parameters``.
        choice: whose share of the genes this is; empty for numbers.
        stack: of whose genes this is the mean, such as ``encode/stack0``; empty for those of the whole network.
    """

    of: str
    choice: str = ""
    stack: str = ""

    @property
    def whole(self) -> Feature:
        """The same of the whole network."""
        return Feature(self.of, self.choice)


def features(genome: Genome) -> dict[Feature, float]:
    """Return the features of a genome; a stack that its network doesn't have has none."""
    return {**_sizes(plan(genome.net, n_classes=2)), **dict(_values(genome))}


def _sizes(planned: Plan) -> dict[Feature, float]:
    """Return what several hyperparameters decide together; logarithms have the base 10."""
    depth, _, width = planned.receptive_field
    found = {
        "parameters": math.log10(planned.n_parameters),
        "operations per voxel": math.log10(planned.flops_per_voxel),
        "voxels of a patch": math.log10(math.prod(planned.output_shape)),
        "receptive field": width,
        "receptive field along z": depth,
        "convolution layers": planned.n_convlayers,
    }
    return {Feature(name): float(value) for name, value in found.items()}


def _values(genome: Genome) -> Iterator[tuple[Feature, float]]:
    """Yield each hyperparameter's mean over the genes that read it: those of the network, and those of each stack."""
    groups: dict[tuple[str, str], list[Mapping[str, float]]] = {}
    for gene in genome.net.walk():
        groups.setdefault((gene.level, ""), []).append(gene.values())
        if stack := _stack(gene):
            groups.setdefault((gene.level, stack), []).append(gene.values())
    for (level, stack), values in groups.items():
        for h in HYPERPARAMETERS.values():
            if h.level == level:
                yield from _means(h, stack, [each[h.name] for each in values])


def _stack(gene: Gene) -> str:
    """Return the stack that a gene is, or belongs to: ``encode/stack0``; empty above the stacks."""
    return "/".join(gene.path.split("/")[1:3]) if gene.path.count("/") >= 2 else ""


def _means(h: Hyperparameter, stack: str, values: Sequence[float]) -> Iterator[tuple[Feature, float]]:
    """Yield the mean of numbers; of choices, which have no order, the share of each (one-hot)."""
    if not h.choices:
        yield Feature(h.name, stack=stack), fmean(values)
        return
    for index in range(len(h.choices)):
        yield Feature(h.name, h.word(index), stack), values.count(index) / len(values)


@dataclass(frozen=True)
class FeatureTable:
    """The features of several genomes.

    Attributes:
        columns: the features in which the genomes differ; one of them all if they don't differ in any.
        rows: their values, (genomes, columns); NaN where a network doesn't have the stack.
    """

    columns: tuple[Feature, ...]
    rows: NDArray[np.float64]

    @classmethod
    def of(cls, genomes: Sequence[Genome]) -> FeatureTable:
        """Return the features in which the genomes differ, in an order that doesn't depend on the genomes.

        A stack's feature is left out if it says no more than that of the whole network.
        """
        found = [features(genome) for genome in genomes]
        names = sorted({name for each in found for name in each})
        values = {name: np.array([each.get(name, math.nan) for each in found]) for name in names}
        kept = tuple(name for name in names if _tells(name, values)) or tuple(names[:1])
        return cls(kept, np.column_stack([values[name] for name in kept]))

    def of_one(self) -> dict[str, list[int]]:
        """Return the columns of each hyperparameter and each size of the network."""
        found: dict[str, list[int]] = {}
        for index, column in enumerate(self.columns):
            found.setdefault(column.of, []).append(index)
        return found


def _tells(name: Feature, values: Mapping[Feature, NDArray[np.float64]]) -> bool:
    own = values[name]
    known = own[~np.isnan(own)]
    if np.ptp(known) < SAME:
        return False
    if not name.stack:
        return True
    return bool(np.nanmax(np.abs(own - values[name.whole])) >= SAME)
