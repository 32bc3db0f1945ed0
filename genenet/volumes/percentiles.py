"""Percentiles of images: exact for integers of up to two bytes, otherwise from a sample of the voxels."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from genenet.volumes.sampling import slab_chunks
from genenet.volumes.statistics import EXACT_VOXELS, check_values, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from genenet.volumes.base import Volume
    from genenet.volumes.statistics import Part

SAMPLE_VOXELS = 2**20  # of an image whose voxels can't be counted by value; one of fewer voxels is exact
_SLICE_VOXELS = 2**16  # likewise, of a slice
_PIECE_VOXELS = 2**18  # counted or drawn from at a time


@dataclass(frozen=True)
class Distribution:
    """How often each value occurs in an image.

    Attributes:
        values: (N,), ascending.
        counts: (N,), voxels of each value; fractions if a sample stands for more voxels.
        is_finite: False if a voxel is NaN or infinite; the image is then refused.
    """

    values: NDArray[np.float64]
    counts: NDArray[np.float64]
    is_finite: bool = True

    @property
    def n(self) -> float:
        """The number of voxels."""
        return float(self.counts.sum())

    @property
    def extent(self) -> Distribution:
        """One of as many voxels, which has only the lowest and the highest value."""
        ends = self.values[[0, -1]] if len(self.values) else self.values
        return Distribution(ends, np.full(len(ends), self.n / 2), self.is_finite)

    @staticmethod
    def merged(distributions: Iterable[Distribution]) -> Distribution:
        """Return that of all voxels together."""
        all_of_them = list(distributions)
        values = np.concatenate([each.values for each in all_of_them] or [np.empty(0)])
        counts = np.concatenate([each.counts for each in all_of_them] or [np.empty(0)])
        order = np.argsort(values, kind="stable")
        return Distribution(values[order], counts[order], all(each.is_finite for each in all_of_them))

    def scaled(self, n: float) -> Distribution:
        """Return that of ``n`` voxels of which these are a sample."""
        return Distribution(self.values, self.counts * (n / self.n), self.is_finite)

    def percentile(self, percentage: float) -> float:
        """Return a percentile as ``numpy.percentile`` defines it: interpolated between the two nearest voxels.

        The voxels in ascending order have the numbers 0 to n - 1; the percentile p has the number p / 100 · (n - 1).
        """
        place = percentage / 100 * (self.n - 1)
        ends = np.cumsum(self.counts)  # the numbers of a value begin at the end of the value before it
        numbers = [math.floor(place), math.floor(place) + 1]
        low, high = self.values[np.searchsorted(ends, numbers, side="right").clip(max=len(ends) - 1)]
        return float(low + (high - low) * (place - numbers[0]))

    def centre_and_scale(self, percentages: tuple[float, float]) -> tuple[float, float]:
        """Return mean and deviation of the normal distribution that has the same two percentiles."""
        low, high = map(self.percentile, percentages)
        z_low, z_high = (NormalDist().inv_cdf(percentage / 100) for percentage in percentages)
        scale = (high - low) / (z_high - z_low)
        return (low * z_high - high * z_low) / (z_high - z_low), scale


def image_distribution(
    volume: Volume, seed: int = 0, max_voxels: int = EXACT_VOXELS, mask: Volume | None = None
) -> Distribution:
    """Return the distribution of the values of an image; arguments and errors are those of ``image_statistics``."""
    counter = _counter(volume.dtype, SAMPLE_VOXELS, _generator(seed))
    for _, voxels, inside in parts_of(volume, False, seed, max_voxels, mask):
        counter.add(voxels.reshape(-1) if inside is None else voxels[inside])
    found = counter.distribution()
    _check([found.extent], volume, mask)
    return found


def slice_distributions(
    volume: Volume, seed: int = 0, max_voxels: int = EXACT_VOXELS, mask: Volume | None = None
) -> Iterator[tuple[int, Distribution]]:
    """Yield the number of each slice in which voxels count, and the distribution of its values.

    Memory holds those of a layer of slices. Arguments and errors are those of ``image_statistics``.
    """
    rng, extents = _generator(seed), []
    depth = slab_chunks(volume.shape)[0]  # boxes come in layers of so many slices, or of whole chunks
    parts = parts_of(volume, True, seed, max_voxels, mask)
    for _, layer in groupby(parts, key=lambda part: part[0] // depth):
        counters = _counted(layer, partial(_counter, volume.dtype, _SLICE_VOXELS, rng))
        for z, counter in sorted(counters.items()):
            found = counter.distribution()
            extents.append(found.extent)
            if found.n:
                yield z, found
    _check(extents, volume, mask)


def _check(extents: Iterable[Distribution], volume: Volume, mask: Volume | None) -> None:
    """Raise InputError if an image can't be normalised; its parts need only their lowest and highest values."""
    all_of_it = Distribution.merged(extents)
    constant = float(all_of_it.values[0]) if len(set(all_of_it.values.tolist())) == 1 else None
    check_values(all_of_it.n, all_of_it.is_finite, constant, volume.name, mask)


