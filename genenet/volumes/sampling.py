"""Boxes that images are read in: slabs of all of them, or boxes drawn at random."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING

import numpy as np

from genenet.core.geometry import Box, Triple, each, tiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from genenet.volumes.base import Volume

    # With the slices that it is drawn for, (Z of the box,); None is all of them.
    SampledBox = tuple[Box, NDArray[np.bool_] | None]

_SLAB_VOXELS = 2**23  # read, checked and written at a time
_BOX_VOXELS = 2**20  # the largest box that a sample is made of
_LEAST_BOXES = 4  # of a slice, or of a mask
_MASK_VOXELS = 2**24  # of a large mask, about as many are searched for voxels that are inside


def slabs(shape: Triple) -> Iterator[Box]:
    """Yield boxes as wide as the volume, since files hold it row by row, of whole chunks of prepared files."""
    depth, height, _ = slab_chunks(shape)
    rows = max(1, _SLAB_VOXELS // (depth * height * shape[2])) * height
    return tiles(Box.of_shape(shape), (depth, rows, shape[2]))


def thin_slabs(shape: Triple, depth: int) -> Iterator[Box]:
    """Yield slabs cut along z to the depth of a volume's chunks: less memory, and no chunk is decoded twice."""
    for slab in slabs(shape):
        yield from tiles(slab, (min(depth, slab.shape[0]), *slab.shape[1:]))


def slab_chunks(shape: Triple) -> Triple:
    """Return the chunks of prepared files, which divide slabs."""
    return min(16, shape[0]), min(256, shape[1]), min(256, shape[2])


def sample_boxes(volume: Volume, max_voxels: int, mask: Volume | None = None, seed: int = 0) -> list[Box]:
    """Return boxes of about ``max_voxels`` voxels in all, drawn at random; of a smaller volume all of it.

    With a mask of the same shape, only boxes that meet it are returned. If most of the volume lies outside, the whole
    mask is read to draw among those.
    """
    rng = np.random.default_rng(seed)
    boxes = [box for box, _ in sample(volume, None, False, max_voxels, rng)]
    if mask is None:
        return boxes
    found = [box for box in boxes if mask.read(box).any()]
    if 2 * len(found) >= len(boxes):
        return found
    meeting = [box for box, _ in sample(volume, mask, False, max_voxels, rng)]
    drawn = rng.choice(len(meeting), min(len(meeting), len(boxes)), replace=False)
    return [meeting[i] for i in np.sort(drawn)]


def sample(
    volume: Volume, mask: Volume | None, per_slice: bool, max_voxels: int, rng: np.random.Generator
) -> Iterator[SampledBox]:
    """Yield boxes drawn at random, with about ``max_voxels`` voxels; with a mask, as many inside it.

    A mask is read once to count the voxels inside each box. Each slice (or the volume as a whole) takes boxes in
    random order, of those that meet the mask there, until it has its share and at least 4 boxes, or all of them.

    Args:
        volume: the image; its chunks, or parts of them, are drawn.
        mask: of the same shape, 0 outside; only boxes that meet it are drawn.
        per_slice: draw for each layer of chunks, or with a mask for each slice, by itself, so that none is left out.
        max_voxels: number of voxels in all.
        rng: draws.
    """
    for layer, unit, share in _layers(volume, per_slice, max_voxels):
        if mask is None:
            for box in _draw(layer, unit, share, _LEAST_BOXES if per_slice else 1, rng):
                yield box, None
            continue
        grid = _grid(layer, unit)
        if per_slice:
            inside, share = _count(mask, layer, (1, *unit[1:])), share // layer.shape[0]
        else:
            inside = _count(mask, layer, unit).reshape(1, -1)
        chosen = _choose(inside.reshape(len(inside), -1), share, rng)
        for index in np.flatnonzero(chosen.any(axis=0)).tolist():
            yield _unit_box(layer, unit, grid, index), chosen[:, index] if per_slice else None


