"""Algorithms that choose members and their weights from the probabilities of the validation images.

Networks are numbered by rank, best first. Probabilities are the stored ones, (C, …) in 255 levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator

from genenet.config.selection_metrics import RANKING_METRIC
from genenet.core.ignore import IGNORE
from genenet.metrics.ambiguity import LEVELS
from genenet.metrics.contingency import Contingency
from genenet.metrics.table import score_of_counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

BAGS = 20  # number of random subsets of the networks that greedy selects from …
SHARE = 0.5  # … and their size as a share of all networks (Caruana et al. 2004, section 2.3)
SAMPLED = 200_000  # voxels that greedy uses
AT_ONCE = 2**18  # voxels whose probabilities are held as float32 at a time
LEAST_WEIGHT = 0.01  # members with less are dropped, since they cost as much time as others

Weights = dict[int, float]  # by network, best first; their sum is 1


@dataclass(frozen=True)
class Sample:
    """Labelled voxels: ``labels`` (N,) and ``levels`` (K, C, N) uint8 of K networks."""

    labels: NDArray[np.uint8]
    levels: NDArray[np.uint8]

    def score(self, sums: NDArray[np.int32], metric: str = RANKING_METRIC) -> float:
        """Return the score of the classes with the largest sums (C, N) of levels; -1 if it isn't defined."""
        table = Contingency.empty(len(sums))
        table.add(self.labels, _largest(sums))
        score = score_of_counts(table, metric)
        return -1.0 if np.isnan(score) else score


