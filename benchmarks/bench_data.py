"""Labelled images for benchmarks that train, real and synthetic, and a trainer for them.

The real data is looked for in $GENENET_TEST_DATA, or in ../shared/data beside the clone.
"""

import os
from dataclasses import dataclass

import numpy as np
import tifffile
import torch

from bench_tools import ROOT
from genenet.config.training import Training
from genenet.genes.plan import plan
from genenet.phantoms.phantom import CLASSES, slabs
from genenet.training.prepared_images import LabelledArray
from genenet.training.trainer import Trainer
from genenet.volumes.normalisation import Normalisation

FOLDER = os.environ.get("GENENET_TEST_DATA", ROOT.parent / "shared/data")


@dataclass(frozen=True)
class Data:
    """Labelled images to train and to validate with."""

    train: list[LabelledArray]
    validation: list[LabelledArray]
    n_classes: int

    @property
    def counts(self):
        """Voxels of each class in the training images."""
        n = [np.bincount(image.labels.ravel(), minlength=256)[: self.n_classes] for image in self.train]
        return np.sum(n, axis=0)

    def trainer(self, genome, seed, **settings):
        """Return the trainer of a genome; ``settings`` are keys of the section ``training``, by default on the CPU."""
        recipe = Training(**{"device": "cpu", **settings})
        built = plan(genome.net, self.n_classes)
        device = torch.device(recipe.device)
        return Trainer(genome, built, self.train, self.validation, self.counts, recipe, seed, device)


def labelled(name, image, labels):
    """Return a labelled image (Z, Y, X), normalised by its own mean and deviation."""
    norm = Normalisation.of_volume(float(image.mean()), float(image.std()))
    return LabelledArray(name, image, labels.astype(np.uint8), norm)


def phantom(train_shape=(8, 320, 320), validation_shape=(2, 320, 320)):
    """Two phantoms."""
    images = []
    for seed, shape in enumerate((train_shape, validation_shape), start=1):
        _, image, labels = zip(*slabs(shape, seed), strict=True)
        images.append([labelled("phantom", np.concatenate(image), np.concatenate(labels))])
    return Data(*images, len(CLASSES))


def _read(folder, stem, kind, region=np.s_[:]):
    found = []
    for ending in ("raw", kind):
        array = tifffile.imread(os.path.join(FOLDER, folder, f"{stem}_{ending}.tif"))
        found.append(np.ascontiguousarray((array[None] if array.ndim == 2 else array)[region]))
    return labelled(folder, *found)


def platelet():
    """One slice of a platelet, cut in two: the right part trains, the left one validates with its normalisation."""
    train, left = (
        _read("platelet", "50_z0", "semantic7", np.s_[:, :, part]) for part in (slice(240, 800), slice(240))
    )
    return Data([train], [LabelledArray("left", left.image, left.labels, train.normalisation)], 7)


def axon():
    """Rats' spinal cords, by scanning electron microscopy: three rats train, another one validates."""
    rats = ["1_sample-data1", "3_sample-data9", "3_sample-data10", "3_sample-data11", "4_sample-data12"]
    images = [_read("axon_sem", f"sub-rat{name}_SEM", "semantic3") for name in rats]
    return Data(images[:-1], images[-1:], 3)


def flyem():
    """Membranes of a fly's brain."""
    train, test = (_read("flyem", f"flyem_crop_{split}", "boundary") for split in ("train", "test"))
    return Data([train], [test], 2)


DATA_SETS = {"platelet": platelet, "axon": axon, "flyem": flyem, "phantom": phantom}
