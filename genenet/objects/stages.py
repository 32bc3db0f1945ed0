"""From the probabilities of one class of objects to seeds and the shells around them.

Along a line through two objects that touch::

    object     0.1 0.8 0.9 0.9 0.9 0.9 0.9 0.2     core and border together
    border     0.1 0.6 0.1 0.2 0.8 0.7 0.1 0.2
    core       0.0 0.2 0.8 0.7 0.1 0.2 0.8 0.0     object - border
    stage       -  sh  SE  SE  sh  sh  SE  -       SHELL and SEED, with thresholds of 0.5
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genenet.core.geometry import Box
from genenet.objects.pieces import groups_of

if TYPE_CHECKING:
    from genenet.objects.graph import PieceGraph

Levels = NDArray[np.uint8]
ReadLevels = Callable[[Box], tuple[Levels, Levels]]  # of a box: object and border probability, 255 is 1

OUTSIDE, SHELL, SEED = 0, 1, 2  # seeds of odd slices are SEED + 1, so that a piece of seed lies in one slice
UNDECIDED = np.uint32(2**32 - 1)  # the number of a shell between several seeds, before the watershed


@dataclass(frozen=True)
class Thresholds:
    """How seeds and shells are found.

    Attributes:
        seed: core probability of seeds, 0 to 1.
        extent: object probability of seeds and shells.
        overlap: seeds in neighbouring slices belong together if they share at least this part of the smaller one's
            voxels; 0: if they share any. Networks of 2D layers see no border between slices, and cells that lie
            obliquely above each other touch along z by a sliver.
        min_size_voxels: smaller seeds become shells; smaller objects without a seed are left out.
    """

    seed: float = 0.5
    extent: float = 0.5
    overlap: float = 0.0
    min_size_voxels: int = 0

    def stages(self, of_object: Levels, border: Levels, z: int = 0) -> Levels:
        """Return the stage (Z, Y, X) of each voxel of a box that begins at slice ``z``."""
        inside = of_object >= self.extent * 255
        is_seed = inside & (core(of_object, border) >= self.seed * 255)
        odd = (np.arange(z, z + len(inside)) % 2).astype(np.uint8)[:, None, None]
        return inside + is_seed * (1 + odd)


def core(of_object: Levels, border: Levels) -> Levels:
    """Return the core probability; rounded levels may differ by one, and it isn't below 0."""
    found: Levels = of_object - np.minimum(of_object, border)
    return found


def numbered(graph: PieceGraph, thresholds: Thresholds) -> tuple[NDArray[np.uint32], int]:
    """Number the objects of a volume from 1, in the order of the first voxels of their seeds.

    A shell that touches one seed belongs to it. One that touches none is an object of its own, so that objects thinner
    than two borders aren't lost. One that touches several is UNDECIDED.

    Args:
        graph: the pieces of the stages.
        thresholds: by which the stages were made.

    Returns:
        The number (n,) of each piece, 0 outside of objects, and how many objects there are.
    """
    group, stage = _groups(graph, thresholds)
    n_groups = len(stage)
    size = np.bincount(group, graph.pieces.n_voxels, n_groups)
    first = np.full(n_groups, np.iinfo(np.int64).max)
    np.minimum.at(first, group, graph.pieces.first)
    shells, seeds = _touching(graph, group, stage)
    n_seeds = np.bincount(shells, minlength=n_groups)
    is_alone = (stage == SHELL) & (n_seeds == 0) & (size >= thresholds.min_size_voxels)
    begins = (stage == SEED) | is_alone
    order = np.flatnonzero(begins)[np.argsort(first[begins])]
    numbers = np.zeros(n_groups, np.uint32)
    numbers[order] = np.arange(1, len(order) + 1)
    of_one = n_seeds[shells] == 1
    numbers[shells[of_one]] = numbers[seeds[of_one]]
    numbers[(stage == SHELL) & (n_seeds > 1)] = UNDECIDED
    return numbers[group], len(order)


def _groups(graph: PieceGraph, thresholds: Thresholds) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return the seed or shell (n,) that each piece belongs to, and the stage (groups,) of each of these."""
    pieces, contacts = graph.pieces, graph.through_faces
    low, high, n = contacts.low, contacts.high, len(pieces)
    stages = np.minimum(pieces.classes, SEED)
    smaller = np.minimum(pieces.n_voxels[low], pieces.n_voxels[high])
    joined = (stages[low] == SEED) & (stages[high] == SEED) & (contacts.faces >= thresholds.overlap * smaller)
    seed = groups_of(n, low[joined], high[joined])
    size = np.bincount(seed, pieces.n_voxels)[seed]
    stages[(stages == SEED) & (size < thresholds.min_size_voxels)] = SHELL
    alike = (stages[low] == stages[high]) & (joined | (stages[low] == SHELL))
    group = groups_of(n, low[alike], high[alike])
    stage = np.zeros(int(group.max(initial=-1)) + 1, np.uint8)
    stage[group] = stages
    return group, stage


def _touching(
    graph: PieceGraph, group: NDArray[np.int32], stage: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each pair of a shell and a seed that touch through faces, once."""
    contacts = graph.through_faces
    a, b = group[contacts.low].astype(np.int64), group[contacts.high].astype(np.int64)
    pairs = np.concatenate([np.stack([a, b]), np.stack([b, a])], axis=1)
    pairs = pairs[:, (stage[pairs[0]] == SHELL) & (stage[pairs[1]] == SEED)]
    shells, seeds = np.unique(pairs, axis=1)
    return shells, seeds