def _largest(sums: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return the class with the largest of the sums (C, N), the first one of a tie; twice as fast as argmax."""
    best, found = sums[0].copy(), np.zeros(sums.shape[1], np.uint8)
    for index in range(1, len(sums)):
        is_larger = sums[index] > best
        np.copyto(best, sums[index], where=is_larger)
        found[is_larger] = index
    return found


def sample(labels: Sequence[Any], probabilities: Sequence[Sequence[Any]], rng: Generator) -> Sample:
    """Draw SAMPLED voxels evenly from all images, or all voxels if there are fewer.

    Args:
        labels: (Z, Y, X) of each image.
        probabilities: of each network, of each image, (C, Z, Y, X).
        rng: random numbers.
    """
    share = SAMPLED / max(1, sum(int(np.prod(of_image.shape)) for of_image in labels))
    found = []
    for truth, levels in _slices(labels, probabilities):
        known = np.flatnonzero(truth != IGNORE)
        if share < 1:
            known = rng.permutation(known)[: -(-int(len(known) * share) // 1)]
        found.append((truth[known], levels[:, :, known]))
    return Sample(
        np.concatenate([truth for truth, _ in found]), np.concatenate([p for _, p in found], axis=2)
    )


def _slices(
    labels: Sequence[Any], probabilities: Sequence[Sequence[Any]]
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Yield labels (N,) and levels (K, C, N) of each slice."""
    for index, of_image in enumerate(labels):
        for z in range(of_image.shape[0]):
            levels = [np.asarray(arrays[index][:, z]) for arrays in probabilities]
            yield np.asarray(of_image[z]).ravel(), np.stack([a.reshape(len(a), -1) for a in levels])


def greedy(voxels: Sample, most: int, rng: Generator, metric: str = RANKING_METRIC) -> Weights:
    """Add networks one by one, each time the one that makes the ensemble's score highest (Caruana et al. 2004).

    A network can be added several times, which gives it more weight. This is done in each of 20 random halves of the
    networks, starting from the best network of the half (section 2.2), and the best ensemble on the way is kept. The
    weights are counted over all halves together, which overfits the validation images less than a single search
    (section 2.3). At most ``most`` networks are kept.
    """
    n = len(voxels.levels)
    counts = np.zeros(n)
    size = max(min(n, 2), round(n * SHARE))
    for _ in range(BAGS if size < n else 1):
        bag = np.sort(rng.permutation(n)[:size])
        for network in _best_of(voxels, bag.tolist(), 2 * most, metric):
            counts[network] += 1
    return _kept(counts, most)


def _best_of(voxels: Sample, bag: Sequence[int], n_picks: int, metric: str) -> list[int]:
    """Return the networks picked by one forward selection, up to the best ensemble on the way."""
    sums = voxels.levels[bag[0]].astype(np.int32)
    picks, scores = [bag[0]], [voxels.score(sums, metric)]
    while len(picks) < n_picks:
        candidates = [voxels.score(sums + voxels.levels[network], metric) for network in bag]
        best = int(np.argmax(candidates))
        sums += voxels.levels[bag[best]]
        picks.append(bag[best])
        scores.append(candidates[best])
    return picks[: int(np.argmax(scores)) + 1]


@dataclass
class ProbabilityProducts:
    """Sums over voxels of products of probabilities; the squared error of any weighted mean follows from them.

    Attributes:
        products: (K, K), of the probabilities of each pair of networks, summed over classes.
        hits: (K,), of each network's probability of the true class.
        n_voxels: labelled voxels that were summed.
    """

    products: NDArray[np.float64]
    hits: NDArray[np.float64]
    n_voxels: int = 0

    @classmethod
    def of(cls, labels: Sequence[Any], probabilities: Sequence[Sequence[Any]]) -> ProbabilityProducts:
        """Sum over all labelled voxels, slice by slice."""
        k = len(probabilities)
        found = cls(np.zeros((k, k)), np.zeros(k))
        for truth, levels in _slices(labels, probabilities):
            known = np.flatnonzero(truth != IGNORE)
            for some in np.array_split(known, -(-len(known) // AT_ONCE) or 1):
                p = levels[:, :, some].astype(np.float32) / np.float32(LEVELS)
                flat = p.reshape(k, -1)
                found.products += flat @ flat.T
                found.hits += p[:, truth[some], np.arange(len(some))].sum(axis=1, dtype=np.float64)
                found.n_voxels += len(some)
        return found

    def error(self, weights: NDArray[np.float64]) -> float:
        """Return the mean squared distance of the weighted mean from the one-hot labels."""
        n = max(1, self.n_voxels)
        return float(1 + (weights @ self.products @ weights - 2 * weights @ self.hits) / n)

    def pair_ambiguities(self) -> NDArray[np.float64]:
        """Return the ambiguity (K, K) of the ensembles of two networks with equal weights.

        It is the mean over voxels of a quarter of the squared distance between their probabilities, from 0 to 0.5: how
        much less the squared error of the two together is than the mean of theirs (Krogh and Vedelsby 1995, eq. 6).
        """
        lengths = np.diagonal(self.products)
        distances = lengths[:, None] + lengths[None, :] - 2 * self.products
        found: NDArray[np.float64] = np.clip(distances, 0, None) / (4 * max(1, self.n_voxels))
        return found

    def best(self, networks: Sequence[int]) -> NDArray[np.float64]:
        """Return the weights, not negative and with sum 1, with the least error: stacking (Breiman 1996).

        Args:
            networks: that may have a weight; the others have 0.
        """
        from scipy.optimize import minimize

        n, k = max(1, self.n_voxels), len(networks)
        products, hits = self.products[np.ix_(networks, networks)] / n, self.hits[networks] / n
        solved = minimize(
            lambda w: w @ products @ w - 2 * w @ hits,
            np.full(k, 1 / k),
            jac=lambda w: 2 * (products @ w - hits),
            bounds=[(0, 1)] * k,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda _: np.ones(k)},
            method="SLSQP",
            options={"ftol": 1e-12, "maxiter": 500},
        )
        weights = np.clip(solved.x, 0, None)
        found = np.zeros(len(self.hits))
        found[networks] = weights / weights.sum()
        return found


def weighted(products: ProbabilityProducts, most: int) -> Weights:
    """Return the weights of least squared error, of the ``most`` networks with the largest weights."""
    first = _kept(products.best(range(len(products.hits))), most)
    return _kept(products.best(sorted(first)), most)


def _kept(weights: NDArray[np.float64], most: int) -> Weights:
    """Return the ``most`` largest weights, the first ones of a tie, without those below LEAST_WEIGHT."""
    shares = weights / weights.sum()
    order = sorted(range(len(shares)), key=lambda i: (-shares[i], i))[:most]
    kept = {i: float(shares[i]) for i in order if shares[i] >= LEAST_WEIGHT}
    total = sum(kept.values())
    return {i: share / total for i, share in kept.items()}
