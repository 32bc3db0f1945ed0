"""Trainers of a small network, without files."""

import numpy as np
import torch

from genenet.config.training import Training
from genenet.core.paths import RunPaths
from genenet.genes.genome import Genome
from genenet.genes.plan import plan
from genenet.training.prepared_images import LabelledArray
from genenet.training.run import TrainingRun
from genenet.training.trainer import Trainer
from genenet.volumes.normalisation import Normalisation
from tests.support import runs


def labelled(image, labels, weight=1.0):
    """Arrays as the trainer takes them."""
    normalisation = Normalisation.of_volume(image.mean(), image.std())
    return LabelledArray("a", image, labels, normalisation, weight)


def trainer(genome=None, device="cpu", data=None, deltas=None, **values):
    """A trainer on blobs: ``genome`` are the net's values, ``deltas`` those of other genes, ``values`` settings."""
    net = {**runs.GENOME, "dropout_rate": 0, "norm": 0, **(genome or {})}
    g = Genome("t", {"net": net, **(deltas or {})})
    data = data or [labelled(*runs.blobs((1, 40, 40), 3))]
    small = {
        "iterations": 20,
        "batch_size": 4,
        "threads": 1,
        "validation_interval": 5,
        "precision": "float32",
    }
    settings = Training(device=device, **{**small, **values})
    planes = (plane for d in data for plane in d.labels)
    counts = np.sum([np.bincount(plane.ravel(), minlength=256)[:3] for plane in planes], axis=0)
    return Trainer(g, plan(g.net, 3), data, data, counts, settings, 0, torch.device(device))


def train(t):
    """Train to the end."""
    for _ in t.run():
        pass
    return t


def weights(t):
    """All weights, in one row, on the CPU."""
    return torch.cat([p.detach().flatten().cpu() for p in t.network.parameters()])


def tensors(t):
    """All that is learnt: weights and running statistics, and the averages of both."""
    average = t.learner.average.tensors if t.learner.average else {}
    return {**t.network.state_dict(), **{f"average of {name}": a for name, a in average.items()}}


def run_of(folder, out):
    """The training whose files ``runs.make`` has written, into ``out``."""
    names = ("genome.json", "train.zarr.zip", "validation.zarr.zip", "train.json")
    return TrainingRun(*(folder / name for name in names), RunPaths(out))
