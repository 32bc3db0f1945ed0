"""A surrogate model: predicts the scores of genomes that haven't been trained, and chooses which to train next.

As in SMAC (Hutter, Hoos and Leyton-Brown 2011, Sequential model-based optimization for general algorithm
configuration), the model is a random forest, and the spread of its trees is the deviation of a prediction. A genome is
worth training if its expected improvement (Jones, Schonlau and Welch 1998) is high. SMAC takes the trees' predictions
for normally distributed. Scores of networks aren't: a few are far below the others, and a large spread mostly means
that a network may fail. Hence the improvement is the mean over the trees themselves.

A round has several genomes. Each is chosen as if those before it had been trained already, and had the mean score of
all genomes so far: the constant liar (Ginsbourger, Le Riche and Carraro 2010). Genomes that resemble one that is
already chosen then promise less, so that the round's genomes differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.ensemble import RandomForestRegressor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

N_TREES = 50
BEST = (
    0.9  # quantile of the known genomes that a new one is to exceed: an ensemble needs several good networks
)


class Forest:
    """A random forest (Breiman 2001) that knows how far its trees agree."""

    def __init__(self, rows: Floats, scores: Floats, seed: int) -> None:
        """Fit it to genomes, (genomes, features), NaN allowed, and their scores, (genomes,)."""
        self._forest = RandomForestRegressor(N_TREES, max_features=5 / 6, random_state=seed)
        self._forest.fit(rows, scores)

    def of_trees(self, rows: Floats) -> Floats:
        """Return the predictions of all trees, (trees, genomes)."""
        rows = np.ascontiguousarray(rows, np.float32)
        return np.array([tree.predict(rows, check_input=False) for tree in self._forest.estimators_])

    def predict(self, rows: Floats) -> tuple[Floats, Floats]:
        """Return the mean and the standard deviation of the trees' predictions, (genomes,) each."""
        of_trees = self.of_trees(rows)
        return of_trees.mean(axis=0), of_trees.std(axis=0)


def expected_improvement(of_trees: Floats, goal: float) -> Floats:
    """Return by how much genomes are expected to exceed a score, given the trees' predictions, (trees, genomes)."""
    return np.maximum(of_trees - goal, 0.0).mean(axis=0)  # type: ignore[no-any-return]


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

    The score to exceed is not the highest so far, as usual, but that of the best tenth, since an ensemble needs several
    good networks (the tree-structured Parzen estimator has such a quantile as well, Bergstra et al. 2011). It is that
    of the predictions, since the highest of the measured scores are partly luck.

    Args:
        known: genomes that have a score, (genomes, features).
        scores: their scores, (genomes,).
        candidates: that may be chosen, (candidates, features); each is chosen once at most.
        n: how many are chosen.
        seeds: of the random numbers of each choice's model.
    """
    mean, deviation = Forest(known, scores, seeds[0]).predict(candidates)
    lie, chosen = float(scores.mean()), list[int]()
    for seed in seeds[:n]:
        rows = np.concatenate([known, candidates[chosen]])
        model = Forest(rows, np.append(scores, [lie] * len(chosen)), seed)
        chosen.append(_most_promising(model, known, candidates, chosen))
    return [Proposal(c, float(mean[c]), float(deviation[c])) for c in chosen]


def _most_promising(model: Forest, known: Floats, candidates: Floats, chosen: Sequence[int]) -> int:
    """Return the candidate with the highest expected improvement; of equal ones that with the highest mean."""
    of_trees, goal = model.of_trees(candidates), float(np.quantile(model.predict(known)[0], BEST))
    gain = expected_improvement(of_trees, goal)
    gain[list(chosen)] = -1.0
    return int(np.lexsort((of_trees.mean(axis=0), gain))[-1])