def _counted(layer: Iterable[Part], new: Callable[[], _Counter]) -> dict[int, _Counter]:
    """Return a counter for each slice of a layer, by its number, that has counted the slice."""
    counters: defaultdict[int, _Counter] = defaultdict(new)
    for start, voxels, inside in layer:
        for i, of_slice in enumerate(voxels):
            counters[start + i].add(of_slice.reshape(-1) if inside is None else of_slice[inside[i]])
        del voxels, inside, of_slice  # before the next box is read: memory holds one
    return counters


def _generator(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 1])  # other numbers than those that draw boxes


class _Counter(Protocol):
    """Counts voxels by value, or samples them."""

    def add(self, voxels: NDArray[Any]) -> None:
        """Count voxels, (N,)."""

    def distribution(self) -> Distribution:
        """Return the distribution of all voxels that were counted."""


def _counter(dtype: np.dtype[Any], size: int, rng: np.random.Generator) -> _Counter:
    return _Histogram(dtype) if dtype.kind in "bui" and dtype.itemsize <= 2 else _Sample(size, rng)


class _Histogram:
    """Counts integers of up to two bytes, each value by itself."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._lowest = int(np.iinfo(dtype).min) if dtype.kind != "b" else 0
        self._counts = np.zeros(2 ** (8 * dtype.itemsize), np.int64)

    def add(self, voxels: NDArray[Any]) -> None:
        """Count voxels, (N,)."""
        for piece in _pieces(voxels):
            self._counts += np.bincount(piece.astype(np.int64) - self._lowest, minlength=len(self._counts))

    def distribution(self) -> Distribution:
        """Return the values that occur."""
        (found,) = np.nonzero(self._counts)
        return Distribution((found + self._lowest).astype(np.float64), self._counts[found].astype(np.float64))


class _Sample:
    """A sample of at most ``size`` of all voxels, each as likely as any other: those with the smallest random keys."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self._size, self._rng = size, rng
        self._n, self._is_finite, self._limit = 0, True, 1.0  # keys lie below the limit
        self._kept: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []  # keys, voxels

    def add(self, voxels: NDArray[Any]) -> None:
        """Draw keys for voxels, (N,)."""
        for piece in _pieces(voxels):
            self._n += piece.size
            keys, values = self._rng.random(piece.size), piece.astype(np.float64)
            self._is_finite &= bool(np.isfinite(values).all())
            below = keys < self._limit
            self._kept.append((keys[below], values[below]))
            if sum(len(keys) for keys, _ in self._kept) > 2 * self._size:
                self._shorten()

    def _shorten(self) -> None:
        keys, values = (np.concatenate(arrays) for arrays in zip(*self._kept, strict=True))
        if len(keys) > self._size:
            smallest = np.argpartition(keys, self._size)
            self._limit, smallest = float(keys[smallest[self._size]]), smallest[: self._size]
            keys, values = keys[smallest], values[smallest]
        self._kept = [(keys, values)]

    def distribution(self) -> Distribution:
        """Return the sample, in which each voxel stands for as many of all."""
        if not self._n:
            return Distribution.merged([])
        self._shorten()
        values = np.sort(self._kept[0][1])
        return Distribution(values, np.full(len(values), self._n / len(values)), self._is_finite)


def _pieces(voxels: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (voxels[i : i + _PIECE_VOXELS] for i in range(0, voxels.size, _PIECE_VOXELS))
