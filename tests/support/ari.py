"""The adjusted Rand index of labels in memory, by scikit-learn: the reference for ``Contingency``."""

import math

import numpy as np
from sklearn.metrics import adjusted_rand_score

from genenet.core.ignore import IGNORE


def adjusted_rand_index(truth, prediction):
    """Return the ARI of the voxels whose truth isn't IGNORE; nan if there are none."""
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    counted = truth != IGNORE
    return float(adjusted_rand_score(truth[counted], prediction[counted])) if counted.any() else math.nan
