"""Which hyperparameters matter: permutation importance on the surrogate model of all trained genomes of a search.

The model learns from four fifths of the genomes and predicts the others, five times. Then the values of one
hyperparameter are shuffled among the predicted genomes (Breiman 2001, Random forests, section 10). If the predictions
become worse, the model needs that hyperparameter. Hyperparameters that go along with one another share their
importance, and so do a hyperparameter and the sizes of the network that it decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import KFold

from genenet.core.errors import InputError
from genenet.genes.genome import read_genome
from genenet.search.features import FeatureTable
from genenet.search.predictions import rank_correlation
from genenet.search.surrogate import Forest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from genenet.genes.genome import Genome
    from genenet.training.outcomes import Outcome

FEWEST_GENOMES = 20  # with a score; fewer say nothing
N_FOLDS, N_SHUFFLES = 5, 20


@dataclass(frozen=True)
class Importance:
    """How much worse the predicted scores are if one hyperparameter, or one size of the network, is shuffled.

    Attributes:
        of: its name.
        mean: increase of the mean absolute error, in units of the score.
        deviation: standard deviation over shuffles.
    """

    of: str
    mean: float
    deviation: float


@dataclass(frozen=True)
class WhatMatters:
    """The importances of all hyperparameters in which the genomes differ, the most important first.

    Attributes:
        n: number of genomes.
        rank_correlation: of predicted and real scores; the importances of a model that predicts nothing mean nothing.
        mean_error: mean absolute error of the predicted scores.
        importances: largest first.
    """

    n: int
    rank_correlation: float
    mean_error: float
    importances: tuple[Importance, ...]


def what_matters(outcomes: Iterable[Outcome], metric: str) -> WhatMatters | None:
    """Return what matters for the scores of a search's own genomes; None with fewer than twenty scores."""
    own = [run for run in outcomes if not run.is_baseline and not run.is_control]
    scores = [(run, score) for run in own if (score := run.score(metric)) is not None]
    if len(scores) < FEWEST_GENOMES:
        return None
    try:
        genomes = [read_genome(run.genome_file) for run, _ in scores]
    except InputError:  # a genome's file was removed or damaged after its training
        return None
    return importances(genomes, [score for _, score in scores])


def importances(genomes: Sequence[Genome], scores: Sequence[float]) -> WhatMatters | None:
    """Return the importances; None if the predicted scores don't differ."""
    table, real = FeatureTable.of(genomes), np.array(scores)
    groups = table.of_one()
    rng = np.random.default_rng(0)
    predictions = np.empty(len(real))
    shuffled = {name: np.empty((N_SHUFFLES, len(real))) for name in groups}
    for number, (learnt, rest) in enumerate(KFold(N_FOLDS, shuffle=True, random_state=0).split(table.rows)):
        model = Forest(table.rows[learnt], real[learnt], number)
        predictions[rest] = model.predict(table.rows[rest])[0]
        for name, columns in groups.items():
            shuffled[name][:, rest] = _with_shuffled(model, table.rows[rest], columns, rng)
    correlation = rank_correlation(predictions.tolist(), scores)
    if correlation is None:
        return None
    error = float(np.abs(predictions - real).mean())
    worse = {name: np.abs(each - real).mean(axis=1) - error for name, each in shuffled.items()}
    found = [Importance(name, float(each.mean()), float(each.std())) for name, each in worse.items()]
    found.sort(key=lambda each: -each.mean)
    return WhatMatters(len(real), correlation, error, tuple(found))


def _with_shuffled(
    model: Forest, rows: NDArray[np.float64], columns: Sequence[int], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Predict genomes whose values in some columns are those of another genome, (shuffles, genomes)."""
    copies = np.tile(rows, (N_SHUFFLES, 1, 1))
    for copy in copies:
        copy[:, columns] = rows[rng.permutation(len(rows))][:, columns]
    return model.predict(copies.reshape(-1, rows.shape[1]))[0].reshape(N_SHUFFLES, -1)
