"""A surrogate model: predicts the scores of genomes that haven't been trained, and chooses which to train next.

As in SMAC (Hutter, Hoos and Leyton-Brown 2011, Sequential model-based optimization for general algorithm
configuration), the model is a random forest, and the spread of its trees is the deviation of a prediction. A genome is
worth training if its expected improvement (Jones, Schonlau and Welch 1998) is high: because its predicted score is
high, or because the prediction is uncertain.

A round has several genomes. Each is chosen as if those before it had been trained already, and had the mean score of
all genomes so far: the constant liar (Ginsbourger, Le Riche and Carraro 2010). Genomes that resemble one that is
already chosen then promise less, so that the round's genomes differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr
from sklearn.ensemble import RandomForestRegressor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

N_TREES = 100
SMALLEST_DEVIATION = 1e-6  # of a score; where all trees agree, nothing would be gained by dividing by 0


class Forest:
    """A random forest (Breiman 2001) that knows how far its trees agree."""

    def __init__(self, rows: Floats, scores: Floats, seed: int) -> None:
        """Fit it to genomes, (genomes, features), NaN allowed, and their scores, (genomes,)."""
        self._forest = RandomForestRegressor(N_TREES, max_features=5 / 6, random_state=seed)
        self._forest.fit(rows, scores)

    def predict(self, rows: Floats) -> tuple[Floats, Floats]:
        """Return the mean and the standard deviation of the trees' predictions, (genomes,) each."""
        rows = np.ascontiguousarray(rows, np.float32)
        of_trees = np.array([tree.predict(rows, check_input=False) for tree in self._forest.estimators_])
        return of_trees.mean(axis=0), of_trees.std(axis=0)


def expected_improvement(mean: Floats, deviation: Floats, best: float) -> Floats:
    """Return by how much genomes are expected to exceed the score ``best``, if it is normally distributed."""
    deviation = np.maximum(deviation, SMALLEST_DEVIATION)
    z = (mean - best) / deviation
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return deviation * (z * ndtr(z) + density)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Proposal:
    """A candidate that was chosen: its row, and the score that the model predicts."""

    candidate: int
    mean: float
    deviation: float


def propose(
    known: Floats, scores: Floats, candidates: Floats, n: int, seeds: Sequence[int]
) -> list[Proposal]:
    """Choose candidates to train, one after the other; more of them never change the first ones.

    The score to exceed is the highest that the model predicts of a known genome, since the highest score that was
    measured is partly luck.

    Args:
        known: genomes that have a score, (genomes, features).
        scores: their scores, (genomes,).
        candidates: that may be chosen, (candidates, features); each is chosen once at most.
        n: how many are chosen.
        seeds: of the random numbers of each choice's model.
    """
    model = Forest(known, scores, seeds[0])
    mean, deviation = model.predict(candidates)
    lie, chosen = float(scores.mean()), list[int]()
    for seed in seeds[:n]:
        if chosen:
            rows = np.concatenate([known, candidates[chosen]])
            model = Forest(rows, np.append(scores, [lie] * len(chosen)), seed)
        best = float(model.predict(known)[0].max())
        gain = expected_improvement(*model.predict(candidates), best)
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
    return [Proposal(c, float(mean[c]), float(deviation[c])) for c in chosen]
