"""The search by a surrogate model in the replay: it chooses among the recorded genomes that aren't trained yet.

The model and the choice are genenet's own (``genenet.search.surrogate``), and see what genenet's search sees: features
of the genomes and final scores. Two things differ from a real search. Candidates are the recorded genomes, of which
there are fewer in each round, so that a search ends with all of them, as random search does; and there are no children.
"""

import numpy as np

from genenet.search.features import FeatureTable
from genenet.search.surrogate import propose


def surrogate(pool, order, seed, n_first, n_round, rows):
    """Train ``n_first`` genomes, and then in each round the ``n_round`` that the model chooses, all in full.

    Args:
        pool: of recorded genomes.
        order: in which random search would train them.
        seed: of the model.
        n_first: genomes of the first round.
        n_round: genomes of each later round.
        rows: the features of all recorded genomes, (genomes, features).
    """
    trained, waiting = list(order[:n_first]), list(order[n_first:])
    for genome in trained:
        yield genome, pool.n_validations
    while waiting:
        n = min(n_round, len(waiting))
        seeds = [seed * len(order) + len(trained) + place for place in range(n)]
        found = propose(rows[trained], _scores(pool, trained), rows[waiting], n, seeds)
        chosen = [waiting[each.candidate] for each in found]
        for genome in chosen:
            yield genome, pool.n_validations
        trained += chosen
        waiting = [genome for genome in waiting if genome not in chosen]


def features_of(pool):
    """Return the features of all genomes of a pool, (genomes, features)."""
    return FeatureTable.of(pool.genomes).rows


def _scores(pool, genomes):
    """Return the final scores, (genomes,); of a training that diverged, the worst of the others."""
    finals = [pool.final(genome) for genome in genomes]
    worst = min((final for final in finals if final is not None), default=0.0)
    return np.array([worst if final is None else final for final in finals])
