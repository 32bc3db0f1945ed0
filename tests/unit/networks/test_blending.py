"""A trained same-padded network, blended over tiles of its training size, beside its exact halo."""

import numpy as np
import pytest
import torch

from genenet.config.training import Training
from genenet.core.geometry import Box
from genenet.genes.genome import Genome
from genenet.genes.plan import plan
from genenet.networks.predictor import Predictor
from genenet.training.prepared_images import LabelledArray
from genenet.training.trainer import Trainer
from genenet.volumes.base import ArrayVolume
from genenet.volumes.normalisation import Normalisation
from tests.support import runs
from tests.support.ari import adjusted_rand_index

CPU = torch.device("cpu")
NET = {"n_convkernels": 6, "n_stacks": 2, "n_convlayers": 1, "input_size": 48, "padding": 1}


def labelled(seed):
    image, labels = runs.blobs((2, 120, 120), seed)
    return LabelledArray("blobs", image, labels, Normalisation.of_volume(image.mean(), image.std()))


@pytest.mark.slow
def test_blending_is_at_least_as_good_as_the_crop_of_the_whole_halo():
    genome, train, test = Genome("same", {"net": {**NET, "log_learning_rate": -2}}), labelled(1), labelled(2)
    settings = Training(
        iterations=150, batch_size=4, threads=1, validation_interval=150, device="cpu", precision="float32"
    )
    counts = np.bincount(train.labels.ravel(), minlength=2)
    t = Trainer(genome, plan(genome.net, 2), [train], [test], counts, settings, 0, CPU)
    for _ in t.run():
        pass
    volume, scores = ArrayVolume(test.image, "test"), {}
    for blended in (False, True):
        predictor = Predictor([t.network], CPU, blended=blended, threads=1)
        found = predictor.probabilities(volume, test.normalisation, Box.of_shape(volume.shape))
        scores[blended] = adjusted_rand_index(test.labels, found.argmax(axis=0))
    assert scores[False] > 0.6
    assert scores[True] >= scores[False] - 0.005, scores
