"""Random training patches: which image, where, how turned. Each iteration has its own random stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray

from genenet.metrics import IGNORE

Scalar = TypeVar("Scalar", bound=np.generic)
Image = NDArray[np.float32]
Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class PatchSampler:
    """Draws batches of square patches from the slices of all training images, each voxel alike.

    The image read is larger than the labels by the halo; what reaches beyond an image is reflected, labels
    beyond it are ignored. Iteration i's batch depends on the seed and i alone, so a resumed training sees
    the patches that an undisturbed one would have seen.
    """

    images: list[Image]  # (Z, Y + 2m, X + 2m), reflected at the borders
    labels: list[Labels]  # (Z, Y + 2(m - halo), X + 2(m - halo)), ignored beyond the borders
    input_size: int
    output_size: int
    batch_size: int
    flips_and_turns: bool
    seed: tuple[int, ...]

    @classmethod
    def make(
        cls,
        images: list[tuple[Image, Labels]],
        sizes: tuple[int, int],
        batch_size: int,
        flips_and_turns: bool,
        seed: tuple[int, ...],
    ) -> PatchSampler:
        """Pad (Z, Y, X) images and labels once; ``sizes`` are those of input and output."""
        input_size, output_size = sizes
        halo = (input_size - output_size) // 2
        padded = [_pad(image, labels, halo, output_size) for image, labels in images]
        return cls([p[0] for p in padded], [p[1] for p in padded], *sizes, batch_size, flips_and_turns, seed)

    def batch(self, iteration: int) -> tuple[Image, Labels]:
        """Return images (B, 1, input, input) and labels (B, output, output) of one iteration."""
        rng = Generator(PCG64(SeedSequence(self.seed, spawn_key=(iteration,))))
        patches = [self._patch(rng) for _ in range(self.batch_size)]
        return np.stack([p[0] for p in patches])[:, None], np.stack([p[1] for p in patches])

    def _patch(self, rng: Generator) -> tuple[Image, Labels]:
        weights = np.array([labels.size for labels in self.labels], float)
        index = int(rng.choice(len(self.images), p=weights / weights.sum()))
        image, labels = self.images[index], self.labels[index]
        z = int(rng.integers(labels.shape[0]))
        y, x = (int(rng.integers(n - self.output_size + 1)) for n in labels.shape[1:])
        patch = image[z, y : y + self.input_size, x : x + self.input_size]
        truth = labels[z, y : y + self.output_size, x : x + self.output_size]
        if self.flips_and_turns:
            turns, flip = int(rng.integers(4)), bool(rng.integers(2))
            patch, truth = _turn(patch, turns, flip), _turn(truth, turns, flip)
        return patch, truth


def _turn(a: NDArray[Scalar], turns: int, flip: bool) -> NDArray[Scalar]:
    a = np.rot90(a, turns)
    return a[:, ::-1] if flip else a


def _pad(image: Image, labels: Labels, halo: int, output_size: int) -> tuple[Image, Labels]:
    """Reflect the image by the halo, and by more where it is smaller than one output."""
    extra = [max(0, output_size - n) for n in labels.shape[1:]]
    short = [(0, 0)] + [(e // 2, e - e // 2) for e in extra]
    far = [(0, 0)] + [(a + halo, b + halo) for a, b in short[1:]]
    return (
        np.pad(image, far, mode="reflect"),
        np.pad(labels, short, mode="constant", constant_values=IGNORE),
    )


def class_weights(counts: NDArray[np.int64], exponent: float) -> NDArray[np.float32]:
    """Return weights f**-exponent of classes of frequency f, such that a voxel's weight is 1 on average.

    A class that never occurs has weight 0.
    """
    frequency = counts / counts.sum()
    weights = np.where(counts > 0, np.maximum(frequency, 1e-300) ** -exponent, 0.0)
    normalised: NDArray[np.float32] = (weights / (frequency * weights).sum()).astype(np.float32)
    return normalised
