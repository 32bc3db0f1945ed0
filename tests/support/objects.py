"""Objects that touch, and what an ensemble predicts of them, without a network."""

import numpy as np

from genenet.training.object_images import ObjectImage


def squares(n=6, size=12, confidence=None, gap=0, seed=0):
    """A row of ``n`` square objects that touch, and an ensemble that is more or less sure of the borders."""
    rng = np.random.default_rng(seed)
    shape = (3, size, n * size)
    truth = np.broadcast_to(np.arange(shape[2]) // size + 1, shape).astype(np.uint64)
    confidence = np.linspace(0.1, 0.95, n - 1) if confidence is None else np.full(n - 1, confidence)
    border = np.zeros(shape)
    for i, sure in enumerate(confidence):
        border[:, :, (i + 1) * size - 1 : (i + 1) * size + 1] = sure
    border = np.clip(border + rng.normal(0, 0.02, shape), 0, 1)
    of_object = np.full(shape, 0.97)
    levels = [np.rint(p * 255).astype(np.uint8) for p in (of_object, np.minimum(border, of_object))]
    return ObjectImage(
        truth,
        np.zeros(shape, bool),
        np.ones(shape, bool),
        *levels,
        rng.uniform(0, 0.1, shape).astype(np.float32),
    )