def _layers(volume: Volume, per_slice: bool, max_voxels: int) -> Iterator[tuple[Box, Triple, int]]:
    """Yield what is sampled by itself: its box, the shape of the boxes to draw, and the number of voxels."""
    whole = Box.of_shape(volume.shape)
    all_of_it = whole.n_voxels <= max_voxels
    if not per_slice:
        part = _BOX_VOXELS if all_of_it else min(_BOX_VOXELS, max_voxels // 64)
        yield whole, _part_of(volume.chunks, part), max_voxels
        return
    n_z, n_y, n_x = volume.shape
    depth = volume.chunks[0]
    for z in range(0, n_z, depth):
        layer = Box((z, 0, 0), (min(z + depth, n_z), n_y, n_x))
        share = max_voxels * layer.shape[0] // n_z
        part = _BOX_VOXELS if all_of_it else min(_BOX_VOXELS, max(share // _LEAST_BOXES, 2**14))
        yield layer, _part_of(volume.chunks, part), share


def _part_of(chunk: Triple, n_voxels: int) -> Triple:
    """Shorten a chunk along y, then x, until it has about ``n_voxels`` at most."""
    z, y, x = chunk
    y = min(y, max(1, n_voxels // (z * x)))
    return z, y, min(x, max(1, n_voxels // (z * y)))


def _draw(box: Box, unit: Triple, n_voxels: int, least: int, rng: np.random.Generator) -> Iterator[Box]:
    """Units of a box, in order: all of them, or as many as have ``n_voxels``."""
    grid = _grid(box, unit)
    total, n = math.prod(grid), max(least, n_voxels // math.prod(unit))
    drawn = range(total)
    if box.n_voxels > n_voxels and n < total:
        drawn = np.sort(rng.choice(total, n, replace=False, shuffle=False)).tolist()
    for index in drawn:
        yield _unit_box(box, unit, grid, index)


def _grid(box: Box, unit: Triple) -> Triple:
    """Return the number of units along each axis of a box."""
    return each(_ceil, box.shape, unit)


def _ceil(n: int, divisor: int) -> int:
    return -(-n // divisor)


def _unit_box(box: Box, unit: Triple, grid: Triple, index: int) -> Box:
    """Return a unit of a box by its number, in C order; it is cut off at the ends of the box."""
    start = each(lambda i, n: int(i) * n, np.unravel_index(index, grid), unit)
    return Box.of_shape(unit, start).shift(box.start).intersect(box)


def _count(mask: Volume, box: Box, unit: Triple) -> NDArray[np.int64]:
    """Return the number of voxels inside a mask in each unit of a box, of the shape of the grid."""
    counts = np.zeros(_grid(box, unit), np.int64)
    for slab in thin_slabs(box.shape, mask.chunks[0]):
        sums = mask.read(slab.shift(box.start)) != 0
        first, stop = each(operator.floordiv, slab.start, unit), each(_ceil, slab.stop, unit)
        for axis in (2, 1, 0):
            starts = np.arange(first[axis], stop[axis]) * unit[axis] - slab.start[axis]
            sums = np.add.reduceat(sums, starts.clip(0), axis=axis, dtype=np.int64)
        counts[Box(first, stop).slices] += sums
    return counts


def _choose(inside: NDArray[np.int64], n_voxels: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Choose units for each slice, in a random order that all slices share, so that they share boxes too.

    Args:
        inside: voxels inside the mask by slice and unit, (Z, N).
        n_voxels: that a slice needs, unless it has fewer.
        rng: shuffles.

    Returns:
        Whether a slice takes a unit, (Z, N).
    """
    order = rng.permutation(inside.shape[1])
    chosen = np.zeros(inside.shape, bool)
    for row, of_slice in zip(chosen, inside, strict=True):
        meeting = order[of_slice[order] > 0]
        before = np.cumsum(of_slice[meeting]) - of_slice[meeting]
        row[meeting] = (before < n_voxels) | (np.arange(len(meeting)) < _LEAST_BOXES)
    return chosen


def random_start(rng: np.random.Generator, n: int, m: int, voxel: int | None) -> int:
    """Draw the start of ``m`` of ``n`` voxels so that they hold ``voxel``, if given; they are centred if m > n."""
    if m >= n:
        return -((m - n) // 2)
    if voxel is None:
        return int(rng.integers(n - m + 1))
    return min(max(voxel - int(rng.integers(m)), 0), n - m)


def random_boxes(
    volume: Volume, shape: Triple, n: int, rng: np.random.Generator, mask: Volume | None = None
) -> Iterator[Box]:
    """Draw ``n`` boxes of a shape; they lie inside the volume where they fit, and are centred where they don't.

    Args:
        volume: that they are drawn from.
        shape: of each box.
        n: number of boxes.
        rng: draws.
        mask: of the volume's shape, 0 outside; each box holds a voxel inside, if there is any.
    """
    boxes = sample_boxes(volume, _MASK_VOXELS, mask) if mask else []
    for _ in range(n):
        voxel = _voxel_inside(rng, mask, boxes) if mask and boxes else (None, None, None)
        z, y, x = map(random_start, [rng] * 3, volume.shape, shape, voxel)
        yield Box.of_shape(shape, (z, y, x))


def _voxel_inside(rng: np.random.Generator, mask: Volume, boxes: list[Box]) -> Triple:
    """Draw a voxel inside a mask from one of the boxes that meet it."""
    box = boxes[int(rng.integers(len(boxes)))]
    inside = mask.read(box) != 0
    drawn = np.flatnonzero(inside)[int(rng.integers(np.count_nonzero(inside)))]
    z, y, x = (int(i) for i in np.unravel_index(drawn, inside.shape))
    return Box.of_shape((1, 1, 1), (z, y, x)).shift(box.start).start
