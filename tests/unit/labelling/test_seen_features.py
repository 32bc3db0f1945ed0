"""Features of boxes, as the networks see them."""

import numpy as np
import pytest

from genenet.core.geometry import Box
from genenet.ensembles.ensemble import load_ensemble
from genenet.labelling.seen_features import MOST_NETWORKS, SeenFeatures
from genenet.volumes.base import ArrayVolume
from genenet.volumes.normalisation import Normalisation
from tests.support.ensembles import CPU, write_ensemble

SIZE = (2, 32, 32)


@pytest.mark.parametrize("net", [{}, {"spatial_mode": 1, "input_size": 32}], ids=["2d", "3d"])
def test_boxes_that_look_alike_have_like_features(tmp_path, net):
    """The left half is smooth, the right one noisy; a box at the border is read with the volume reflected."""
    volume = np.zeros((4, 96, 256), np.float32)
    volume[..., 128:] = np.random.default_rng(0).normal(0, 3, (4, 96, 128))
    ensemble = load_ensemble(
        write_ensemble(tmp_path / "ensemble", n_stacks=(1,) * (MOST_NETWORKS + 1), net=net)
    )
    networks = ensemble.predictor(CPU).networks
    seen = SeenFeatures(networks, ArrayVolume(volume), Normalisation.of_volume(0.0, 1.0))
    starts = [(0, 0, 0), (2, 40, 30), (0, 0, 224), (2, 40, 190)]
    features = seen.of([Box.of_shape(SIZE, start) for start in starts])
    assert np.isfinite(features).all()
    assert np.array_equal(features, seen.of([Box.of_shape(SIZE, start) for start in starts]))
    scaled = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-9)
    smooth, smooth_2, noisy, noisy_2 = scaled
    alike = max(np.linalg.norm(smooth - smooth_2), np.linalg.norm(noisy - noisy_2))
    assert alike < np.linalg.norm(smooth - noisy) / 2
