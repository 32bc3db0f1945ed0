"""Draws random training patches: image, position and turn. Each iteration has its own random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray

from genenet.core.geometry import Box, Triple
from genenet.core.ignore import IGNORE
from genenet.core.random_streams import Stream
from genenet.networks.symmetry import Turn
from genenet.volumes.reflection import read_reflected
from genenet.volumes.sampling import random_start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.training.prepared_images import LabelledArray

Scalar = TypeVar("Scalar", bound=np.generic)
POSITIONS = 50_000  # largest number of voxels of each class that are kept to draw patches around
REDRAWS = 10  # of the position of a patch without a label


class Draw(NamedTuple):
    """A patch that was drawn: number of the image, first voxel of the output in it, and how the patch is turned."""

    image: int
    start: Triple
    turn: Turn


class Batch(NamedTuple):
    """Patches: images (B, 1, Z, Y, X), labels and weights (B, Z', Y', X') of their central parts."""

    images: NDArray[np.float32]
    labels: NDArray[np.uint8]
    weights: NDArray[np.float32] | None


@dataclass(frozen=True)
class PatchSampler:
    """Draws batches of patches from all training images: evenly over voxels, and a share around rare classes.

    Images are drawn by their numbers of labelled voxels times their weights. A position in the image whose labels are
    all IGNORE is drawn again, up to REDRAWS times. These further draws have random numbers of their own, so they change
    no other patch.

    ::

        +---------------------+
        | input (read)        |   Beyond the image's border, voxels are reflected and labels are IGNORE.
        | halo +--------+     |   halo = (input_shape - output_shape) // 2
        |      | output |     |
        |      +--------+     |   The labels of a patch are those of its output.
        +---------------------+

    The batch of iteration i depends only on the seed and i, so a resumed training sees the same patches as one that
    wasn't interrupted.

    Attributes:
        images: that patches are drawn from.
        weights: of each image's voxels in the loss, float32 (Z, Y, X); None: all are 1.
        input_shape: voxels that the network reads along z, y, x.
        output_shape: voxels that it predicts.
        batch_size: patches of a batch.
        flips_and_turns: whether patches are flipped and turned in the plane, and flipped along z if they have depth.
        seed: any numbers.
        shares: cumulative probabilities of the images.
        positions: for each class that occurs, rows (image, z, y, x) of its voxels.
        rare_classes: share of the patches that are drawn around one of ``positions``.
    """

    images: Sequence[LabelledArray]
    weights: Sequence[NDArray[np.float32]] | None
    input_shape: Triple
    output_shape: Triple
    batch_size: int
    flips_and_turns: bool
    seed: tuple[int, ...]
    shares: NDArray[np.float64]
    positions: Sequence[NDArray[np.int64]] = ()
    rare_classes: float = 0.0

    @classmethod
    def make(
        cls,
        images: Sequence[LabelledArray],
        shapes: tuple[Triple, Triple],
        batch_size: int,
        flips_and_turns: bool,
        seed: tuple[int, ...],
        rare_classes: float = 0.0,
        weights: Sequence[NDArray[np.float32]] | None = None,
    ) -> PatchSampler:
        """Return a sampler; ``shapes`` are those of input and output. All labels are read once, slice by slice."""
        shares = np.cumsum([image.weight * _n_labelled(image.labels) for image in images])
        positions = class_positions([image.labels for image in images], seed) if rare_classes else []
        return cls(
            images, weights, *shapes, batch_size, flips_and_turns, seed, shares / shares[-1], positions, rare_classes
        )  # fmt: skip

    def draws(self, iteration: int) -> list[Draw]:
        """Draw the patches of one iteration, without reading their voxels."""
        rng = Generator(PCG64(SeedSequence(self.seed, spawn_key=(iteration,))))
        found = []
        for i in range(self.batch_size):
            index, start = self._place(rng)
            start = self._labelled_start(index, start, (iteration, i))
            turn = Turn.draw(rng, self.output_shape[0] > 1) if self.flips_and_turns else Turn()
            found.append(Draw(index, start, turn))
        return found

    def batch(self, iteration: int) -> Batch:
        """Return the patches of one iteration."""
        batch = Batch(
            np.empty((self.batch_size, 1, *self.input_shape), np.float32),
            np.empty((self.batch_size, *self.output_shape), np.uint8),
            None if self.weights is None else np.empty((self.batch_size, *self.output_shape), np.float32),
        )
        for i, draw in enumerate(self.draws(iteration)):
            self._fill(batch, i, draw)
        return batch

    def boxes(self, draw: Draw) -> tuple[Box, Box]:
        """Return the boxes of a patch's input and of its output in the image; both may reach beyond it."""
        halo = tuple((n - m) // 2 for n, m in zip(self.input_shape, self.output_shape, strict=True))
        read: Triple = tuple(s - h for s, h in zip(draw.start, halo, strict=True))  # type: ignore[assignment]
        return Box.of_shape(self.input_shape, read), Box.of_shape(self.output_shape, draw.start)

    def _fill(self, batch: Batch, i: int, draw: Draw) -> None:
        image, (read, box) = self.images[draw.image], self.boxes(draw)
        voxels = image.normalisation.apply(read_reflected(image.image, read), read.start[0])
        batch.images[i, 0] = draw.turn(voxels)
        batch.labels[i] = draw.turn(_read_filled(image.labels, box, np.uint8(IGNORE)))
        if self.weights is not None and batch.weights is not None:
            batch.weights[i] = draw.turn(_read_filled(self.weights[draw.image], box, np.float32(0)))

    def _place(self, rng: Generator) -> tuple[int, Triple]:
        """Draw an image and the position of the output in it."""
        voxel: Sequence[int | None]
        if self.positions and rng.random() < self.rare_classes:
            of_class = self.positions[int(rng.integers(len(self.positions)))]
            index, *voxel = (int(v) for v in of_class[int(rng.integers(len(of_class)))])
        else:
            index, voxel = int(np.searchsorted(self.shares, rng.random(), side="right")), [None] * 3
        return index, self._position(rng, index, voxel)

    def _position(
        self, rng: Generator, index: int, voxel: Sequence[int | None] = (None, None, None)
    ) -> Triple:
        """Draw the position of the output in an image, so that it holds ``voxel``, if given."""
        shape = self.images[index].labels.shape
        z, y, x = (random_start(rng, *sizes) for sizes in zip(shape, self.output_shape, voxel, strict=True))
        return z, y, x

    def _labelled_start(self, index: int, start: Triple, key: tuple[int, int]) -> Triple:
        """Return ``start``, or if no label is there, the first of REDRAWS further positions with one, or the last.

        Args:
            index: of the image.
            start: of the output.
            key: iteration and number of the patch in its batch, which seed the further draws.
        """
        if self._is_labelled(index, start):
            return start
        rng = Generator(PCG64(SeedSequence(self.seed, spawn_key=(Stream.LABELLED_PATCHES, *key))))
        for _ in range(REDRAWS):
            start = self._position(rng, index)
            if self._is_labelled(index, start):
                break
        return start

    def _is_labelled(self, index: int, start: Triple) -> bool:
        labels = self.images[index].labels
        inside = Box.of_shape(self.output_shape, start).intersect(Box.of_shape(labels.shape))
        return bool((labels[inside.slices] != IGNORE).any())


def _read_filled(array: NDArray[Scalar], box: Box, fill: Scalar) -> NDArray[Scalar]:
    """Read a box; voxels outside the array are ``fill``."""
    inside = box.intersect(Box.of_shape(array.shape))
    if inside == box:
        return array[box.slices]
    result = np.full(box.shape, fill, array.dtype)
    result[inside.relative_to(box.start).slices] = array[inside.slices]
    return result


def _n_labelled(labels: NDArray[np.uint8]) -> int:
    """Count the voxels that aren't IGNORE, slice by slice, since the labels may be memory-mapped."""
    return sum(int(np.count_nonzero(plane != IGNORE)) for plane in labels)


def class_positions(labels: Sequence[NDArray[np.uint8]], seed: tuple[int, ...]) -> list[NDArray[np.int64]]:
    """Return voxels of each class that occurs, as rows (image, z, y, x): all, or a random sample of POSITIONS."""
    counts = np.sum([_count(array) for array in labels], axis=0)[:IGNORE]
    rng = Generator(PCG64(SeedSequence(seed, spawn_key=(Stream.VOXELS_OF_CLASSES, 0))))
    return [
        np.concatenate(list(_voxels_of(int(c), labels, _ranks(rng, int(counts[c])))))
        for c in np.flatnonzero(counts)
    ]


def _count(array: NDArray[np.uint8]) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = np.sum(
        [np.bincount(plane.reshape(-1), minlength=256) for plane in array], axis=0
    )
    return counts


def _ranks(rng: Generator, count: int) -> NDArray[np.int64]:
    """Draw which voxels of a class are kept, as ascending indices over the class's voxels of all images."""
    if count <= POSITIONS:
        return np.arange(count)
    return np.unique(rng.integers(count, size=POSITIONS))


def _voxels_of(
    c: int, labels: Sequence[NDArray[np.uint8]], ranks: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """Return the voxels of class ``c`` with these indices, slice by slice."""
    found, before = [], 0
    for index, array in enumerate(labels):
        for z, plane in enumerate(array):
            y, x = np.nonzero(plane == c)
            first, last = np.searchsorted(ranks, (before, before + len(y)))
            chosen = ranks[first:last] - before
            before += len(y)
            where = np.broadcast_to(np.array([index, z]), (len(chosen), 2))
            found.append(np.column_stack([where, y[chosen], x[chosen]]))
    return found


def class_weights(counts: NDArray[np.int64], exponent: float) -> NDArray[np.float32]:
    """Return weights f**-exponent for classes of frequency f, scaled so that the mean weight of a voxel is 1.

    A class that never occurs has weight 0.
    """
    frequency = counts / counts.sum()
    weights = np.where(counts > 0, np.maximum(frequency, 1e-300) ** -exponent, 0.0)
    normalised: NDArray[np.float32] = (weights / (frequency * weights).sum()).astype(np.float32)
    return normalised
