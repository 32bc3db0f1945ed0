"""Sizes of the tensors in a network along one axis (0 z, 1 y, 2 x), from the size of the input: pure arithmetic."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from genenet.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from genenet.genes.layers import Layer, Stack


def output_size(stacks: Sequence[Stack], axis: int, size: int) -> int:
    """Return the output size for an input size, 0 if that isn't feasible.

    Feasible: every pooling divides evenly, the merges can be cropped centrally, at least one voxel is
    left everywhere, and as many are lost on one side as on the other.
    """
    whole = size
    skips: list[int] = []
    for stack in stacks:
        entry = stack.layers[0]
        factor = entry.pool[axis]
        if entry.entry == "down":
            if size % factor or size < factor:
                return 0
            size //= factor
        if entry.entry == "up":
            size *= factor
            crop = skips.pop() - size
            if crop < 0 or crop % 2:
                return 0
        size -= sum(layer.margin[axis] for layer in stack.layers)
        if size < 1:
            return 0
        if stack.is_encoder:
            skips.append(size)
    return 0 if (whole - size) % 2 else size


def multiple(stacks: Sequence[Stack], axis: int) -> int:
    """Return how many voxels become one at the bottom; feasible sizes differ by multiples of it."""
    product = 1
    for stack in stacks:
        if stack.layers[0].entry == "down":
            product *= stack.layers[0].pool[axis]
    return product


def largest_input(stacks: Sequence[Stack], axis: int, size: int) -> int | None:
    """Return the largest feasible input size of at most ``size``; None if there is none."""
    candidates = range(size, max(0, size - multiple(stacks, axis)), -1)
    return next((n for n in candidates if output_size(stacks, axis, n)), None)


def smallest_input(stacks: Sequence[Stack], axis: int, size: int) -> int:
    """Return the smallest feasible input size of at least ``size``.

    Raises:
        InputError: If there is none, as kernels of even width can bring about.
    """
    step = multiple(stacks, axis)
    field = max(last - first + 1 for first, last in seen(stacks, axis))
    enough = max(size, field) + 2 * step  # feasible sizes repeat from here on
    large = [n for n in range(enough, enough + step) if output_size(stacks, axis, n)]
    if not large:
        raise InputError(
            "net: no input size is feasible: kernels of even width leave a merge, or the halo, without a centre"
        )
    return min(_smallest_of_class(stacks, axis, size, n) for n in large)


def _smallest_of_class(stacks: Sequence[Stack], axis: int, size: int, large: int) -> int:
    """Return the smallest feasible size of at least ``size`` that is a whole number of steps below ``large``.

    All of these sizes divide evenly and crop alike, so a size is feasible if its output isn't empty. That holds from
    some size on, which a binary search finds.
    """
    candidates = range(large, size - 1, -multiple(stacks, axis))
    n_feasible = bisect_left(candidates, True, key=lambda n: output_size(stacks, axis, n) == 0)
    return candidates[n_feasible - 1]


def seen(stacks: Sequence[Stack], axis: int) -> Iterator[tuple[int, int]]:
    """Yield the first and last input voxel that each output voxel of one period of the poolings depends on.

    Coordinates are those of the valid convolutions: output 0 of a layer sees its inputs 0 … reach; with
    same padding it sees -reach/2 … reach/2. The skip connections needn't be followed: a merge sees less through
    them than through the layers below.
    """
    yield from seen_by([layer for stack in stacks for layer in stack.layers], axis, multiple(stacks, axis))


def seen_by(layers: Sequence[Layer], axis: int, n_positions: int) -> Iterator[tuple[int, int]]:
    """Yield the same of the first layers of a network, for the first positions of the last one's output."""
    for position in range(n_positions):
        first = last = position
        for layer in reversed(layers):
            first, last = _seen_by(layer, axis, first, last)
        yield first, last


def _seen_by(layer: Layer, axis: int, first: int, last: int) -> tuple[int, int]:
    reach, factor = layer.reach[axis], layer.pool[axis]
    before = reach // 2 if layer.same else 0
    first, last = first - before, last + reach - before + layer.window[axis]
    if layer.entry == "down":
        return factor * first, factor * last + factor - 1
    if layer.entry == "up":
        return first // factor, last // factor
    return first, last
