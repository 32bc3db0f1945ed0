"""Removes specks, fills holes and numbers objects on the graph of pieces. No voxels are needed.

The order is: specks once, then holes once, class by class, then objects. With ``connectivity: 26`` a component may hang
together by a corner between the inside and the outside of a hole. Filling the hole takes the inner part away, and the
outer part is kept even if it is now as small as a speck. So cleaning twice may change more than cleaning once; with
faces alone it doesn't.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.ignore import IGNORE
from genenet.objects.pieces import groups_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genenet.objects.graph import PieceGraph
    from genenet.objects.pieces import PieceTable

    Classes = NDArray[np.uint8]


def remove_specks(
    graph: PieceGraph, classes: Classes, smallest: Sequence[int]
) -> tuple[Classes, NDArray[np.int64]]:
    """Give connected components that are too small the class that they touch most.

    For each class, the faces that a speck shares with components that aren't specks are counted; the class with
    most faces wins, in a tie the one with the smaller id. Specks surrounded only by other specks are resolved in
    later rounds. A volume of nothing but specks is left unchanged. Pieces of IGNORE lie outside the mask: they are no
    specks, and their faces don't count.

    Args:
        graph: the volume's.
        classes: (n,), the class of each piece.
        smallest: by class id, the least number of voxels of a component.

    Returns:
        The new class of each piece, (n,), and by former class the number of specks removed.
    """
    component = graph.components(classes)
    of_component = np.empty(component.max() + 1, np.uint8)
    of_component[component] = classes
    sizes = _totals(component, graph.pieces.n_voxels)
    is_speck = of_component != IGNORE
    is_speck[is_speck] = sizes[is_speck] < np.asarray(smallest)[of_component[is_speck]]
    touching = graph.through_faces
    a, b = (
        component[np.concatenate(ends)]
        for ends in ((touching.low, touching.high), (touching.high, touching.low))
    )
    faces = np.concatenate([touching.faces, touching.faces])
    after, left = of_component.copy(), is_speck.copy()
    while True:
        open_ = left[a] & (of_component[b] != IGNORE)
        a, b, faces = a[open_], b[open_], faces[open_]
        settled = ~left[b]
        if not settled.any():
            break
        specks, most = _most_frequent(a[settled], after[b[settled]], faces[settled])
        after[specks] = most
        left[specks] = False
    n_removed = np.bincount(of_component[is_speck & ~left], minlength=len(smallest))
    return after[component], n_removed


def _totals(groups: NDArray[Any], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Add up counts by group. Unlike numpy's bincount with weights, it is exact above 2^53."""
    total = np.zeros(int(groups.max()) + 1, np.int64)
    np.add.at(total, groups, counts)
    return total


def _most_frequent(
    keys: NDArray[Any], values: Classes, counts: NDArray[np.int64]
) -> tuple[NDArray[Any], Classes]:
    """Return each key once, with the value that has the highest count; in a tie, the smallest value."""
    pairs, where = np.unique(keys.astype(np.int64) * 256 + values, return_inverse=True)
    order = np.lexsort((pairs, -_totals(where, counts), pairs >> 8))
    first = np.flatnonzero(np.diff(pairs[order] >> 8, prepend=-1))
    best = pairs[order][first]
    return best >> 8, (best & 255).astype(np.uint8)


def fill_holes(
    graph: PieceGraph, classes: Classes, class_id: int, largest: int | None
) -> tuple[Classes, int]:
    """Fill the holes of a class.

    A hole is a set of voxels of other classes that connect through faces and don't touch the volume's border, as in
    ``scipy.ndimage.binary_fill_holes``. Pieces of IGNORE lie outside the mask, which is like outside the volume: what
    touches them is no hole.

    Args:
        graph: the volume's.
        classes: (n,), the class of each piece.
        class_id: the class whose holes are filled.
        largest: a hole of more voxels isn't filled; None is no limit.

    Returns:
        The new class of each piece, (n,), and the number of holes filled.
    """
    touching, outside = graph.through_faces, classes != class_id
    both = outside[touching.low] & outside[touching.high]
    group = groups_of(len(classes), touching.low[both], touching.high[both])
    size = _totals(group, graph.pieces.n_voxels)
    is_hole = np.full(
        len(size), len(classes) > 1
    )  # a volume of one voxel has no border, but nothing encloses it
    is_hole[group[~outside | graph.pieces.on_border | (classes == IGNORE)]] = False
    if largest is not None:
        is_hole &= size <= largest
    return np.where(is_hole[group], np.uint8(class_id), classes), int(is_hole.sum())


def find_objects(
    graph: PieceGraph, classes: Classes, wanted: Sequence[int]
) -> tuple[NDArray[np.uint32], PieceTable]:
    """Number the connected components of some classes from 1, in the order of their first voxels.

    Args:
        graph: the volume's.
        classes: (n,), the class of each piece.
        wanted: ids of the classes whose components are objects.

    Returns:
        The object's number of each piece, (n,), 0 for pieces of other classes; and the table of objects.
    """
    counted = np.flatnonzero(np.isin(classes, wanted))
    component = graph.components(classes)[counted]
    _, group = np.unique(component, return_inverse=True)
    ids = np.zeros(len(classes), np.uint32)
    objects = replace(graph.pieces.take(counted), classes=classes[counted]).merge(group)
    order = np.argsort(objects.first)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    ids[counted] = place[group] + 1
    return ids, objects.take(order)
